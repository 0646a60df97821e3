"""The rim of a mask: what an erosion by a disc of radius 6 takes away."""

from __future__ import annotations

import numpy as np
from numba import njit

RADIUS = 6
# Half width of the disc in each of its rows: x^2 + y^2 <= 36.
HALF_WIDTHS = np.array([0, 3, 4, 5, 5, 5, 6, 5, 5, 5, 4, 3, 0], np.int64)


@njit(cache=True, nogil=True, error_model="numpy")
def rim(mask, left, right, out):
    """Pixels of ``mask`` with a background pixel within the disc; outside the image counts as mask.

    Parameters
    ----------
    mask : (H, W) uint8
    left, right : (H, W) int64, scratch
        Distance of each pixel to the next background pixel of its row, to the left and right.
    out : (H, W) uint8
    """
    height, width = mask.shape
    far = width + RADIUS + 1
    for y in range(height):
        distance = far
        for x in range(width):
            distance = 0 if mask[y, x] == 0 else distance + 1
            left[y, x] = distance
        distance = far
        for x in range(width - 1, -1, -1):
            distance = 0 if mask[y, x] == 0 else distance + 1
            right[y, x] = distance
    for y in range(height):
        for x in range(width):
            out[y, x] = 0
            if mask[y, x] == 0:
                continue
            for k in range(max(-RADIUS, -y), min(RADIUS, height - 1 - y) + 1):
                half = HALF_WIDTHS[k + RADIUS]
                if left[y + k, x] <= half or right[y + k, x] <= half:
                    out[y, x] = 1
                    break
