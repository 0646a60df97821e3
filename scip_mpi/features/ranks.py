"""Order and ranks of values."""

from __future__ import annotations

import numpy as np
from numba import njit

# So many values between the least and the largest for each pixel are looked at one by one: sorting
# takes longer.
SPARSE = 8


@njit(cache=True, nogil=True, error_model="numpy")
def ascending(values, low, high, exact, order, spare):
    """Places of values in ascending order; as many as there are, in what is returned.

    Parameters
    ----------
    values : (n,) float64
        At least one.
    low, high : float
        The least and the largest, or what is below and above all.
    exact : bool
        Whether they are whole numbers of at most 16 bits.
    order, spare : (>= n,) int64, scratch
        One of them is returned.
    """
    n = len(values)
    for k in range(n):
        order[k] = k
    if exact:
        counts = np.empty(257, np.int64)
        # A byte at a time, the lower one first.
        for shift in (0, 8):
            if shift and high - low < 256:
                break
            counts[:] = 0
            for k in range(n):
                counts[((np.int64(values[k] - low) >> shift) & 255) + 1] += 1
            for j in range(256):
                counts[j + 1] += counts[j]
            for k in range(n):
                byte = (np.int64(values[order[k]] - low) >> shift) & 255
                spare[counts[byte]] = order[k]
                counts[byte] += 1
            order, spare = spare, order
        return order
    # Ever longer parts merged: numba takes seconds to compile NumPy's sort.
    length = 1
    while length < n:
        for start in range(0, n, 2 * length):
            a, b = start, min(start + length, n)
            middle, stop = b, min(start + 2 * length, n)
            for k in range(start, stop):
                if b >= stop or (a < middle and values[order[a]] <= values[order[b]]):
                    spare[k] = order[a]
                    a += 1
                else:
                    spare[k] = order[b]
                    b += 1
        order, spare = spare, order
        length *= 2
    return order


@njit(cache=True, nogil=True, error_model="numpy")
def dense_ranks(values, low, high, exact, order, spare, ranks):
    """Number of distinct values below each value; returns the largest.

    Parameters
    ----------
    values, low, high, exact, order, spare
        As of `ascending`.
    ranks : (>= n,) float64, out
    """
    n = len(values)
    if exact and high - low < min(SPARSE * n, len(order)):
        # Which values there are, then how many are below each.
        span = np.int64(high - low) + 1
        order[:span] = 0
        for k in range(n):
            order[np.uint64(values[k] - low)] = 1
        below = np.int64(0)
        for j in range(span):
            there = order[j]
            order[j] = below
            below += there
        for k in range(n):
            ranks[k] = order[np.uint64(values[k] - low)]
        return below - 1
    order = ascending(values, low, high, exact, order, spare)
    rank = 0
    ranks[order[0]] = 0.0
    for k in range(1, n):
        rank += values[order[k]] != values[order[k - 1]]
        ranks[order[k]] = rank
    return rank
