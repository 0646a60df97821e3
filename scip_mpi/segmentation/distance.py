"""Distance of every pixel of a mask to the nearest pixel outside it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray


def distance(mask: NDArray[np.bool_]) -> FloatArray:
    """Euclidean distance to the background, exact; 0 outside the mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        Beyond the image's edge nothing is known: a mask without any background is infinitely far
        from it.

    References
    ----------
    Meijster, Roerdink and Hesselink, "A general algorithm for computing distance transforms in
    linear time", Mathematical Morphology and its Applications, 2000.
    """
    out = np.empty(mask.shape)
    _distance(np.ascontiguousarray(mask).view(np.uint8), out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _distance(mask, out):
    h, w = mask.shape
    far = h + w
    down = np.empty((h, w), np.int64)
    for x in range(w):
        down[0, x] = far if mask[0, x] else 0
    for y in range(1, h):
        for x in range(w):
            down[y, x] = min(down[y - 1, x] + 1, far) if mask[y, x] else 0
    for y in range(h - 2, -1, -1):
        for x in range(w):
            down[y, x] = min(down[y, x], down[y + 1, x] + 1)
    # Along a row, the lower envelope of the parabolas that the columns' distances make.
    apex = np.empty(w, np.int64)
    start = np.empty(w, np.int64)
    for y in range(h):
        n = 0
        for u in range(w):
            g = down[y, u]
            while n > 0:
                i = apex[n - 1]
                s = start[n - 1]
                if (s - i) * (s - i) + down[y, i] * down[y, i] > (s - u) * (s - u) + g * g:
                    n -= 1
                else:
                    break
            if n == 0:
                apex[0] = u
                start[0] = 0
                n = 1
            else:
                i = apex[n - 1]
                along = u * u - i * i + g * g - down[y, i] * down[y, i]
                first = 1 + along // (2 * (u - i))
                if first < w:
                    apex[n] = u
                    start[n] = first
                    n += 1
        for u in range(w - 1, -1, -1):
            i = apex[n - 1]
            square = (u - i) * (u - i) + down[y, i] * down[y, i]
            out[y, u] = math.sqrt(square) if down[y, i] < far else np.inf
            if u == start[n - 1]:
                n -= 1
