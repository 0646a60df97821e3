"""Sobel gradient, and its statistics within one mask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SOBEL = ("mean", "std", "max", "min")


@njit(cache=True, nogil=True, error_model="numpy")
def sobel(plane, box, rows, out):
    """Sobel magnitude of a part of the plane, the plane's edge pixels repeated.

    Parameters
    ----------
    box : (4,) int64
        The part: (top, left, bottom, right), ends exclusive.
    rows : (3, >= columns of the part + 2) float64, scratch
    out : (rows, columns of the part) float64
    """
    height = len(plane)
    top, left, bottom, right = box
    columns = right - left
    for y in range(top - 1, bottom + 1):
        _widen(plane[min(max(y, 0), height - 1)], left, right, rows[(y + 1) % 3])
        if y <= top:
            continue
        # The row before this one has the rows above and below it now.
        above = rows[(y - 1) % 3]
        middle = rows[y % 3]
        below = rows[(y + 1) % 3]
        target = out[y - 1 - top]
        for x in range(columns):
            nw, n, ne = above[x], above[x + 1], above[x + 2]
            west, east = middle[x], middle[x + 2]
            sw, s, se = below[x], below[x + 1], below[x + 2]
            down = (sw - nw) + 2.0 * (s - n) + (se - ne)
            over = (ne - nw) + 2.0 * (east - west) + (se - sw)
            # Each direction is divided by 4, the magnitude by the root of 2.
            target[x] = math.sqrt((down * down + over * over) * 0.03125)


@njit(cache=True, nogil=True, error_model="numpy")
def _widen(source, left, right, out):
    """Columns ``left - 1`` to ``right`` of a row, the row's ends repeated."""
    out[0] = source[max(left - 1, 0)]
    pixels = source[left:right]
    for x in range(pixels.size):
        out[x + 1] = pixels[x]
    out[right - left + 1] = source[min(right, source.size - 1)]


@njit(cache=True, nogil=True, error_model="numpy")
def surrounded(mask, box, rows, flags, places):
    """Where all eight neighbours (the mask's edge pixels repeated) are in the mask; how many.

    Parameters
    ----------
    mask : (H, W) uint8
        0 or 1.
    box : (4,) int64
        A part of the plane that holds the mask: (top, left, bottom, right), ends exclusive.
    rows : (3, >= columns of the part + 2) uint8, scratch
    flags : (>= columns of the part) uint8, scratch
    places : int32, out
        Places in the part, in raster order.
    """
    height = len(mask)
    top, left, bottom, right = box
    columns = right - left
    found = 0
    for y in range(top - 1, bottom + 1):
        _widen(mask[min(max(y, 0), height - 1)], left, right, rows[(y + 1) % 3])
        if y <= top:
            continue
        above = rows[(y - 1) % 3]
        middle = rows[y % 3]
        below = rows[(y + 1) % 3]
        for x in range(columns):
            flags[x] = (
                above[x] & above[x + 1] & above[x + 2] & middle[x] & middle[x + 2]
                & below[x] & below[x + 1] & below[x + 2]
            )  # fmt: skip
        at = (y - 1 - top) * columns
        for x in range(columns):
            places[found] = at + x
            found += flags[x]
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def gradient_statistics(gradient, places, values, out):
    """Mean, std, max and min of the gradient at some places; NaN without any.

    Sums are taken in four lanes, always in the same order.

    Parameters
    ----------
    gradient : float64
    places : (n,) int32
    values : (>= n,) float64, scratch
    """
    n = places.size
    if n == 0:
        out[:] = np.nan
        return
    high = -np.inf
    low = np.inf
    for k in range(n):
        value = gradient[places[k]]
        values[k] = value
        high = max(high, value)
        low = min(low, value)
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for k in range(0, n - 3, 4):
        a += values[k]
        b += values[k + 1]
        c += values[k + 2]
        d += values[k + 3]
    for k in range(n - n % 4, n):
        a += values[k]
    mean = ((a + b) + (c + d)) / n
    a, b, c, d = 0.0, 0.0, 0.0, 0.0
    for k in range(0, n - 3, 4):
        a += (values[k] - mean) * (values[k] - mean)
        b += (values[k + 1] - mean) * (values[k + 1] - mean)
        c += (values[k + 2] - mean) * (values[k + 2] - mean)
        d += (values[k + 3] - mean) * (values[k + 3] - mean)
    for k in range(n - n % 4, n):
        a += (values[k] - mean) * (values[k] - mean)
    out[0] = mean
    out[1] = math.sqrt(((a + b) + (c + d)) / n)
    out[2] = high
    out[3] = low
