"""Li's minimum cross entropy threshold of one plane, as scikit-image's iteration finds it.

What counts is which pixels are above the threshold. The sums that lead there are taken in any
order, many pixels together, and a bound of their error says how far the threshold may be off. Only
if a pixel is as near as that, or the end of the iteration hangs on it, is all done again with the
sums in numpy's order.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.segmentation.folding import fold_smallest, fold_sum
from scip_mpi.segmentation.logarithm import log
from scip_mpi.segmentation.pairwise import pairwise_sum

EPSILON = 2.0**-52
# By how much, in parts of it, a sum of any number of positive values differs at most from numpy's:
# each is off by less than one rounding per doubling, and numpy's by 30 more in its blocks.
SUM_ERROR = 256 * EPSILON
# Smaller numbers may be rounded by more than a part of them.
TINY = 1e-290
# Below it no sum of positive values overflows in one order that does not in another.
HUGE = 1e308


@njit(cache=True, nogil=True, error_model="numpy")
def li_threshold(plane, height, width, values):
    """Li's threshold of the finite pixels in the (height, width) corner of a plane.

    Ends as scikit-image does: when a step is no longer than half the smallest gap between two
    values, or when the pixels above the threshold no longer change, from where no step leads on.

    Parameters
    ----------
    plane : float64, at least (height, width)
    height, width : int
    values : (3, >= height * width) float64, scratch

    Returns
    -------
    float
        A threshold that the same pixels are above as above scikit-image's; NaN, above which nothing
        is, if no pixel is finite.
    """
    shifted, first, second = values[0], values[1], values[2]
    n = _collect(plane, height, width, shifted)
    if n == 0:
        return np.nan
    low = fold_smallest(shifted, n, 1.0, first)
    high = -fold_smallest(shifted, n, -1.0, first)
    if low == high:
        return low
    for k in range(n):
        shifted[k] -= low
    # The smallest gap between neighbours bounds the smallest gap, which is dear, from above.
    after = shifted[1:]
    for k in range(n - 1):
        gap = abs(after[k] - shifted[k])
        first[k] = gap if gap > 0 else np.inf
    bound = fold_smallest(first, n - 1, 1.0, second)
    threshold = _quickly(shifted, n, low, bound, first, second)
    if np.isnan(threshold):
        threshold = _exactly(shifted, n, bound, first, second)
    return threshold + low


@njit(cache=True, nogil=True, error_model="numpy")
def _collect(plane, height, width, values):
    """Copy the finite pixels; their number."""
    finite = 0
    for y in range(height):
        row, target = plane[y], values[y * width : (y + 1) * width]
        for x in range(width):
            finite += abs(row[x]) < np.inf
            target[x] = row[x]
    if finite == height * width:
        return finite
    n = 0
    for k in range(height * width):
        value = values[k]
        if np.isfinite(value):
            values[n] = value
            n += 1
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _quickly(values, n, low, bound, above, below):
    """The threshold by sums in any order; NaN if a pixel or an end is too near to tell."""
    for k in range(n):
        above[k] = values[k]
    total = fold_sum(above, n)
    if not total < HUGE:
        return np.nan
    threshold = total / n
    doubt = threshold * SUM_ERROR
    before = -1
    step = np.inf
    step_doubt = 0.0
    while True:
        # The pixels are compared after they were shifted and before, where they are rounded too.
        doubt += 8 * EPSILON * (abs(low) + threshold)
        under, over = threshold - doubt, threshold + doubt
        count = 0
        near = 0
        for k in range(n):
            value = values[k]
            near += value > under
            count += value > over
        if near != count:
            return np.nan
        if count in (before, 0, n):
            return threshold
        if 2 * step <= bound + 2 * step_doubt:
            return np.nan
        for k in range(n):
            value = values[k]
            above[k] = value if value > threshold else 0.0
            below[k] = 0.0 if value > threshold else value
        mean_below = fold_sum(below, n) / (n - count)
        if mean_below == 0.0:
            return threshold
        if mean_below < TINY:
            return np.nan
        mean_above = fold_sum(above, n) / count
        log_below, log_above = log(mean_below), log(mean_above)
        following = (mean_below - mean_above) / (log_below - log_above)
        # The means' errors and those of their logarithms, in parts of the differences.
        error = 4 * SUM_ERROR + 4 * EPSILON * (abs(log_below) + abs(log_above))
        error *= mean_above / (mean_above - mean_below)
        if not error < 1e-3:
            return np.nan
        step = abs(following - threshold)
        step_doubt = doubt + following * error
        threshold, doubt = following, following * error
        before = count


@njit(cache=True, nogil=True, error_model="numpy")
def _exactly(values, n, bound, foreground, background):
    """The threshold by sums in numpy's order, to the last bit."""
    threshold = pairwise_sum(values, n) / n
    before = -1
    step = np.inf
    while True:
        above = 0
        for k in range(n):
            value = values[k]
            foreground[above] = value
            background[k - above] = value
            above += value > threshold
        if above in (before, 0, n):
            return threshold
        if 2 * step <= bound and 2 * step <= smallest_gap(values[:n]):
            return threshold
        mean_below = pairwise_sum(background, n - above) / (n - above)
        if mean_below == 0.0:
            return threshold
        mean_above = pairwise_sum(foreground, above) / above
        following = (mean_below - mean_above) / (log(mean_below) - log(mean_above))
        step = abs(following - threshold)
        threshold = following
        before = above


@njit(cache=True, nogil=True, error_model="numpy")
def smallest_gap(values):
    """Smallest difference between two unequal values."""
    ordered = np.sort(values)
    gap = np.inf
    for k in range(1, ordered.size):
        if ordered[k] > ordered[k - 1]:
            gap = min(gap, ordered[k] - ordered[k - 1])
    return gap
