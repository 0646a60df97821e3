"""Features of one co-occurrence matrix, from histograms of it and two sums over its entries."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# The 13 that Haralick, Shanmugam and Dinstein number from 1, in that order, and all of IBSI's.
NUMBER = 13
EVERY = 25


@njit(cache=True, nogil=True, error_model="numpy")
def thirteen(sums, gaps, ends, pairs, squares, weighted, logs, out):
    """Haralick's features of one symmetric matrix.

    Parameters
    ----------
    sums : (2 * most + 1,) int64
        Pairs by the sum of their levels.
    gaps : (most,) int64
        By the difference.
    ends : (most + 1,) int64
        Levels of both pixels of all pairs.
    pairs : int
        How many; at least one.
    squares, weighted : float
        Sums of c^2 and c log2 c over the entries c of the symmetric matrix of counts.
    logs : float64
        log2 of whole numbers; 0 for 0.
    out : (13,) float64
    """
    twice = 2 * pairs
    total = np.float64(twice)
    most = len(ends) - 1
    first = np.int64(0)
    of_ends = 0.0
    for level in range(1, most + 1):
        first += level * ends[level]
        of_ends += ends[level] * logs[ends[level]]
    mean = first / total
    variance = 0.0
    for level in range(1, most + 1):
        variance += (level - mean) * (level - mean) * ends[level]
    variance /= total
    contrast = np.int64(0)
    distance = np.int64(0)
    similar = 0.0
    of_gaps = 0.0
    for gap in range(most):
        count = gaps[gap]
        contrast += gap * gap * count
        distance += gap * count
        similar += count / (1.0 + gap * gap)
        of_gaps += count * logs[count]
    mean_gap = distance / pairs
    gap_variance = 0.0
    for gap in range(most):
        count = gaps[gap]
        gap_variance += (gap - mean_gap) * (gap - mean_gap) * count
    sum_variance = 0.0
    of_sums = 0.0
    for s in range(2, 2 * most + 1):
        count = sums[s]
        sum_variance += (s - 2.0 * mean) * (s - 2.0 * mean) * count
        of_sums += count * logs[count]
    sum_variance /= pairs
    joint = max(logs[twice] - weighted / total, 0.0)
    single = max(logs[twice] - of_ends / total, 0.0)
    out[0] = squares / (total * total)
    out[1] = contrast / pairs
    out[2] = (sum_variance - out[1]) / (4.0 * variance) if variance > 0.0 else np.nan
    out[3] = variance
    out[4] = similar / pairs
    out[5] = 2.0 * mean
    out[6] = sum_variance
    out[7] = max(logs[pairs] - of_sums / pairs, 0.0)
    out[8] = joint
    out[9] = gap_variance / pairs
    out[10] = max(logs[pairs] - of_gaps / pairs, 0.0)
    # The matrix is symmetric: both of Haralick's joint entropies of independent levels are twice
    # the entropy of one.
    out[11] = (joint - 2.0 * single) / single if variance > 0.0 else np.nan
    out[12] = math.sqrt(max(1.0 - math.exp(-2.0 * (2.0 * single - joint)), 0.0))


@njit(cache=True, nogil=True, error_model="numpy")
def twelve(sums, gaps, pairs, largest, span, out):
    """What IBSI has beside Haralick's features, after them, of one symmetric matrix.

    Parameters
    ----------
    sums, gaps, pairs
        As `thirteen` has them.
    largest : int
        The largest entry of the symmetric matrix of counts.
    span : int
        How many levels there are, as IBSI counts them.
    out : (25,) float64
        With Haralick's features in it.
    """
    mean = 0.5 * out[5]
    gap_sum = np.int64(0)
    inverse = 0.0
    inverse_normalised = 0.0
    moment_normalised = 0.0
    inverse_variance = 0.0
    for gap in range(len(gaps)):
        count = gaps[gap]
        share = gap / span
        gap_sum += gap * count
        inverse += count / (1.0 + gap)
        inverse_normalised += count / (1.0 + share)
        moment_normalised += count / (1.0 + share * share)
        if gap:
            inverse_variance += count / (np.float64(gap) * gap)
    shade = 0.0
    prominence = 0.0
    for s in range(2, len(sums)):
        count = sums[s]
        beyond = s - 2.0 * mean
        shade += beyond * beyond * beyond * count
        prominence += beyond * beyond * beyond * beyond * count
    out[13] = largest / (2.0 * pairs)
    out[14] = mean
    out[15] = gap_sum / pairs
    out[16] = out[15]
    out[17] = inverse / pairs
    out[18] = inverse_normalised / pairs
    out[19] = moment_normalised / pairs
    out[20] = inverse_variance / pairs
    # i j = ((i + j)^2 - (i - j)^2) / 4
    out[21] = 0.25 * (out[6] + out[5] * out[5] - out[1])
    out[22] = out[6]
    out[23] = shade / pairs
    out[24] = prominence / pairs
