"""Sobel gradient, and its statistics within one mask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SOBEL = ("mean", "std", "max", "min")
ONE = np.uint64(1)
TWO = np.uint64(2)


@njit(cache=True, nogil=True, error_model="numpy")
def sobel(plane, box, rows, out):
    """Squared Sobel magnitude of a part of the plane, the plane's edge pixels repeated.

    Parameters
    ----------
    box : (4,) int64
        The part: (top, left, bottom, right), ends exclusive.
    rows : (>= 3 * (columns of the part + 2),) float64, scratch
    out : (>= rows * columns of the part,) float64
    """
    top, left, bottom, right = box
    columns = right - left
    wide = columns + 2
    for y in range(top - 1, bottom + 1):
        _widen(plane, y, left, right, rows, (y + 1) % 3 * wide)
        if y <= top:
            continue
        # The row before this one has the rows above and below it now. Unsigned places, and no
        # views of rows, make these plain loops over memory.
        above = np.uint64((y - 1) % 3 * wide)
        middle = np.uint64(y % 3 * wide)
        below = np.uint64((y + 1) % 3 * wide)
        at = np.uint64((y - 1 - top) * columns)
        for k in range(columns):
            x = np.uint64(k)
            nw, north, ne = rows[above + x], rows[above + x + ONE], rows[above + x + TWO]
            west, east = rows[middle + x], rows[middle + x + TWO]
            sw, south, se = rows[below + x], rows[below + x + ONE], rows[below + x + TWO]
            down = (sw - nw) + 2.0 * (south - north) + (se - ne)
            over = (ne - nw) + 2.0 * (east - west) + (se - sw)
            # Each direction is divided by 4, the magnitude by the root of 2.
            out[at + x] = (down * down + over * over) * 0.03125


@njit(cache=True, nogil=True, error_model="numpy")
def _widen(plane, y, left, right, rows, at):
    """Columns ``left - 1`` to ``right`` of a row, the plane's edge pixels repeated."""
    height, width = plane.shape
    y = min(max(y, 0), height - 1)
    rows[at] = plane[y, max(left - 1, 0)]
    for x in range(left, right):
        rows[np.uint64(at + 1 + x - left)] = plane[np.uint64(y), np.uint64(x)]
    rows[at + 1 + right - left] = plane[y, min(right, width - 1)]


@njit(cache=True, nogil=True, error_model="numpy")
def surrounded(mask, box, rows, flags, places):
    """Where all eight neighbours (the mask's edge pixels repeated) are in the mask; how many.

    Parameters
    ----------
    mask : (H, W) uint8
        0 or 1.
    box : (4,) int64
        A part of the plane that holds the mask: (top, left, bottom, right), ends exclusive.
    rows : (>= 3 * (columns of the part + 2),) uint8, scratch
    flags : (>= columns of the part) uint8, scratch
    places : int32, out
        Places in the part, in raster order; one more than there are.
    """
    top, left, bottom, right = box
    columns = right - left
    wide = columns + 2
    found = np.uint64(0)
    for y in range(top - 1, bottom + 1):
        _widen(mask, y, left, right, rows, (y + 1) % 3 * wide)
        if y <= top:
            continue
        above = np.uint64((y - 1) % 3 * wide)
        middle = np.uint64(y % 3 * wide)
        below = np.uint64((y + 1) % 3 * wide)
        for k in range(columns):
            x = np.uint64(k)
            flags[x] = (
                rows[above + x] & rows[above + x + ONE] & rows[above + x + TWO]
                & rows[middle + x] & rows[middle + x + TWO]
                & rows[below + x] & rows[below + x + ONE] & rows[below + x + TWO]
            )  # fmt: skip
        at = (y - 1 - top) * columns
        for x in range(columns):
            places[found] = at + x
            found += np.uint64(flags[x])
    return np.int64(found)


@njit(cache=True, nogil=True, error_model="numpy")
def gradient_statistics(gradient, places, values, out):
    """Mean, std, max and min of the gradient at some places; NaN without any.

    Sums are taken in four lanes, always in the same order.

    Parameters
    ----------
    gradient : float64
        Squared, as `sobel` leaves it.
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
        value = gradient[np.uint64(places[k])]
        values[k] = value
        high = max(high, value)
        low = min(low, value)
    for k in range(n):
        values[k] = math.sqrt(values[k])
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
    out[2] = math.sqrt(high)
    out[3] = math.sqrt(low)
