"""What the pixels in a mask, and those outside of it, come to."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def extremes(plane, runs):
    """Smallest and largest pixel, sum and number of the pixels of a mask, by its runs."""
    low, high, total = np.inf, -np.inf, 0.0
    size = 0
    for r in range(len(runs)):
        y = np.uint64(runs[r, 0])
        size += runs[r, 2] - runs[r, 1]
        for x in range(runs[r, 1], runs[r, 2]):
            value = np.float64(plane[y, np.uint64(x)])
            low = min(low, value)
            high = max(high, value)
            total += value
    return low, high, total, size


@njit(cache=True, nogil=True, error_model="numpy")
def mean_outside(flat, exact, mask, total, size):
    """Mean of the pixels outside a mask; 0 where it fills the plane.

    ``total`` and ``size`` are those of the mask; ``exact`` says that sums are exact in any order.
    """
    if size == flat.size:
        return 0.0
    outside = 0.0
    if exact:
        whole = 0
        for k in range(flat.size):
            whole += np.int64(flat[k])
        outside = whole - total
    else:
        for k in range(flat.size):
            if not mask[k]:
                outside += flat[k]
    return outside / (flat.size - size)
