"""How the power of a masked plane falls with frequency."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# Powers below this share of the largest are what rounding leaves of 0.
ROUNDING = 1e-24


@njit(cache=True, nogil=True, error_model="numpy")
def side_of(most):
    """The least power of two, at least 4, that holds so many rows or columns."""
    side = 4
    while side < most:
        side *= 2
    return side


@njit(cache=True, nogil=True, error_model="numpy")
def make_tables(side, cosines, sines, swaps, rings):
    """What a transform of that side needs.

    Parameters
    ----------
    side : int
        A power of two, at least 4.
    cosines, sines : (>= side / 2,) float64, out
        Of the angles -2 pi k / side.
    swaps : (>= side,) int64, out
        Each number with its bits reversed.
    rings : (>= side * (side / 2 + 1),) int32, out
        Distance of each frequency from 0, rounded, row after row of frequencies.
    """
    half = side // 2
    for k in range(half):
        angle = -2.0 * math.pi * k / side
        cosines[k] = math.cos(angle)
        sines[k] = math.sin(angle)
    swaps[0] = 0
    for k in range(1, side):
        swaps[k] = swaps[k >> 1] >> 1
        if k & 1:
            swaps[k] += half
    at = 0
    for y in range(side):
        down = min(y, side - y)
        for x in range(half + 1):
            rings[at] = np.int32(math.sqrt(np.float64(down * down + x * x)) + 0.5)
            at += 1


@njit(cache=True, nogil=True, error_model="numpy")
def transform_rows(real, imaginary, side, width, cosines, sines):
    """Fourier transform of each column of a plane, in place, a whole row at a time.

    Parameters
    ----------
    real, imaginary : (side * width,) float64
        Rows in the order of their numbers with bits reversed; in order on return.
    """
    span = 1
    while span < side:
        stride = side // (2 * span)
        for start in range(0, side, 2 * span):
            for k in range(span):
                c = cosines[k * stride]
                s = sines[k * stride]
                upper = np.uint64((start + k) * width)
                lower = np.uint64((start + k + span) * width)
                for x in range(np.uint64(width)):
                    a = real[lower + x]
                    b = imaginary[lower + x]
                    turned = a * c - b * s
                    other = a * s + b * c
                    a = real[upper + x]
                    b = imaginary[upper + x]
                    real[lower + x] = a - turned
                    imaginary[lower + x] = b - other
                    real[upper + x] = a + turned
                    imaginary[upper + x] = b + other
        span *= 2


@njit(cache=True, nogil=True, error_model="numpy")
def ring_powers(square, side, cosines, sines, swaps, rings, work, powers, counts):
    """Mean power of the frequencies at each whole distance from 0, up to half the side.

    Parameters
    ----------
    square : (side * side,) float64
    work : (4, >= side * (side / 2 + 1)) float64, scratch
    powers : (>= side / 2 + 1,) float64, out
    counts : int64, scratch
    """
    half = side // 2
    width = half + 1
    real, imaginary = work[0], work[1]
    # Two real columns make one complex one.
    for y in range(side):
        target = swaps[y] * half
        for x in range(half):
            real[target + x] = square[y * side + x]
            imaginary[target + x] = square[y * side + half + x]
    transform_rows(real, imaginary, side, half, cosines, sines)
    # Taken apart, and turned on its side: frequencies along rows become columns.
    across, along = work[2], work[3]
    for f in range(half + 1):
        mirrored = (side - f) % side
        for x in range(half):
            a = real[f * half + x]
            b = imaginary[f * half + x]
            c = real[mirrored * half + x]
            d = imaginary[mirrored * half + x]
            left = swaps[x] * width + f
            right = swaps[half + x] * width + f
            across[left] = 0.5 * (a + c)
            along[left] = 0.5 * (b - d)
            across[right] = 0.5 * (b + d)
            along[right] = 0.5 * (c - a)
    transform_rows(across, along, side, width, cosines, sines)
    for ring in range(half + 1):
        powers[ring] = 0.0
        counts[ring] = 0
    for y in range(side):
        for x in range(width):
            k = y * width + x
            ring = rings[k]
            if ring <= half:
                # A real plane's other half is the same.
                times = 1 if x == 0 or x == half else 2
                powers[ring] += times * (across[k] * across[k] + along[k] * along[k])
                counts[ring] += times
    for ring in range(half + 1):
        powers[ring] /= counts[ring]


@njit(cache=True, nogil=True, error_model="numpy")
def slope_of(powers, half):
    """Slope of the least-squares line through log power against log frequency; NaN without one."""
    largest = 0.0
    for ring in range(1, half + 1):
        largest = max(largest, powers[ring])
    n = 0
    x_sum = 0.0
    y_sum = 0.0
    for ring in range(1, half + 1):
        if powers[ring] > ROUNDING * largest:
            n += 1
            x_sum += math.log(np.float64(ring))
            y_sum += math.log(powers[ring])
    if n < 2:
        return np.nan
    x_mean = x_sum / n
    y_mean = y_sum / n
    above = 0.0
    below = 0.0
    for ring in range(1, half + 1):
        if powers[ring] > ROUNDING * largest:
            gap = math.log(np.float64(ring)) - x_mean
            above += gap * (math.log(powers[ring]) - y_mean)
            below += gap * gap
    return above / below
