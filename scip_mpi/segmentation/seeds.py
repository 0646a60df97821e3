"""Seeds for flooding: the local maxima of a plane within its components."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray


def seeds(plane: FloatArray, parts: NDArray[np.int32], apart: int) -> NDArray[np.int32]:
    """Number the pixels that are the largest of their component within a square around them.

    Of equal pixels the first in raster order counts as the largest.

    Parameters
    ----------
    plane : ndarray of float64, shape (H, W)
    parts : ndarray of int32, shape (H, W)
        Components, numbered from 1; 0 is background.
    apart : int
        Half the square's side: seeds of one component are farther from each other than this, along
        the rows or the columns.

    Returns
    -------
    ndarray of int32, shape (H, W)
        1, 2, ... in raster order at the seeds, 0 elsewhere. Every component has one.
    """
    out = np.zeros(plane.shape, np.int32)
    _seeds(np.ascontiguousarray(plane), np.ascontiguousarray(parts), apart, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _seeds(plane, parts, apart, out):
    h, w = plane.shape
    leading = np.empty(w, np.uint8)
    count = 0
    for y in range(h):
        _lead_in_row(plane[y], parts[y], leading)
        for x in range(w):
            # Nearly every pixel has a larger one right beside it.
            if leading[x] and _leads(plane, parts, y, x, 1) and _leads(plane, parts, y, x, apart):
                count += 1
                out[y, x] = count


@njit(cache=True, nogil=True, error_model="numpy")
def _lead_in_row(values, own, leading):
    """Whether no neighbour in its row comes before a pixel; in a loop of many at a time."""
    last = values.size - 1
    leading[0] = own[0] != 0
    leading[last] = own[last] != 0
    for x in range(1, last):
        before = (own[x - 1] == own[x]) & (values[x - 1] >= values[x])
        after = (own[x + 1] == own[x]) & (values[x + 1] > values[x])
        leading[x] = np.uint8(own[x] != 0) & np.uint8(not (before | after))


@njit(cache=True, nogil=True, error_model="numpy")
def _leads(plane, parts, y, x, reach):
    """Whether no pixel of the component in the square comes before this one."""
    h, w = plane.shape
    value = plane[y, x]
    for v in range(max(y - reach, 0), min(y + reach, h - 1) + 1):
        for u in range(max(x - reach, 0), min(x + reach, w - 1) + 1):
            if parts[v, u] != parts[y, x]:
                continue
            other = plane[v, u]
            if other > value or (other == value and (v < y or (v == y and u < x))):
                return False
    return True
