"""What run lengths, zones and dependences have in common: 16 features of a matrix of counts.

A row is a grey level, a column a size: how long a run is, how many pixels a zone has, how many of
its neighbours a pixel is like.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

NUMBER = 16


@njit(cache=True, nogil=True, error_model="numpy")
def logarithms(most):
    """log2 of whole numbers up to ``most``; 0 for 0."""
    logs = np.zeros(most + 1)
    for k in range(1, most + 1):
        logs[k] = math.log2(k)
    return logs


@njit(cache=True, nogil=True, error_model="numpy")
def emphases(matrix, sizes, number, pixels, logs, rows, columns, out):
    """The 16 features, in IBSI's order.

    Parameters
    ----------
    matrix : (levels + 1, > number) uint32
        Counts; row and column 0 are not looked at. At least one count is not 0.
    sizes : (> number,) int64
        The size that each column counts.
    number : int
        The last column.
    pixels : int
        How many pixels could have had a run, zone or neighbourhood of their own.
    logs : float64
        log2 of whole numbers up to the sum of all counts; 0 for 0.
    rows, columns : (>= levels + 1,), (> number,) int64, scratch
    out : (16,) float64
        Small, large, low, high emphasis; small low, small high, large low, large high; grey level
        non-uniformity and normalised; size non-uniformity and normalised; percentage; variances of
        levels and of sizes; entropy in bits.
    """
    for column in range(1, number + 1):
        columns[column] = 0
    total = np.int64(0)
    level_sum = np.int64(0)
    level_squares = np.int64(0)
    weighted = 0.0
    low = 0.0
    high = 0.0
    small_low = 0.0
    small_high = 0.0
    large_low = 0.0
    large_high = 0.0
    for level in range(1, len(matrix)):
        count = np.int64(0)
        small = 0.0
        large = 0.0
        for column in range(1, number + 1):
            here = np.int64(matrix[level, column])
            if here:
                square = np.float64(sizes[column]) * sizes[column]
                count += here
                columns[column] += here
                small += here / square
                large += here * square
                weighted += here * logs[here]
        rows[level] = count
        if count:
            square = np.float64(level * level)
            total += count
            level_sum += level * count
            level_squares += count * count
            low += count / square
            high += count * square
            small_low += small / square
            small_high += small * square
            large_low += large / square
            large_high += large * square
    mean_level = level_sum / total
    variance = 0.0
    for level in range(1, len(matrix)):
        variance += (level - mean_level) * (level - mean_level) * rows[level]
    small = 0.0
    large = 0.0
    size_sum = 0.0
    size_squares = np.int64(0)
    for column in range(1, number + 1):
        size = np.float64(sizes[column])
        small += columns[column] / (size * size)
        large += columns[column] * (size * size)
        size_sum += size * columns[column]
        size_squares += columns[column] * columns[column]
    mean_size = size_sum / total
    size_variance = 0.0
    for column in range(1, number + 1):
        gap = sizes[column] - mean_size
        size_variance += gap * gap * columns[column]
    out[0] = small / total
    out[1] = large / total
    out[2] = low / total
    out[3] = high / total
    out[4] = small_low / total
    out[5] = small_high / total
    out[6] = large_low / total
    out[7] = large_high / total
    out[8] = level_squares / total
    out[9] = level_squares / (np.float64(total) * total)
    out[10] = size_squares / total
    out[11] = size_squares / (np.float64(total) * total)
    out[12] = total / pixels
    out[13] = variance / total
    out[14] = size_variance / total
    out[15] = max(logs[total] - weighted / total, 0.0)
