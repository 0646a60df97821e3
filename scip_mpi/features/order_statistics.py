"""The eleven statistics of SCIP's intensity features, from a tally of the values."""

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
WORDS = tuple(name for name, _, _ in STATISTICS)
# Values whose spread is below this part of their mean differ by rounding alone (scipy's rule).
RESOLUTION = 1e-15
MEAN, MEDIAN, MAX, MIN, STD, MAD, LOWER, UPPER, SUM, SKEWNESS, KURTOSIS = range(N_STATISTICS)
# Those that need a look at every value, and which.
BY_MOMENTS = (STD, SKEWNESS, KURTOSIS)
BY_DEVIATIONS = (MAD,)


@njit(cache=True, nogil=True, error_model="numpy")
def some_statistics(values, times, m, upto, total, moments, deviations, out):
    """All statistics, but those by moments (std, skewness, kurtosis) and mad only where asked for.

    Skewness and kurtosis of values that are equal, or differ by rounding alone, are NaN: there is
    nothing to standardise by.

    Parameters
    ----------
    values : float64
        The first ``m`` (at least 1) are the distinct values, in ascending order.
    times : int64
        How often each of them occurs.
    upto : int64, scratch
        How many values are at most each of them.
    total : float
        Sum of all values.
    out : (11,) float64
    """
    n = 0
    for j in range(m):
        n += times[j]
        upto[j] = n
    mean = total / n
    out[MEAN] = mean
    out[SUM] = total
    out[MAX] = values[m - 1]
    out[MIN] = values[0]
    median = quantile(values, upto, m, 0.5)
    out[MEDIAN] = median
    out[LOWER] = quantile(values, upto, m, 0.25)
    out[UPPER] = quantile(values, upto, m, 0.75)
    if moments:
        m2 = 0.0
        m3 = 0.0
        m4 = 0.0
        for j in range(m):
            d = values[j] - mean
            square = d * d
            part = times[j] * square
            m2 += part
            m3 += part * d
            m4 += part * square
        variance = m2 / n
        deviation = math.sqrt(variance)
        equal = values[0] == values[m - 1]
        smallest = RESOLUTION * mean
        shapeless = equal or variance <= smallest * smallest
        out[STD] = 0.0 if equal else deviation
        out[SKEWNESS] = np.nan if shapeless else m3 / n / (variance * deviation)
        out[KURTOSIS] = np.nan if shapeless else m4 / n / (variance * variance) - 3.0
    if deviations:
        out[MAD] = median_deviation(values, times, m, n, median)


@njit(cache=True, nogil=True, error_model="numpy")
def quantile(values, upto, m, fraction):
    """Quantile of a tally, interpolated linearly between ranks."""
    return at_rank(values, upto, m, fraction * (upto[m - 1] - 1))


@njit(cache=True, nogil=True, error_model="numpy")
def at_rank(values, upto, m, place):
    """Value of a tally at a rank, counted from 0, linearly between whole ones."""
    rank = int(place)
    # The first value that more values than the rank are at most.
    lo, hi = 0, m - 1
    while lo < hi:
        middle = (lo + hi) // 2
        if upto[middle] > rank:
            hi = middle
        else:
            lo = middle + 1
    if upto[lo] > rank + 1 or lo == m - 1:
        return values[lo]
    return values[lo] + (place - rank) * (values[lo + 1] - values[lo])


@njit(cache=True, nogil=True, error_model="numpy")
def median_deviation(values, times, m, n, centre):
    """Median of the absolute deviations of ``n`` values from their median."""
    return mean_deviation(values, times, m, centre, (n - 1) // 2, n // 2)


@njit(cache=True, nogil=True, error_model="numpy")
def mean_deviation(values, times, m, centre, first_rank, last_rank):
    """Mean of two absolute deviations from a centre, by their ranks among all of them, from 0.

    From the centre the next value is taken on the side where it is nearer, until enough are.
    """
    lo, hi = 0, m
    while lo < hi:
        middle = (lo + hi) // 2
        if values[middle] < centre:
            lo = middle + 1
        else:
            hi = middle
    below = lo - 1
    above = lo
    taken = 0
    deviation = 0.0
    first = 0.0
    while taken <= last_rank:
        early = taken <= first_rank
        down = centre - values[below] if below >= 0 else np.inf
        if above >= m or (below >= 0 and down < values[above] - centre):
            deviation = down
            taken += times[below]
            below -= 1
        else:
            deviation = values[above] - centre
            taken += times[above]
            above += 1
        if early:
            first = deviation
    return 0.5 * (first + deviation)


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
