"""Sums in numpy's order of addition, for thresholds that must be numpy's to the last bit."""

from __future__ import annotations

from numba import njit

BLOCK = 128


@njit(cache=True, nogil=True, error_model="numpy")
def pairwise_sum(values, start, n):  # type: ignore[no-untyped-def]
    """Sum of ``values[start : start + n]``, float64, added in the order of ``numpy.sum``.

    Blocks of at most 128 values with eight running sums each, blocks added pairwise.
    """
    if n > BLOCK:
        half = n // 2
        half -= half % 8
        return pairwise_sum(values, start, half) + pairwise_sum(values, start + half, n - half)
    if n < 8:
        total = 0.0
        for k in range(start, start + n):
            total += values[k]
        return total
    r0, r1, r2, r3 = values[start], values[start + 1], values[start + 2], values[start + 3]
    r4, r5, r6, r7 = values[start + 4], values[start + 5], values[start + 6], values[start + 7]
    end = start + n - n % 8
    for k in range(start + 8, end, 8):
        r0 += values[k]
        r1 += values[k + 1]
        r2 += values[k + 2]
        r3 += values[k + 3]
        r4 += values[k + 4]
        r5 += values[k + 5]
        r6 += values[k + 6]
        r7 += values[k + 7]
    total = ((r0 + r1) + (r2 + r3)) + ((r4 + r5) + (r6 + r7))
    for k in range(end, start + n):
        total += values[k]
    return total
