"""Runs of the pixels of a mask: what kernels walk over instead of the whole crop."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import Int64Array


def most_runs(shapes: Int64Array) -> int:
    """Most runs that a plane of any image can have.

    Parameters
    ----------
    shapes : ndarray of int64, shape (n, 3)
        (C, H, W) of each image.
    """
    return int((shapes[:, 1] * ((shapes[:, 2] + 1) // 2)).max())


@njit(cache=True, nogil=True, error_model="numpy")
def find_runs(mask, box, runs):
    """Runs of the pixels of a mask, in raster order; their number.

    Parameters
    ----------
    mask : (H, W) uint8
        0 or 1.
    box : (4,) int64
        (top, left, bottom, right), ends exclusive, of a part of the plane that holds the mask.
    runs : (>= number, 3) int64, out
        Row, first column and end column (exclusive), counted from the plane's corner.
    """
    top, left, bottom, right = box
    n = 0
    for y in range(top, bottom):
        before = np.uint8(0)
        for x in range(left, right):
            # Unsigned places, and no view of the row: a plain loop over memory.
            now = mask[np.uint64(y), np.uint64(x)]
            if now != before:
                before = now
                if now:
                    runs[n, 0] = y
                    runs[n, 1] = x
                else:
                    runs[n, 2] = x
                    n += 1
        if before:
            runs[n, 2] = right
            n += 1
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def join_runs(runs, n, parent, touching):
    """Join the runs of neighbouring rows that touch, corners included.

    Parameters
    ----------
    runs : (>= n, 3) int64
        In raster order.
    parent : (>= n,) int64, out
        Root of each run: its component's first run.
    touching : (>= n, 3) int64, out
        How many runs of the row above each run touches; how many of its pixels have a pixel above
        them; and how many pairs there are of one of its pixels and one above over a corner.
    """
    for r in range(n):
        parent[r] = r
        touching[r] = 0
    above, start = 0, 0
    while start < n:
        stop = start + 1
        while stop < n and runs[stop, 0] == runs[start, 0]:
            stop += 1
        i, j = above, start
        if runs[above, 0] != runs[start, 0] - 1:
            i = start
        while i < start and j < stop:
            a, b = runs[i, 1], runs[i, 2]
            c, d = runs[j, 1], runs[j, 2]
            if a <= d and c <= b:
                touching[j, 0] += 1
                touching[j, 1] += max(min(b, d) - max(a, c), 0)
                touching[j, 2] += max(min(b + 1, d) - max(a + 1, c), 0)
                touching[j, 2] += max(min(b - 1, d) - max(a - 1, c), 0)
                _join(parent, i, j)
            if b < d:
                i += 1
            else:
                j += 1
        above, start = start, stop
    for r in range(n):
        parent[r] = _root(parent, r)


@njit(cache=True, nogil=True, error_model="numpy")
def _root(parent, r):
    while parent[r] != r:
        parent[r] = parent[parent[r]]
        r = parent[r]
    return r


@njit(cache=True, nogil=True, error_model="numpy")
def _join(parent, i, j):
    a, b = _root(parent, i), _root(parent, j)
    if a < b:
        parent[b] = a
    elif b < a:
        parent[a] = b


@njit(cache=True, nogil=True, error_model="numpy")
def group_runs(parent, n, number, order, first):
    """Runs of each component one after the other, in raster order; the number of components.

    Parameters
    ----------
    parent : int64
        As `join_runs` leaves it.
    number : (>= n,) int64, scratch
    order : (>= n,) int64, out
        The runs.
    first : (>= n + 1,) int64, out
        Where each component's start in ``order``.
    """
    count = 0
    for r in range(n):
        if parent[r] == r:
            number[r] = count
            first[count + 1] = 0
            count += 1
        else:
            number[r] = number[parent[r]]
        first[number[r] + 1] += 1
    first[0] = 0
    for k in range(count):
        first[k + 1] += first[k]
    # Each component's start moves up as its runs are placed, to the next one's; then all go back.
    for r in range(n):
        order[first[number[r]]] = r
        first[number[r]] += 1
    for k in range(count, 0, -1):
        first[k] = first[k - 1]
    first[0] = 0
    return count
