"""Distinct values in ascending order, and how often each occurs: what statistics are taken from."""

from __future__ import annotations

import numpy as np
from numba import njit

# Most values between the least and the largest of whole numbers that are counted in a histogram.
WIDEST = 4096
LANES = 2


@njit(cache=True, nogil=True, error_model="numpy")
def whole_range(flat):
    """Least, largest, and sum of whole numbers of at most 16 bits."""
    low = flat[0]
    high = flat[0]
    for k in range(flat.size):
        low = min(low, flat[k])
        high = max(high, flat[k])
    total = np.int64(0)
    for k in range(flat.size):
        total += flat[k]
    return np.int64(low), np.int64(high), total


@njit(cache=True, nogil=True, error_model="numpy")
def tally_plane(flat, low, high, counts, values, times):
    """Of all pixels of a plane of whole numbers.

    Parameters
    ----------
    low, high : int
        The least and the largest; less than `WIDEST` apart.
    counts : (LANES * WIDEST,) uint32, scratch
        All 0, and left so.
    values : (>= number of distinct values + 1) float64, out
    times : int64, out

    Returns
    -------
    int
        How many values there are.
    """
    n = flat.size
    # Neighbours are counted apart: pixels are often equal to those beside them, and a count that
    # was just written is slow to read again.
    for k in range(0, n - LANES + 1, LANES):
        for j in range(LANES):
            value = np.int64(flat[np.uint64(k + j)]) - low
            counts[np.uint64(LANES * value + j)] += np.uint32(1)
    for k in range(n - n % LANES, n):
        counts[np.uint64(LANES * (np.int64(flat[k]) - low))] += np.uint32(1)
    m = np.uint64(0)
    for k in range(high - low + 1):
        count = np.uint32(0)
        for j in range(LANES):
            count += counts[np.uint64(LANES * k + j)]
            counts[np.uint64(LANES * k + j)] = 0
        values[m] = low + k
        times[m] = count
        m += np.uint64(count > 0)
    return np.int64(m)


@njit(cache=True, nogil=True, error_model="numpy")
def tally_both(counts, width, low, values, times, edge_values, edge_times):
    """`tally_counts` of all pixels of a mask, and of those in its rim; how many of either.

    ``counts`` holds for each value those within the rim's inner border, then those in the rim.
    """
    m = np.uint64(0)
    e = np.uint64(0)
    for k in range(width):
        at = np.uint64(2 * k)
        count = counts[at + np.uint64(1)]
        every = counts[at] + count
        counts[at] = 0
        counts[at + np.uint64(1)] = 0
        values[m] = low + k
        times[m] = every
        m += np.uint64(every > 0)
        edge_values[e] = low + k
        edge_times[e] = count
        e += np.uint64(count > 0)
    return np.int64(m), np.int64(e)


@njit(cache=True, nogil=True, error_model="numpy")
def tally_whole(found, n, spare, values, times):
    """Of whole numbers of at most 16 bits in any order, sorted a byte at a time.

    Parameters
    ----------
    found : int32
        The first ``n`` count; their order is lost.
    spare : int32, scratch
    """
    if n == 0:
        return 0
    low = found[0]
    for k in range(n):
        low = min(low, found[k])
    counts = np.empty(257, np.int64)
    for shift in (0, 8):
        counts[:] = 0
        for k in range(n):
            counts[(((found[k] - low) >> shift) & 255) + 1] += 1
        for j in range(256):
            counts[j + 1] += counts[j]
        for k in range(n):
            byte = ((found[k] - low) >> shift) & 255
            spare[counts[byte]] = found[k]
            counts[byte] += 1
        found, spare = spare, found
    m = 0
    for k in range(n):
        m = add_value(np.float64(found[k]), m, values, times)
    return m


@njit(cache=True, nogil=True, error_model="numpy")
def add_value(value, m, values, times):
    """Add the next of ascending values to a tally of ``m`` distinct ones; how many there are now.

    A value that is no number is equal to none.
    """
    if m > 0 and values[m - 1] == value:
        times[m - 1] += 1
        return m
    values[m] = value
    times[m] = 1
    return m + 1
