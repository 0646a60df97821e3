"""Elongation and lobes of the light in one mask, from moments weighted by it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

ASPECT_RATIO, SYMMETRY_2, SYMMETRY_3, SYMMETRY_4 = range(4)


@njit(cache=True, nogil=True, error_model="numpy")
def light_centroid(plane, runs, level):
    """Whole pixel nearest to the centroid of the light, how far that is off it, and all light.

    The light of a pixel is what it is above ``level``, at least 0. Without light the pixel is the
    first.

    Parameters
    ----------
    plane : (H, W)
    runs : (n, 3) int64
        The mask's, in raster order; at least one.
    level : float
    """
    near_y, near_x = runs[0, 0], runs[0, 1]
    off_y, off_x, total = 0.0, 0.0, 0.0
    # Once to find the pixel, and once about it: light in one pixel is exactly there then.
    for _ in range(2):
        near_y += np.int64(math.floor(off_y + 0.5))
        near_x += np.int64(math.floor(off_x + 0.5))
        sum_y, sum_x, total = 0.0, 0.0, 0.0
        for r in range(len(runs)):
            y = runs[r, 0]
            in_row = 0.0
            for x in range(runs[r, 1], runs[r, 2]):
                light = max(np.float64(plane[y, x]) - level, 0.0)
                in_row += light
                sum_x += light * (x - near_x)
            sum_y += in_row * (y - near_y)
            total += in_row
        if not (0.0 < total < np.inf):
            return near_y, near_x, 0.0, 0.0, 0.0
        off_y, off_x = sum_y / total, sum_x / total
    return near_y, near_x, off_y, off_x, total


@njit(cache=True, nogil=True, error_model="numpy")
def lobes(plane, runs, level, out):
    """Aspect ratio and symmetries of the light in a mask.

    With z = x + iy from the light's centroid, symmetry n is |sum of w |z|^2 (z / |z|)^n| over the
    sum of w |z|^2, w being the light: 0 for a disc, 1 for n equal points on a circle.

    Parameters
    ----------
    plane, runs, level
        As `light_centroid` has them.
    out : (4,) float64
        Minor over major axis of the ellipse with the same second moments; symmetry 2, 3 and 4. NaN
        where there is no light, or all of it is in one pixel.
    """
    out[:] = np.nan
    near_y, near_x, off_y, off_x, total = light_centroid(plane, runs, level)
    if total == 0.0:
        return
    # Second moments; then real and imaginary parts for n = 3 and 4.
    yy, xx, yx = 0.0, 0.0, 0.0
    a3, b3, a4, b4 = 0.0, 0.0, 0.0, 0.0
    for r in range(len(runs)):
        dy = (runs[r, 0] - near_y) - off_y
        for x in range(runs[r, 1], runs[r, 2]):
            light = max(np.float64(plane[runs[r, 0], x]) - level, 0.0)
            dx = (x - near_x) - off_x
            square = dx * dx + dy * dy
            if light == 0.0 or square == 0.0:
                continue
            yy += light * (dy * dy)
            xx += light * (dx * dx)
            yx += light * (dy * dx)
            c2 = dx * dx - dy * dy
            s2 = 2.0 * (dx * dy)
            weight = light / math.sqrt(square)
            a3 += weight * (c2 * dx - s2 * dy)
            b3 += weight * (c2 * dy + s2 * dx)
            weight = light / square
            a4 += weight * (c2 * c2 - s2 * s2)
            b4 += weight * (2.0 * (c2 * s2))
    spread = yy + xx
    if not (0.0 < spread < np.inf):
        return
    second = math.sqrt((xx - yy) * (xx - yy) + 4.0 * (yx * yx))
    out[ASPECT_RATIO] = math.sqrt(max(spread - second, 0.0) / (spread + second))
    out[SYMMETRY_2] = second / spread
    out[SYMMETRY_3] = math.sqrt(a3 * a3 + b3 * b3) / spread
    out[SYMMETRY_4] = math.sqrt(a4 * a4 + b4 * b4) / spread


@njit(cache=True, nogil=True, error_model="numpy")
def lobe_count(symmetries, threshold):
    """The n of the largest symmetry n, the smallest of equals; 1 if it is below the threshold."""
    best = 0
    for k in range(1, 3):
        if symmetries[k] > symmetries[best]:
            best = k
    if math.isnan(symmetries[best]):
        return np.nan
    return best + 2.0 if symmetries[best] >= threshold else 1.0
