"""Pictures read between their pixels, and opened by a disc, as CellProfiler's granularity does."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def resample(source, down, across, y_step, x_step, rows, columns, out):
    """A picture at whole multiples of two steps, linearly between its pixels; 0 beyond it.

    Parameters
    ----------
    source : (>= down * across,) float64
    out : (>= rows * columns,) float64
    """
    for i in range(rows):
        y = i * y_step
        top = min(np.int64(y), down - 1)
        bottom = min(top + 1, down - 1)
        fy = y - top
        for j in range(columns):
            x = j * x_step
            left = min(np.int64(x), across - 1)
            right = min(left + 1, across - 1)
            fx = x - left
            if not (0.0 <= y <= down - 1 and 0.0 <= x <= across - 1):
                out[i * columns + j] = 0.0
                continue
            above = (1.0 - fx) * source[top * across + left] + fx * source[top * across + right]
            below = (1.0 - fx) * source[bottom * across + left]
            below += fx * source[bottom * across + right]
            out[i * columns + j] = (1.0 - fy) * above + fy * below


@njit(cache=True, nogil=True, error_model="numpy")
def spread(inside, down, across, rows, columns, weights):
    """How much each pixel of a smaller picture counts where it is read at a mask's pixels.

    Parameters
    ----------
    inside : (>= down * across,) uint8
        The mask.
    weights : (>= rows * columns,) float64, out
        Their sum is the number of the mask's pixels, but for those beyond the smaller picture.
    """
    weights[: rows * columns] = 0.0
    y_step = (rows - 1) / (down - 1)
    x_step = (columns - 1) / (across - 1)
    for i in range(down):
        for j in range(across):
            y, x = i * y_step, j * x_step
            if not inside[i * across + j] or y > rows - 1 or x > columns - 1:
                continue
            top, left = np.int64(y), np.int64(x)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            fy, fx = y - top, x - left
            weights[top * columns + left] += (1.0 - fy) * (1.0 - fx)
            weights[top * columns + right] += (1.0 - fy) * fx
            weights[bottom * columns + left] += fy * (1.0 - fx)
            weights[bottom * columns + right] += fy * fx


@njit(cache=True, nogil=True, error_model="numpy")
def open_by_disc(picture, rows, columns, radius, spare):
    """Opening by the pixels of a disc, in place; what is beyond the picture does not count."""
    for sign in (1.0, -1.0):
        # The largest is the least of the negatives.
        for y in range(rows):
            for x in range(columns):
                least = np.inf
                for v in range(max(y - radius, 0), min(y + radius, rows - 1) + 1):
                    reach = np.int64(np.sqrt(np.float64(radius * radius - (v - y) * (v - y))))
                    for u in range(max(x - reach, 0), min(x + reach, columns - 1) + 1):
                        least = min(least, sign * picture[v * columns + u])
                spare[y * columns + x] = sign * least
        for k in range(rows * columns):
            picture[k] = spare[k]
