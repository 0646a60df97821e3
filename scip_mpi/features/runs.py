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
        row = mask[y, left:right]
        before = np.uint8(0)
        for x in range(row.size):
            if row[x] != before:
                before = row[x]
                if before:
                    runs[n, 0] = y
                    runs[n, 1] = left + x
                else:
                    runs[n, 2] = left + x
                    n += 1
        if before:
            runs[n, 2] = right
            n += 1
    return n
