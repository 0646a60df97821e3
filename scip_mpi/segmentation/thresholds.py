"""Thresholds of one plane, compiled: Otsu's, the triangle's, a percentile, a local mean.

Li's is in `scip_mpi.segmentation.li`. Histograms are scikit-image's: a bin per value for whole
numbers, 256 bins of equal width for others.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.segmentation.morphology import mirror
from scip_mpi.segmentation.order import select

BINS = 256
# More whole values than this are counted in bins too.
MOST_VALUES = 1 << 16


@njit(cache=True, nogil=True, error_model="numpy")
def histogram(plane, height, width, whole, counts, centres):
    """Histogram of the (height, width) corner of a plane; its number of bins.

    Parameters
    ----------
    plane : float64, finite
    whole : bool
        Whether its values are whole numbers.
    counts : int64, at least MOST_VALUES, out
    centres : float64, at least MOST_VALUES, out

    Returns
    -------
    int
        0 if all pixels are equal.
    """
    low = plane[0, 0]
    high = plane[0, 0]
    for y in range(height):
        for x in range(width):
            low = min(low, plane[y, x])
            high = max(high, plane[y, x])
    if low == high:
        return 0
    if whole and high - low < MOST_VALUES:
        bins = int(high - low) + 1
        for j in range(bins):
            counts[j] = 0
            centres[j] = low + j
        for y in range(height):
            for x in range(width):
                counts[int(plane[y, x] - low)] += 1
        return bins
    # numpy's histogram: its edges, and its correction of what rounding put a bin off.
    step = (high - low) / BINS
    scale = BINS / (high - low)
    for j in range(BINS):
        counts[j] = 0
        right = high if j == BINS - 1 else low + (j + 1) * step
        centres[j] = ((low + j * step) + right) / 2
    for y in range(height):
        for x in range(width):
            value = plane[y, x]
            j = min(int((value - low) * scale), BINS - 1)
            if value < low + j * step:
                j -= 1
            elif j < BINS - 1 and value >= low + (j + 1) * step:
                j += 1
            counts[j] += 1
    return BINS


@njit(cache=True, nogil=True, error_model="numpy")
def otsu(counts, centres, bins):
    """The first centre of the largest variance between the classes (Otsu, 1979)."""
    total = 0.0
    weighted = 0.0
    for j in range(bins):
        total += counts[j]
        weighted += counts[j] * centres[j]
    below = 0.0
    part = 0.0
    best = -1.0
    threshold = centres[0]
    for j in range(bins - 1):
        below += counts[j]
        part += counts[j] * centres[j]
        above = total - below
        if below == 0 or above == 0:
            continue
        gap = part / below - (weighted - part) / above
        variance = below * above * gap * gap
        if variance > best:
            best = variance
            threshold = centres[j]
    return threshold


@njit(cache=True, nogil=True, error_model="numpy")
def triangle(counts, centres, bins):
    """Where the histogram is farthest below the line from its peak to its far end.

    Zack, Rogers and Latt, Journal of Histochemistry and Cytochemistry 25(7), 1977; as scikit-image.
    """
    peak = 0
    first = -1
    last = 0
    for j in range(bins):
        if counts[j] > counts[peak]:
            peak = j
        if counts[j] > 0:
            if first < 0:
                first = j
            last = j
    # The longer tail is gone along, from its end: seen in a mirror if it is the right one.
    mirrored = peak - first < last - peak
    start = bins - 1 - last if mirrored else first
    top = bins - 1 - peak if mirrored else peak
    width = top - start
    norm = math.sqrt(np.float64(counts[peak]) ** 2 + np.float64(width) ** 2)
    rise = counts[peak] / norm
    run = width / norm
    best = -np.inf
    found = start
    for k in range(width):
        level = bins - 1 - (start + k) if mirrored else start + k
        distance = rise * k - run * counts[level]
        if distance > best:
            best = distance
            found = level
    return centres[found]


@njit(cache=True, nogil=True, error_model="numpy")
def percentile_of(values, n, percent):
    """Percentile of the first ``n`` values, which are reordered; interpolated as numpy does."""
    place = (n - 1) * (percent / 100)
    below = int(place)
    part = place - below
    low = select(values, n, below)
    if part == 0.0:
        return low
    high = select(values, n, below + 1)
    gap = high - low
    return high - gap * (1 - part) if part >= 0.5 else low + gap * part


@njit(cache=True, nogil=True, error_model="numpy")
def local_means(plane, height, width, size, line, out):
    """Mean over a square of ``size`` pixels around each pixel, mirrored at the edges.

    Parameters
    ----------
    plane : float64, at least (height, width)
    size : int, odd
    line : float64, at least height, scratch
    out : float64, at least (height, width), out
    """
    radius = size // 2
    for y in range(height):
        for x in range(width):
            total = 0.0
            for k in range(-radius, radius + 1):
                total += plane[y, mirror(x + k, width)]
            out[y, x] = total
    # Divided once: of whole numbers, a pixel that is the mean equals it.
    for x in range(width):
        for y in range(height):
            line[y] = out[y, x]
        for y in range(height):
            total = 0.0
            for k in range(-radius, radius + 1):
                total += line[mirror(y + k, height)]
            out[y, x] = total / (size * size)
