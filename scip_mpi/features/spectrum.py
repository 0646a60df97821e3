"""What erosion and reconstruction leave of a picture, step by step.

The reconstruction of an erosion under the picture keeps of each component of each level set what
holds a pixel that the erosion leaves there. So it is told by the tree of components, built once for
all steps: each node is kept up to the largest eroded pixel in it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.features.ranks import ascending


@njit(cache=True, nogil=True, error_model="numpy")
def erode(before, down, across, after):
    """Least of each pixel and its four neighbours.

    Parameters
    ----------
    before, after : (>= (down + 2) * (across + 2),) float64
        Pictures with a ring of infinity around.
    """
    row = np.uint64(across + 2)
    one = np.uint64(1)
    for y in range(1, down + 1):
        start = y * (across + 2) + 1
        for x in range(across):
            at = np.uint64(start + x)
            sides = min(before[at - one], before[at + one])
            ends = min(before[at - row], before[at + row])
            after[at] = min(min(sides, ends), before[at])


@njit(cache=True, nogil=True, error_model="numpy")
def component_tree(picture, down, across, exact, values, order, spare, node, pixels, parent, root):
    """Tree of the components, joined over sides, of the pixels at least as large as each level.

    Parameters
    ----------
    picture : (>= (down + 2) * (across + 2),) float64
        With a ring of infinity around; no pixel below 0.
    exact : bool
        Whether pixels are whole numbers of at most 16 bits.
    values : float64, order, spare : int64, scratch
    node : int32, out
        Node of each pixel of the picture; -1 where it is 0.
    pixels, parent : int32, out
        Place in the picture of each node's pixel, the largest first, and the node that comes after
        it on the way down, -1 at the end.
    root : int32, scratch

    Returns
    -------
    int
        Number of nodes: of pixels above 0.
    """
    wide = across + 2
    n = 0
    high = 0.0
    for y in range(1, down + 1):
        for x in range(1, across + 1):
            at = y * wide + x
            node[at] = -1
            if picture[at] > 0.0:
                values[n] = picture[at]
                high = max(high, picture[at])
                pixels[n] = at
                n += 1
    for x in range(wide):
        node[x] = -1
        node[(down + 1) * wide + x] = -1
    for y in range(1, down + 1):
        node[y * wide] = -1
        node[y * wide + across + 1] = -1
    if n == 0:
        return 0
    sorted_places = ascending(values[:n], 0.0, high, exact, order, spare)
    # `parent` holds the pixels until they are in order.
    for k in range(n):
        parent[k] = pixels[sorted_places[n - 1 - k]]
    for k in range(n):
        pixels[k] = parent[k]
    for k in range(n):
        at = pixels[k]
        node[at] = k
        parent[k] = -1
        root[k] = k
        for step in (-wide, -1, 1, wide):
            other = node[at + step]
            if other < 0:
                continue
            while root[other] != other:
                root[other] = root[root[other]]
                other = root[other]
            if other != k:
                parent[other] = k
                root[other] = k
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def reconstructed(picture, weights, pixels, parent, left, steps, sums):
    """Weighted sums of the reconstructions of all steps.

    Parameters
    ----------
    weights : float64
        Of each node; lost.
    pixels, parent : (n,) int32
        As of `component_tree`.
    left : (>= n * steps,) float64
        What each step leaves of each node's pixel; lost.
    sums : (steps,) float64, out
    """
    sums[:] = 0.0
    for k in range(len(pixels)):
        level = picture[pixels[k]]
        below = parent[k]
        base = 0.0
        if below >= 0:
            base = picture[pixels[below]]
            weights[below] += weights[k]
            for s in range(steps):
                here = np.uint64(k * steps + s)
                there = np.uint64(below * steps + s)
                left[there] = max(left[there], left[here])
        if level == base:
            continue
        weight = weights[k]
        for s in range(steps):
            reached = min(level, left[np.uint64(k * steps + s)])
            sums[s] += weight * max(reached - base, 0.0)
