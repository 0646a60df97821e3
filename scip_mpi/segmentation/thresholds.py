"""Thresholds of one plane: the first ``n`` items of a flat float64 buffer of its finite pixels.

Each equals scikit-image's or numpy's on the same pixels in double precision. Those that work on
histograms count whole numbers level by level, as scikit-image does, and all else in 256 bins.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.segmentation.logarithm import log
from scip_mpi.segmentation.order import select

BINS = 256
# Whole numbers over a wider range, which would need a level each, are counted in bins too.
LEVELS = 1 << 16


@njit(cache=True, nogil=True, error_model="numpy")
def finite_pixels(plane, height, width, values):
    """Collect the finite pixels in the (height, width) corner of a plane.

    Parameters
    ----------
    plane : at least (height, width)
    values : (>= height * width) float64, out

    Returns
    -------
    n, low, high : int, float, float
        How many there are, the smallest and the largest.
    """
    n = 0
    low, high = np.inf, -np.inf
    for y in range(height):
        for x in range(width):
            value = np.float64(plane[y, x])
            if np.isfinite(value):
                values[n] = value
                n += 1
                low = min(low, value)
                high = max(high, value)
    return n, low, high


@njit(cache=True, nogil=True, error_model="numpy")
def histogram(values, n, low, high, whole, counts, centres, edges):
    """Count pixels of which not all are equal.

    Parameters
    ----------
    values : float64
    n : int
    low, high : float
        Smallest and largest of the pixels.
    whole : bool
        Whether the pixels are whole numbers.
    counts : (65536) int64, out
    centres : (65536) float64, out
        What pixels of a level or bin count as.
    edges : (257) float64, scratch

    Returns
    -------
    int
        Number of levels or bins; 0 if double precision has no such bins in the pixels' range.
    """
    if whole and high - low < LEVELS:
        bins = int(high - low) + 1
        for k in range(bins):
            counts[k] = 0
            centres[k] = low + k
        for i in range(n):
            counts[int(values[i] - low)] += 1
        return bins
    span = high - low
    step = span / BINS
    if step == 0 or not np.isfinite(span):
        return 0
    for k in range(BINS):
        edges[k] = k * step + low
    edges[BINS] = high
    for k in range(BINS):
        # Pixels that differ by less than numbers can be told apart are equal but for rounding.
        if edges[k] >= edges[k + 1]:
            return 0
    for k in range(BINS):
        counts[k] = 0
        centres[k] = (edges[k] + edges[k + 1]) / 2
    for i in range(n):
        k = min(int((values[i] - low) / span * BINS), BINS - 1)
        # Rounding may put a pixel beside its bin, as in numpy's histogram.
        if values[i] < edges[k]:
            k -= 1
        elif k < BINS - 1 and values[i] >= edges[k + 1]:
            k += 1
        counts[k] += 1
    return BINS


@njit(cache=True, nogil=True, error_model="numpy")
def otsu_of_counts(counts, centres, bins, means):
    """Otsu's threshold: the first centre of the largest variance between the two classes.

    Parameters
    ----------
    counts : (>= bins) int64
        The first and the last are not 0.
    centres : (>= bins) float64
    bins : int
        At least 2.
    means : (>= bins) float64, scratch

    References
    ----------
    Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Systems, Man and
    Cybernetics 9(1), 1979.
    """
    below = 0
    total = 0.0
    for k in range(bins):
        below += counts[k]
        total += counts[k] * centres[k]
        means[k] = total / below
    above = 0
    total = 0.0
    best = -1.0
    threshold = centres[0]
    for k in range(bins - 2, -1, -1):
        below -= counts[k + 1]
        above += counts[k + 1]
        total += counts[k + 1] * centres[k + 1]
        gap = means[k] - total / above
        # In single precision as scikit-image's: ties depend on it.
        sizes = np.float64(np.float32(below) * np.float32(above))
        variance = sizes * (gap * gap)
        if variance >= best:
            best = variance
            threshold = centres[k]
    return threshold


@njit(cache=True, nogil=True, error_model="numpy")
def li_of_counts(counts, centres, bins):
    """Li's minimum cross entropy threshold of whole numbers, to half a level.

    Parameters
    ----------
    counts : (>= bins) int64
    centres : (>= bins) float64
        One apart.
    bins : int
        At least 2.

    References
    ----------
    Li and Tam, "An iterative algorithm for minimum cross entropy thresholding", Pattern
    Recognition Letters 18(8), 1998.
    """
    n, total = 0, 0
    for k in range(bins):
        n += counts[k]
        total += counts[k] * k
    following = total / n
    threshold = -1.0
    while abs(following - threshold) > 0.5:
        threshold = following
        below, part = 0, 0
        for k in range(bins):
            if k > threshold:
                break
            below += counts[k]
            part += counts[k] * k
        if part == 0 or below == n:
            break
        mean_below = part / below
        mean_above = (total - part) / (n - below)
        following = (mean_below - mean_above) / (log(mean_below) - log(mean_above))
    return following + centres[0]


@njit(cache=True, nogil=True, error_model="numpy")
def triangle_of_counts(counts, centres, bins):
    """Centre of the bin farthest below the line from the peak to the end of the longer tail.

    Parameters
    ----------
    counts : (>= bins) int64
        The first and the last are not 0.
    centres : (>= bins) float64
    bins : int
        At least 2.

    References
    ----------
    Zack, Rogers and Latt, "Automatic measurement of sister chromatid exchange frequency", Journal
    of Histochemistry and Cytochemistry 25(7), 1977.
    """
    peak = 0
    for k in range(bins):
        if counts[k] > counts[peak]:
            peak = k
    flip = peak < bins - 1 - peak
    width = bins - 1 - peak if flip else peak
    norm = math.sqrt(counts[peak] ** 2 + width**2)
    along, up = counts[peak] / norm, width / norm
    best = -np.inf
    threshold = centres[0]
    for x in range(width):
        k = bins - 1 - x if flip else x
        length = along * x - up * counts[k]
        if length > best:
            best = length
            threshold = centres[k]
    return threshold


@njit(cache=True, nogil=True, error_model="numpy")
def percentile(values, n, percent):
    """Numpy's percentile (linear between two pixels); the pixels are reordered.

    NaN if there are none.
    """
    if n == 0:
        return np.nan
    place = (n - 1) * (percent / 100)
    k = int(place)
    lower = select(values, n, k)
    part = place - k
    if k + 1 >= n or part == 0:
        return lower
    upper = np.inf
    for i in range(k + 1, n):
        upper = min(upper, values[i])
    if part < 0.5:
        return lower + (upper - lower) * part
    return upper - (upper - lower) * (1 - part)
