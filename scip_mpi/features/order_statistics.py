"""The eleven statistics of SCIP's intensity features, from values in ascending order."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# name, unit, definition: the columns of a view, in SCIP's order.
STATISTICS = (
    ("mean", "intensity", "Mean of the pixels (IBSI Q4LE)."),
    ("median", "intensity", "Median of the pixels (IBSI Y12H)."),
    ("max", "intensity", "Largest pixel (IBSI 84IY)."),
    ("min", "intensity", "Smallest pixel (IBSI 1GSF)."),
    ("std", "intensity", "Population standard deviation: root of the variance (IBSI ECT3)."),
    ("mad", "intensity", "Median of the absolute deviations from the median, unscaled."),
    ("lower_quartile", "intensity", "25th percentile, interpolated linearly."),
    ("upper_quartile", "intensity", "75th percentile, interpolated linearly."),
    ("sum", "intensity", "Sum of the pixels."),
    ("skewness", "1", "Third standardised moment, biased (IBSI KE2A)."),
    ("kurtosis", "1", "Fourth standardised moment less 3, biased (IBSI IPH6)."),
)
N_STATISTICS = len(STATISTICS)
# Values whose spread is below this part of their mean differ by rounding alone (scipy's rule).
RESOLUTION = 1e-15
MEAN, MEDIAN, MAX, MIN, STD, MAD, LOWER, UPPER, SUM, SKEWNESS, KURTOSIS = range(N_STATISTICS)


@njit(cache=True, nogil=True, error_model="numpy")
def quantile(values, n, fraction):
    """Quantile of the first ``n`` of ascending values, interpolated linearly."""
    place = fraction * (n - 1)
    i = int(place)
    if i + 1 >= n:
        return values[n - 1]
    return values[i] + (place - i) * (values[i + 1] - values[i])


@njit(cache=True, nogil=True, error_model="numpy")
def nth_deviation(values, n, split, centre, rank):
    """The deviation from ``centre`` of the given rank, 0 the smallest.

    The deviations below the centre (``values[:split]``, read backwards) and above it are two
    ascending lists; how many of the lower ranks come from the first is found by bisection.
    """
    lo = max(0, rank + 1 - (n - split))
    hi = min(rank + 1, split)
    while lo < hi:
        left = (lo + hi) // 2
        right = rank + 1 - left
        more = right > 0 and left < split
        if more and centre - values[split - 1 - left] < values[split + right - 1] - centre:
            lo = left + 1
        else:
            hi = left
    right = rank + 1 - lo
    deviation = 0.0
    if lo > 0:
        deviation = centre - values[split - lo]
    if right > 0:
        deviation = max(deviation, values[split + right - 1] - centre)
    return deviation


@njit(cache=True, nogil=True, error_model="numpy")
def statistics(values, n, out):
    """All statistics of the first ``n`` (at least 1) of ascending values into ``out``.

    Skewness and kurtosis of values that are equal, or differ by rounding alone, are NaN: there is
    nothing to standardise by.
    """
    some_statistics(values, n, total_of(values, n), True, True, out)


@njit(cache=True, nogil=True, error_model="numpy")
def total_of(values, n):
    """Sum of the first ``n`` values."""
    total = 0.0
    for i in range(n):
        total += values[i]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def some_statistics(values, n, total, moments, deviations, out):
    """`statistics`, but those by moments (std, skewness, kurtosis) and mad only where asked for.

    ``total`` is what `total_of` gives.
    """
    mean = total / n
    out[MEAN] = mean
    out[SUM] = total
    out[MAX] = values[n - 1]
    out[MIN] = values[0]
    median = quantile(values, n, 0.5)
    out[MEDIAN] = median
    out[LOWER] = quantile(values, n, 0.25)
    out[UPPER] = quantile(values, n, 0.75)
    if moments:
        m2 = 0.0
        m3 = 0.0
        m4 = 0.0
        for i in range(n):
            d = values[i] - mean
            square = d * d
            m2 += square
            m3 += square * d
            m4 += square * square
        variance = m2 / n
        deviation = math.sqrt(variance)
        equal = values[0] == values[n - 1]
        smallest = RESOLUTION * mean
        shapeless = equal or variance <= smallest * smallest
        out[STD] = 0.0 if equal else deviation
        out[SKEWNESS] = np.nan if shapeless else m3 / n / (variance * deviation)
        out[KURTOSIS] = np.nan if shapeless else m4 / n / (variance * variance) - 3.0
    if deviations:
        lo, hi = 0, n
        while lo < hi:
            middle = (lo + hi) // 2
            if values[middle] < median:
                lo = middle + 1
            else:
                hi = middle
        mad = nth_deviation(values, n, lo, median, n // 2)
        if n % 2 == 0:
            mad = 0.5 * (mad + nth_deviation(values, n, lo, median, n // 2 - 1))
        out[MAD] = mad


@njit(cache=True, nogil=True, error_model="numpy")
def sort_whole(found, n, low, high, spare, counts, out):
    """Ascending order of whole numbers of 16 bits, by counting.

    Parameters
    ----------
    found : int32
        The first ``n`` are sorted; ``low`` and ``high`` are the least and the largest of them.
    spare : int32, scratch
    counts : (257,) int64, scratch
    out : float64
    """
    counts[:] = 0
    for k in range(n):
        counts[((found[k] - low) & 255) + 1] += 1
    for j in range(256):
        counts[j + 1] += counts[j]
    if high - low < 256:
        for k in range(n):
            byte = found[k] - low
            out[counts[byte]] = found[k]
            counts[byte] += 1
        return
    for k in range(n):
        byte = (found[k] - low) & 255
        spare[counts[byte]] = found[k]
        counts[byte] += 1
    counts[:] = 0
    top = ((high - low) >> 8) + 1
    for k in range(n):
        counts[((found[k] - low) >> 8) + 1] += 1
    for j in range(top):
        counts[j + 1] += counts[j]
    for k in range(n):
        byte = (spare[k] - low) >> 8
        out[counts[byte]] = spare[k]
        counts[byte] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def shifted(source, n, shift, out):
    """The statistics of the same ``n`` values less a constant."""
    for k in range(source.size):
        out[k] = source[k]
    out[MEAN] -= shift
    out[MEDIAN] -= shift
    out[MAX] -= shift
    out[MIN] -= shift
    out[LOWER] -= shift
    out[UPPER] -= shift
    out[SUM] -= n * shift
