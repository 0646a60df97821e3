"""Sobel gradient, and its statistics within one mask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SOBEL = ("mean", "std", "max", "min")


@njit(cache=True, nogil=True, error_model="numpy")
def magnitude(plane, y, x, a, c, w, e):
    """Sobel magnitude of a pixel; ``a``, ``c``, ``w`` and ``e`` are the rows and columns beside."""
    nw, n, ne = np.float64(plane[a, w]), np.float64(plane[a, x]), np.float64(plane[a, e])
    west, east = np.float64(plane[y, w]), np.float64(plane[y, e])
    sw, s, se = np.float64(plane[c, w]), np.float64(plane[c, x]), np.float64(plane[c, e])
    down = (sw - nw) + 2.0 * (s - n) + (se - ne)
    over = (ne - nw) + 2.0 * (east - west) + (se - sw)
    # Each direction is divided by 4, the magnitude by the root of 2.
    return math.sqrt((down * down + over * over) * 0.03125)


@njit(cache=True, nogil=True, error_model="numpy")
def sobel(plane, out):
    """Sobel magnitude of the whole plane, the edge pixels repeated."""
    height, width = plane.shape
    for y in range(height):
        a = max(y - 1, 0)
        c = min(y + 1, height - 1)
        for x in range(width):
            out[y, x] = magnitude(plane, y, x, a, c, max(x - 1, 0), min(x + 1, width - 1))


@njit(cache=True, nogil=True, error_model="numpy")
def gradient_statistics(gradient, mask, out):
    """Mean, std, max and min of the gradient where all eight neighbours are in the mask."""
    height, width = mask.shape
    n = 0
    total = 0.0
    high = -np.inf
    low = np.inf
    mean = 0.0
    squares = 0.0
    for turn in range(2):
        for y in range(height):
            a = max(y - 1, 0)
            c = min(y + 1, height - 1)
            for x in range(width):
                w = max(x - 1, 0)
                e = min(x + 1, width - 1)
                if not (
                    mask[a, w] and mask[a, x] and mask[a, e] and mask[y, w] and mask[y, e]
                    and mask[c, w] and mask[c, x] and mask[c, e]
                ):  # fmt: skip
                    continue
                value = gradient[y, x]
                if turn:
                    squares += (value - mean) * (value - mean)
                else:
                    n += 1
                    total += value
                    high = max(high, value)
                    low = min(low, value)
        if n == 0:
            out[:] = np.nan
            return
        mean = total / n
    out[0] = mean
    out[1] = math.sqrt(squares / n)
    out[2] = high
    out[3] = low


@njit(cache=True, nogil=True, error_model="numpy")
def gradient_within(plane, mask, box, with_std, found, out):
    """`gradient_statistics` without the gradient of the rest of the plane.

    Parameters
    ----------
    box : (top, left, bottom, right)
        Bounding box of the mask.
    found : float64, scratch
        As many as the box has pixels.
    """
    height, width = mask.shape
    top, left, bottom, right = box
    n = 0
    total = 0.0
    high = -np.inf
    low = np.inf
    for y in range(top, bottom):
        a = max(y - 1, 0)
        c = min(y + 1, height - 1)
        for x in range(left, right):
            w = max(x - 1, 0)
            e = min(x + 1, width - 1)
            inside = (
                mask[a, w] & mask[a, x] & mask[a, e] & mask[y, w] & mask[y, e]
                & mask[c, w] & mask[c, x] & mask[c, e]
            )  # fmt: skip
            if inside:
                value = magnitude(plane, y, x, a, c, w, e)
                found[n] = value
                n += 1
                total += value
                high = max(high, value)
                low = min(low, value)
    if n == 0:
        out[:] = np.nan
        return
    mean = total / n
    squares = 0.0
    if with_std:
        for k in range(n):
            squares += (found[k] - mean) * (found[k] - mean)
    out[0] = mean
    out[1] = math.sqrt(squares / n)
    out[2] = high
    out[3] = low
