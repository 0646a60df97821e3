"""Connected components of one plane, by union-find over its runs."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array, UInt8Array

# Eight bytes at a time, as an unsigned integer.
ONE = np.uint64(1)
EACH_BYTE = np.uint64(0x0101010101010101)
LAST_BYTE = np.uint64(56)


def label_plane(
    mask: UInt8Array, scratch: tuple[Int64Array, ...], smallest: float = 0.0
) -> tuple[NDArray[np.int32], int]:
    """Number the components (4-connected) of one plane in raster order of their first pixels.

    Parameters
    ----------
    mask : ndarray of uint8, shape (H, W)
        0 or 1.
    scratch : tuple of ndarray
        As of `run_scratch`.
    smallest : float
        Components of fewer pixels are left out.

    Returns
    -------
    parts : ndarray of int32, shape (H, W)
        1, 2, ... in components, 0 elsewhere.
    count : int
    """
    parts = np.zeros(mask.shape, np.int32)
    return parts, _number(mask, smallest, parts, *scratch)


@njit(cache=True, nogil=True, error_model="numpy")
def _number(mask, smallest, parts, runs, row_start, parent, number):
    n = label_runs(mask, 1, 0, runs, row_start, parent)
    # The pixels of each component, by its first run; then its number in their place.
    number[:n] = 0
    for r in range(n):
        number[parent[r]] += runs[r, 2] - runs[r, 1]
    count = 0
    for r in range(n):
        if parent[r] == r:
            large = number[r] >= smallest
            count += large
            number[r] = count if large else 0
        parts[runs[r, 0], runs[r, 1] : runs[r, 2]] = number[parent[r]]
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def find(parent, i):
    """Root of run ``i``."""
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True, error_model="numpy")
def label_runs(mask, value, eight, runs, row_start, parent):
    """Find the runs of pixels equal to ``value`` and join those that touch.

    Parameters
    ----------
    mask : (H, W) uint8
    value : 0 or 1
    eight : 1 for 8-connectivity, 0 for 4-connectivity
    runs : (>= H * (W + 1) / 2 + 1, 3) int64, out
        Row, first column, end column (exclusive) of each run, in raster order.
    row_start : (H + 1) int64, out
        First run of each row.
    parent : int64, out
        Root of each run: the component's first run in raster order.

    Returns
    -------
    int
        Number of runs.
    """
    height, width = mask.shape
    # Where runs start and stop in a row; most groups of eight places hold nothing.
    groups = np.zeros(width // 8 + 1, np.uint64)
    ends = groups.view(np.uint8)
    n = 0
    for y in range(height):
        row_start[y] = n
        row = mask[y]
        before, after = row[: width - 1], row[1:]
        within = ends[1:]
        for x in range(width - 1):
            within[x] = before[x] ^ after[x]
        ends[0] = row[0] == value
        ends[width] = row[width - 1] == value
        found = 0
        for g in range(groups.size):
            group = groups[g]
            while group:
                # The lowest byte that is 1 has so many bytes below it.
                lower = ((group & (~group + ONE)) - ONE) & EACH_BYTE
                x = 8 * g + np.int64((lower * EACH_BYTE) >> LAST_BYTE)
                runs[n + (found >> 1), 1 + (found & 1)] = x
                found += 1
                group &= group - ONE
        for _ in range(found >> 1):
            runs[n, 0] = y
            parent[n] = n
            n += 1
    row_start[height] = n
    join_runs(runs, n, height, eight, row_start, parent)
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def find_runs(mask, box, runs, row_start, parent):
    """`label_runs` up to the runs of a mask's pixels, within a box, and before those are joined.

    Rows and columns count from the box: (top, left, bottom, right), ends exclusive.
    """
    top, left, bottom, right = box
    width = right - left
    n = 0
    for y in range(bottom - top):
        row_start[y] = n
        row = mask[y + top, left:right]
        before = 0
        for x in range(width):
            if row[x] != before:
                before = row[x]
                if before:
                    runs[n, 0] = y
                    runs[n, 1] = x
                    parent[n] = n
                else:
                    runs[n, 2] = x
                    n += 1
        if before:
            runs[n, 2] = width
            n += 1
    row_start[max(bottom - top, 0)] = n
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def join_runs(runs, n, height, eight, row_start, parent):
    """Join the runs of neighbouring rows that touch: the second half of `label_runs`."""
    for y in range(1, height):
        i, i_end = row_start[y - 1], row_start[y]
        j, j_end = row_start[y], row_start[y + 1]
        while i < i_end and j < j_end:
            if runs[i, 1] < runs[j, 2] + eight and runs[j, 1] < runs[i, 2] + eight:
                a, b = find(parent, i), find(parent, j)
                if a < b:
                    parent[b] = a
                elif b < a:
                    parent[a] = b
            if runs[i, 2] < runs[j, 2]:
                i += 1
            else:
                j += 1
    for i in range(n):
        parent[i] = find(parent, i)


@njit(cache=True, nogil=True, error_model="numpy")
def flip_small(mask, value, smallest, runs, row_start, parent, size):
    """Turn components of ``value`` with fewer than ``smallest`` pixels over (4-connectivity).

    With value 1 this removes small objects, with value 0 it fills small holes (where, as in
    scikit-image, background open to the border counts as a hole like any other).
    """
    n = label_runs(mask, value, 0, runs, row_start, parent)
    for i in range(n):
        size[i] = 0
    for i in range(n):
        size[parent[i]] += runs[i, 2] - runs[i, 1]
    for i in range(n):
        if size[parent[i]] < smallest:
            for x in range(runs[i, 1], runs[i, 2]):
                mask[runs[i, 0], x] = 1 - value


@njit(cache=True, nogil=True, error_model="numpy")
def run_capacity(height, width):
    """Most runs that a plane can have, and one more."""
    return height * ((width + 1) // 2) + 1


@njit(cache=True, nogil=True, error_model="numpy")
def run_scratch(height, width):
    """Buffers for the runs of planes up to a size: runs, row_start, parent, size."""
    most = run_capacity(height, width)
    return (
        np.empty((most, 3), np.int64),
        np.empty(height + 1, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
    )
