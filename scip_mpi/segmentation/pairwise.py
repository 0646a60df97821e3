"""Sums in numpy's order of addition, for thresholds that must be numpy's to the last bit."""

from __future__ import annotations

import numpy as np
from numba import njit

BLOCK = 128
# Halving leaves blocks of more than 64 values, so this depth is enough for any array.
DEPTH = 64


@njit(cache=True, nogil=True, error_model="numpy")
def pairwise_sum(values, n):
    """Sum of the first ``n`` values, float64, added in the order of ``numpy.sum``.

    Halves are summed apart down to blocks of at most 128. The recursion is written out with stacks,
    since numba's cache breaks functions that call themselves.
    """
    if n <= BLOCK:
        return block_sum(values, 0, n)
    starts = np.empty(DEPTH, np.int64)
    sizes = np.empty(DEPTH, np.int64)
    levels = np.empty(DEPTH, np.int64)
    sums = np.empty(DEPTH)
    sum_levels = np.empty(DEPTH, np.int64)
    starts[0], sizes[0], levels[0] = 0, n, 0
    waiting = 1
    done = 0
    while waiting:
        waiting -= 1
        start, size, level = starts[waiting], sizes[waiting], levels[waiting]
        if size > BLOCK:
            half = size // 2
            half -= half % 8
            # The left half is on top, and is summed first.
            starts[waiting], sizes[waiting], levels[waiting] = start + half, size - half, level + 1
            waiting += 1
            starts[waiting], sizes[waiting], levels[waiting] = start, half, level + 1
            waiting += 1
        else:
            total = block_sum(values, start, size)
            while done and sum_levels[done - 1] == level:
                done -= 1
                total = sums[done] + total
                level -= 1
            sums[done], sum_levels[done] = total, level
            done += 1
    return sums[0]


@njit(cache=True, nogil=True, error_model="numpy")
def block_sum(values, start, n):
    """Sum of ``values[start : start + n]`` by eight running sums."""
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
