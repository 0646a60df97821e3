"""The k-th smallest of many values."""

from __future__ import annotations

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
