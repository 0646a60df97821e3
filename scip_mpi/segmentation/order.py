"""The k-th smallest of many values, by parting them or by counting; the first and the last."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def select(values, n, k):
    """The ``k``-th smallest (from 0) of the first ``n`` values, which are reordered.

    Hoare's selection. NaN, which no comparison holds for, ends its scans and so does no harm, but
    leaves the result without meaning.
    """
    low, high = 0, n - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            break
    return values[k]


@njit(cache=True, nogil=True, error_model="numpy")
def select_unsigned(values, n, k):
    """The ``k``-th smallest (from 0) of the first ``n`` values, unsigned integers; none is moved.

    Bit by bit from the highest: the largest number that no more than ``k`` values are below.
    """
    unsigned = values.dtype.type
    highest = unsigned(0)
    for i in range(n):
        highest |= values[i]
    bit = unsigned(1)
    while unsigned(highest >> unsigned(1)) >= bit:
        bit = unsigned(bit << unsigned(1))
    found = unsigned(0)
    while bit:
        limit = unsigned(found | bit)
        below = np.uint32(0)
        for i in range(n):
            # As narrow as can be: more go together.
            below = np.uint32(below + np.uint32(values[i] < limit))
        if below <= k:
            found = limit
        bit = unsigned(bit >> unsigned(1))
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def extremes(plane):
    """Smallest and largest value of a plane without NaN.

    Column by column, of a row's pixels many together.
    """
    height, width = plane.shape
    low, high = plane[0].copy(), plane[0].copy()
    for y in range(1, height):
        row = plane[y]
        for x in range(width):
            low[x] = row[x] if row[x] < low[x] else low[x]
            high[x] = row[x] if row[x] > high[x] else high[x]
    for x in range(1, width):
        low[0] = min(low[0], low[x])
        high[0] = max(high[0], high[x])
    return low[0], high[0]
