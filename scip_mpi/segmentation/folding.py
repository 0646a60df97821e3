"""Sums and extremes of many values by laying one half on the other, again and again.

Many values go together in an instruction, which those that add to one number one after another do
not; and the rounding error of a sum grows with the logarithm of their number only.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def fold_sum(values, n):
    """Sum of the first ``n`` values, at least one, float64; they are changed."""
    while n > 1:
        half = (n + 1) // 2
        upper = values[half:]
        for k in range(n - half):
            values[k] += upper[k]
        n = half
    return values[0]


@njit(cache=True, nogil=True, error_model="numpy")
def fold_smallest(values, n, sign, work):
    """Smallest of the first ``n`` values times ``sign``, 1 or -1, but NaN; infinity without any.

    ``work`` is scratch for as many float64.
    """
    for k in range(n):
        value = sign * values[k]
        work[k] = value if value == value else np.inf
    while n > 1:
        half = (n + 1) // 2
        upper = work[half:]
        for k in range(n - half):
            work[k] = upper[k] if upper[k] < work[k] else work[k]
        n = half
    return work[0]
