"""Costes' threshold of two channels, and the parts of their intensity above it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# Fewest pixels that a correlation means anything for.
FEWEST = 3
MOST_STEPS = 256
# Covariances that are a smaller part of the variances are nothing but rounding.
RESOLUTION = 8 * 2.0**-52


@njit(cache=True, nogil=True, error_model="numpy")
def costes(first, second, top, steps):
    """Parts of either channel's intensity where both are above their thresholds.

    The thresholds lie on the line through the pixels by orthogonal regression; that of the first
    channel is the least of the whole steps, looked for by CellProfiler's bisection, below which the
    pixels are not correlated negatively.

    Parameters
    ----------
    first, second : (n,) float64
        The pixels of either channel.
    top : float
        Largest value that a pixel can have.
    steps : int
        How many thresholds there are up to there.

    Returns
    -------
    tuple of float
        NaN for less than 3 pixels, or less than 3 that are not 0 in both channels; pixels below 0
        or above ``top``; a channel that is constant over those pixels, or channels that do not vary
        together; no threshold; no intensity at or above one.
    """
    n = len(first)
    xs, ys = np.empty(n), np.empty(n)
    for k in range(n):
        xs[k] = first[k] / top
        ys[k] = second[k] / top
    slope, offset, mean_x, mean_y = _regression(xs, ys)
    if math.isnan(slope):
        return np.nan, np.nan
    left, right = 1.0, np.float64(steps)
    part = 6 / 5
    middle = (right - left) // part + left
    last = 0.0
    valid = -1.0
    for _ in range(MOST_STEPS):
        if middle == last:
            break
        at = middle / steps
        sign = _background(xs, ys, at, slope * at + offset, mean_x, mean_y)
        if math.isnan(sign) or sign < 0.0:
            left = middle - 1.0
        else:
            right = middle + 1.0
            valid = middle
        last = middle
        middle = (right - left) // (part if right - left > 6.0 else 2.0) + left
    if valid < 0.0:
        return np.nan, np.nan
    x_limit = (valid - 1.0) / steps
    y_limit = slope * x_limit + offset
    if math.isnan(_background(xs, ys, x_limit, y_limit, mean_x, mean_y)):
        return np.nan, np.nan
    x_both, y_both, x_all, y_all = 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        x, y = xs[k], ys[k]
        if x > x_limit and y > y_limit:
            x_both += x
            y_both += y
        if x >= x_limit:
            x_all += x
        if y >= y_limit:
            y_all += y
    if x_all <= 0.0 or y_all <= 0.0:
        return np.nan, np.nan
    return x_both / x_all, y_both / y_all


@njit(cache=True, nogil=True, error_model="numpy")
def _regression(xs, ys):
    """Slope and offset of the orthogonal regression, and the means; a NaN slope without any."""
    none = (np.nan, np.nan, np.nan, np.nan)
    n = 0
    sum_x, sum_y = 0.0, 0.0
    low_x, low_y, high_x, high_y = np.inf, np.inf, -np.inf, -np.inf
    for k in range(len(xs)):
        x, y = xs[k], ys[k]
        if not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            return none
        if x > 0.0 or y > 0.0:
            n += 1
            sum_x += x
            sum_y += y
            low_x, high_x = min(low_x, x), max(high_x, x)
            low_y, high_y = min(low_y, y), max(high_y, y)
    if n < FEWEST or low_x == high_x or low_y == high_y:
        return none
    mean_x, mean_y = sum_x / n, sum_y / n
    xx, yy, xy = 0.0, 0.0, 0.0
    for k in range(len(xs)):
        x, y = xs[k], ys[k]
        if x > 0.0 or y > 0.0:
            xx += (x - mean_x) * (x - mean_x)
            yy += (y - mean_y) * (y - mean_y)
            xy += (x - mean_x) * (y - mean_y)
    if abs(xy) <= RESOLUTION * max(xx, yy):
        return none
    slope = ((yy - xx) + math.sqrt((yy - xx) * (yy - xx) + 4.0 * xy * xy)) / (2.0 * xy)
    return slope, mean_y - slope * mean_x, mean_x, mean_y


@njit(cache=True, nogil=True, error_model="numpy")
def _background(xs, ys, x_limit, y_limit, mean_x, mean_y):
    """Covariance, but for a factor, of the pixels below a threshold; NaN where it means nothing."""
    n = 0
    sum_x, sum_y, sum_xy = 0.0, 0.0, 0.0
    low_x, low_y, high_x, high_y = np.inf, np.inf, -np.inf, -np.inf
    for k in range(len(xs)):
        x, y = xs[k], ys[k]
        if x < x_limit or y < y_limit:
            n += 1
            sum_x += x - mean_x
            sum_y += y - mean_y
            sum_xy += (x - mean_x) * (y - mean_y)
            low_x, high_x = min(low_x, x), max(high_x, x)
            low_y, high_y = min(low_y, y), max(high_y, y)
    if n < FEWEST or low_x == high_x or low_y == high_y:
        return np.nan
    return sum_xy - sum_x * sum_y / n
