"""Moments of one component, exact where whole numbers allow it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def products_apart(a, b, c, d):
    """``a * b - c * d`` of whole numbers, rounded once where it is below 2^62.

    The products may leave the range of 64 bits; their difference modulo 2^64 is still right.
    """
    rounded = np.float64(a) * b - np.float64(c) * d
    if abs(rounded) >= 2.0**62:
        return rounded
    first = np.uint64(np.int64(a)) * np.uint64(np.int64(b))
    second = np.uint64(np.int64(c)) * np.uint64(np.int64(d))
    return np.float64(np.int64(first - second))


@njit(cache=True, nogil=True, error_model="numpy")
def moved(moments, dy, dx):
    """Moments about a point (-dy, -dx) from where the given ones are taken about."""
    half = np.empty((4, 4))
    out = np.empty((4, 4))
    for p in range(4):
        m0, m1, m2, m3 = moments[p]
        half[p, 0] = m0
        half[p, 1] = m1 + dx * m0
        half[p, 2] = m2 + 2 * dx * m1 + dx * dx * m0
        half[p, 3] = m3 + 3 * dx * m2 + 3 * dx * dx * m1 + dx * dx * dx * m0
    for q in range(4):
        m0, m1, m2, m3 = half[:, q]
        out[0, q] = m0
        out[1, q] = m1 + dy * m0
        out[2, q] = m2 + 2 * dy * m1 + dy * dy * m0
        out[3, q] = m3 + 3 * dy * m2 + 3 * dy * dy * m1 + dy * dy * dy * m0
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def orientation(unequal, mixed):
    """Orientation by the difference of the second moments of rows and columns, and the mixed one.

    scikit-image 0.20's rule where that difference is exactly 0.
    """
    if unequal == 0.0:
        return -math.pi / 4 if mixed > 0.0 else math.pi / 4
    return 0.5 * math.atan2(2.0 * mixed, unequal)
