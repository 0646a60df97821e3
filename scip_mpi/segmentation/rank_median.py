"""Median over a disc of radius 5, as scikit-image's rank filter has it, by a sliding histogram."""

from __future__ import annotations

import numpy as np
from numba import njit

RADIUS = 5
# Half width of the disc in each of its rows: x^2 + y^2 <= 25.
HALF_WIDTHS = np.array([0, 3, 4, 4, 4, 5, 4, 4, 4, 3, 0], np.int64)


@njit(cache=True, nogil=True, error_model="numpy")
def rank_median(plane, height, width, histogram, out):
    """Median of the pixels of ``plane`` within 5 pixels; those beyond the image are left out.

    The lowest level at which more than half of the pixels have been counted. The window goes to
    and fro over the rows; the histogram and the median move with it.

    Parameters
    ----------
    plane : (H, W) uint16
    histogram : int64, scratch
        At least one more place than the largest level.
    out : (H, W) uint16
    """
    histogram[:] = 0
    count = 0
    for dy in range(0, min(RADIUS, height - 1) + 1):
        for x in range(0, min(HALF_WIDTHS[dy + RADIUS], width - 1) + 1):
            histogram[plane[dy, x]] += 1
            count += 1
    median = 0
    below = 0  # pixels of the window under the median
    x = 0
    step = 1
    for y in range(height):
        while True:
            while 2 * below > count:
                median -= 1
                below -= histogram[median]
            while 2 * (below + histogram[median]) <= count:
                below += histogram[median]
                median += 1
            out[y, x] = median
            if x + step < 0 or x + step >= width:
                break
            for k in range(max(-RADIUS, -y), min(RADIUS, height - 1 - y) + 1):
                half = HALF_WIDTHS[k + RADIUS]
                gone = x - step * half
                come = x + step * (half + 1)
                if 0 <= gone < width:
                    level = plane[y + k, gone]
                    histogram[level] -= 1
                    count -= 1
                    below -= level < median
                if 0 <= come < width:
                    level = plane[y + k, come]
                    histogram[level] += 1
                    count += 1
                    below += level < median
            x += step
        if y + 1 < height:
            for k in range(max(-RADIUS, -x), min(RADIUS, width - 1 - x) + 1):
                half = HALF_WIDTHS[k + RADIUS]
                gone = y - half
                come = y + half + 1
                if gone >= 0:
                    level = plane[gone, x + k]
                    histogram[level] -= 1
                    count -= 1
                    below -= level < median
                if come < height:
                    level = plane[come, x + k]
                    histogram[level] += 1
                    count += 1
                    below += level < median
            step = -step
