"""Watershed: labels grow from markers over a plane, lowest pixels first."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray


def flood_parts(plane: FloatArray, labels: NDArray[np.int32], parts: NDArray[np.int32]) -> None:
    """Grow the markers of each component over it, by sides, in place, as if it were alone.

    In one flood of the whole plane, which of two equal markers is first would hang on the markers
    of other components, since all wait in one binary heap.

    Parameters
    ----------
    plane : ndarray of float64, shape (H, W)
    labels : ndarray of int32, shape (H, W)
        Markers, within components only; 0 elsewhere.
    parts : ndarray of int32, shape (H, W)
        Components of pixels that are connected by their sides; 0 is background.
    """
    markers = np.flatnonzero(labels)
    own = parts.ravel()[markers]
    # Stable: the markers of a component stay in raster order.
    order = np.argsort(own, kind="stable")
    scratch = flood_scratch(*plane.shape, False, False)
    inside = (parts > 0).view(np.uint8)
    _flood_parts(plane, labels, inside, markers[order], own[order], *scratch)


@njit(cache=True, nogil=True, error_model="numpy")
def _flood_parts(plane, labels, inside, markers, own, values, ages, places, sources):
    height, width = plane.shape
    n = 0
    for k in range(markers.size):
        place = markers[k]
        value = plane[place // width, place % width]
        n = _push(values, ages, places, sources, n, value, 0, place, place)
        if k + 1 == markers.size or own[k + 1] != own[k]:
            _spread(
                plane, labels, inside, height, width, False, 0.0, n, values, ages, places, sources
            )
            n = 0


@njit(cache=True, nogil=True, error_model="numpy")
def flood_scratch(height, width, eight, compact):
    """Buffers of the queue for planes up to a size: values, ages, places, sources.

    A pixel waits once; with compactness, once for itself and once for each pair of neighbours,
    since of a pair only the one that gets its label first sends for the other.
    """
    pairs = 4 if eight else 2
    most = height * width * (1 + pairs if compact else 1) + 1
    return (
        np.empty(most),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def flood(plane, labels, inside, height, width, eight, compactness, values, ages, places, sources):
    """Grow the markers in ``labels`` over the (height, width) corner of a plane.

    Pixels are taken in the order of their value, equal ones in the order in which they were
    reached, neighbours in raster order, sides before corners; equal markers as a binary heap has
    them. All of this decides who gets a pixel that two labels reach, and is scikit-image 0.26's.

    Parameters
    ----------
    plane : float64, at least (height, width)
    labels : int32, at least (height, width)
        Markers, 0 elsewhere; changed. Markers outside ``inside`` are removed.
    inside : uint8, at least (height, width)
        Where labels may grow, 1 or 0.
    height, width : int
    eight : bool
        Whether pixels at corners are neighbours too.
    compactness : float
        0, or what each pixel of distance from its marker adds to a pixel's value.
    values, ages, places, sources
        Scratch, as of `flood_scratch` for this size or a larger one.

    References
    ----------
    Neubert and Protzel, "Compact watershed and preemptive SLIC", ICPR 2014. The algorithm is that
    of scikit-image's watershed (BSD-3-Clause).
    """
    n = 0
    for y in range(height):
        for x in range(width):
            if not inside[y, x]:
                labels[y, x] = 0
            elif labels[y, x]:
                place = y * width + x
                n = _push(values, ages, places, sources, n, plane[y, x], 0, place, place)
    _spread(
        plane, labels, inside, height, width, eight, compactness, n, values, ages, places, sources
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _spread(
    plane, labels, inside, height, width, eight, compactness, n, values, ages, places, sources
):  # fmt: skip
    """Grow labels from the ``n`` pixels that wait in the queue until none waits."""
    compact = compactness > 0
    neighbours = 8 if eight else 4
    age = 0
    while n:
        value, place, source = values[0], places[0], sources[0]
        n = _pop(values, ages, places, sources, n)
        y, x = place // width, place % width
        y0, x0 = source // width, source % width
        if compact:
            if labels[y, x] and place != source:
                continue
            labels[y, x] = labels[y0, x0]
        label = labels[y, x]
        for k in range(neighbours):
            down, over = _neighbour(k)
            v, u = y + down, x + over
            if v < 0 or u < 0 or v >= height or u >= width or not inside[v, u] or labels[v, u]:
                continue
            age += 1
            cost = plane[v, u]
            if compact:
                away = float((v - y0) * (v - y0)) + float((u - x0) * (u - x0))
                cost += compactness * math.sqrt(away)
            else:
                labels[v, u] = label
            cost = max(cost, value)
            n = _push(values, ages, places, sources, n, cost, age, v * width + u, source)


@njit(cache=True, nogil=True, error_model="numpy")
def _neighbour(k):
    """Step (down, over) to a pixel's ``k``-th neighbour."""
    if k < 4:
        return (k > 2) - (k < 1), (k == 2) - (k == 1)
    return (k > 5) * 2 - 1, (k % 2) * 2 - 1


@njit(cache=True, nogil=True, error_model="numpy")
def _before(values, ages, i, j):
    """Whether item ``i`` of the queue is due before item ``j``."""
    if values[i] != values[j]:
        return values[i] < values[j]
    return ages[i] < ages[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _swap(values, ages, places, sources, i, j):
    values[i], values[j] = values[j], values[i]
    ages[i], ages[j] = ages[j], ages[i]
    places[i], places[j] = places[j], places[i]
    sources[i], sources[j] = sources[j], sources[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _push(values, ages, places, sources, n, value, age, place, source):
    """Put an item into a binary heap of ``n``; the new length."""
    values[n], ages[n], places[n], sources[n] = value, age, place, source
    child = n
    while child > 0:
        parent = (child - 1) // 2
        if not _before(values, ages, child, parent):
            break
        _swap(values, ages, places, sources, parent, child)
        child = parent
    return n + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _pop(values, ages, places, sources, n):
    """Remove the first item of a binary heap of ``n``; the new length."""
    n -= 1
    _swap(values, ages, places, sources, 0, n)
    i = 0
    while True:
        left, right = 2 * i + 1, 2 * i + 2
        if left >= n:
            break
        first = left if _before(values, ages, left, i) else i
        if right < n and _before(values, ages, right, first):
            first = right
        if first == i:
            break
        _swap(values, ages, places, sources, i, first)
        i = first
    return n
