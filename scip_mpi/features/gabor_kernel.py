"""Gabor filters of four directions at once, as products of filters along rows and columns.

A wave along rows, columns or a diagonal is a product of one along rows and one along columns; so is
the round Gaussian. All are even or odd, so that pixels at the same distance to both sides share a
multiplication, and the two diagonals share all but the last sum.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.features.angles import ANGLES, over_angles
from scip_mpi.features.mask_pixels import are_numbers, stand_out, tight_box

# The Gaussian alone, cosine and sine of the full frequency, and of that at 45 degrees.
PARTS = 5
# Planes that are worked with: the cell, those filtered along rows, four filtered along both.
BUFFERS = 1 + PARTS + 4


@njit(cache=True, nogil=True, error_model="numpy")
def fill(values, begins, sources, bounds, shapes, reaches, taps, statistics, work, out):
    """Fill all columns: by channel, wavelength, statistic.

    Parameters
    ----------
    values, begins, sources, bounds
        As `scip_mpi.features.mask_pixels.MaskPixels` has them.
    reaches : (w,) int64
        How many pixels a filter of each wavelength reaches to each side.
    taps : (w, PARTS, > reach + 1) float64
        From the middle to one side; 0 beyond the reach.
    work : (BUFFERS, >= size) float64, scratch
        For planes of the largest box with ``reach + 1`` columns beside it, and as many rows above
        and below.
    """
    cell = work[0]
    filtered = work[1 : 1 + PARTS]
    first, second, third, fourth = work[6], work[7], work[8], work[9]
    at = np.full((ANGLES + 1, 1), np.nan)
    found = np.empty(len(statistics))
    for i in range(len(shapes)):
        for j in range(begins.shape[1]):
            listed = sources[bounds[i, j, 0] : bounds[i, j, 1]]
            n = len(listed)
            if n == 0:
                continue
            own = values[begins[i, j] : begins[i, j] + n]
            if not are_numbers(own):
                continue
            width = shapes[i, 2]
            box = tight_box(listed, width)
            for w in range(len(reaches)):
                part = taps[w]
                # A gap of 0 after each row serves the next row's start too; rows of 0 are above
                # and below. So a filter is the same for all pixels of a plane, in one long loop.
                pitch = box[3] + reaches[w] + 1
                pad = (reaches[w] + 1) * pitch
                size = box[2] * pitch
                whole = size + 2 * pad
                along = min(reaches[w], box[3] - 1)
                down = min(reaches[w], box[2] - 1)
                for k in range(whole):
                    cell[k] = 0.0
                    for p in range(PARTS):
                        filtered[p, k] = 0.0
                at[:ANGLES, 0] = 0.0
                if stand_out(own, listed, width, box, pitch, cell[pad : pad + size]):
                    for p in range(PARTS):
                        inside = filtered[p, pad : pad + size]
                        if p == 2 or p == 4:
                            odd_filter(cell, pad, 1, part[p], along, inside)
                        else:
                            even_filter(cell, pad, 1, part[p], along, inside)
                    # The gaps hold what filters smeared into them.
                    for p in range(PARTS):
                        for y in range(box[2]):
                            for x in range(pad + y * pitch + box[3], pad + (y + 1) * pitch):
                                filtered[p, x] = 0.0
                    even_filter(filtered[1], pad, pitch, part[0], down, first[:size])
                    even_filter(filtered[2], pad, pitch, part[0], down, second[:size])
                    at[0, 0] = magnitude(first, second, listed, width, box, pitch)
                    even_filter(filtered[0], pad, pitch, part[1], down, first[:size])
                    odd_filter(filtered[0], pad, pitch, part[2], down, second[:size])
                    at[2, 0] = magnitude(first, second, listed, width, box, pitch)
                    even_filter(filtered[3], pad, pitch, part[3], down, first[:size])
                    odd_filter(filtered[3], pad, pitch, part[4], down, second[:size])
                    even_filter(filtered[4], pad, pitch, part[3], down, third[:size])
                    odd_filter(filtered[4], pad, pitch, part[4], down, fourth[:size])
                    for k in range(size):
                        a, b, c, d = first[k], second[k], third[k], fourth[k]
                        # The product of the waves along rows and columns, and of one of them with
                        # the other's mirror image.
                        first[k] = a + d
                        second[k] = c - b
                        third[k] = a - d
                        fourth[k] = c + b
                    at[1, 0] = magnitude(first, second, listed, width, box, pitch)
                    at[3, 0] = magnitude(third, fourth, listed, width, box, pitch)
                over_angles(at, statistics, found)
                for s in range(len(statistics)):
                    out[i, (j * len(reaches) + w) * len(statistics) + s] = found[s]


@njit(cache=True, nogil=True, error_model="numpy")
def even_filter(plane, start, step, taps, reach, out):
    """Filter a plane with even taps.

    Parameters
    ----------
    plane : float64
    start : int
        Where in it the first pixel of ``out`` lies; 0 for ``reach + 1`` steps to both sides.
    step : int
        From a pixel to the next one along which is filtered.
    taps : (> reach + 1,) float64
        From the middle to one side.
    out : (n,) float64, out
    """
    n = len(out)
    middle = plane[start : start + n]
    for k in range(n):
        out[k] = taps[0] * middle[k]
    # Two taps at a time: fewer loads and stores of the sums. One beyond the reach is 0.
    for t in range(1, reach + 1, 2):
        a, b = taps[t], taps[t + 1]
        after = plane[start + t * step : start + t * step + n]
        before = plane[start - t * step : start - t * step + n]
        later = plane[start + (t + 1) * step : start + (t + 1) * step + n]
        earlier = plane[start - (t + 1) * step : start - (t + 1) * step + n]
        for k in range(n):
            out[k] += a * (after[k] + before[k]) + b * (later[k] + earlier[k])


@njit(cache=True, nogil=True, error_model="numpy")
def odd_filter(plane, start, step, taps, reach, out):
    """The same with odd taps, the middle one being 0."""
    n = len(out)
    for k in range(n):
        out[k] = 0.0
    for t in range(1, reach + 1, 2):
        a, b = taps[t], taps[t + 1]
        after = plane[start + t * step : start + t * step + n]
        before = plane[start - t * step : start - t * step + n]
        later = plane[start + (t + 1) * step : start + (t + 1) * step + n]
        earlier = plane[start - (t + 1) * step : start - (t + 1) * step + n]
        for k in range(n):
            out[k] += a * (after[k] - before[k]) + b * (later[k] - earlier[k])


@njit(cache=True, nogil=True, error_model="numpy")
def magnitude(real, imaginary, sources, width, box, pitch):
    """Mean magnitude of a complex plane over a mask."""
    total = 0.0
    for k in range(len(sources)):
        y = np.int64(sources[k]) // width - box[0]
        x = np.int64(sources[k]) % width - box[1]
        at = np.uint64(y * pitch + x)
        total += math.sqrt(real[at] * real[at] + imaginary[at] * imaginary[at])
    return total / len(sources)
