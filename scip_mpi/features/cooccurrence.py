"""Grey-level co-occurrence within one mask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BINS = 15
LEVELS = BINS + 1  # the smallest value has a level of its own
OUTSIDE = LEVELS
DISTANCES = (3, 5)
# (rows, columns) between the pixels of a pair: distances 3 and 5 at 45 and 135 degrees, rounded.
# The opposite angles, 225 and 315 degrees, give the same counts.
OFFSETS = np.array([[2, 2], [2, -2], [4, 4], [4, -4]], np.int64)
PROPERTIES = (
    ("contrast", "Mean squared difference of the levels of a pair (IBSI ACUI)."),
    ("dissimilarity", "Mean absolute difference of the levels of a pair (IBSI 8S9J)."),
    ("homogeneity", "Mean of 1 / (1 + squared difference) over pairs (IBSI WF0Z)."),
    ("energy", "Root of the angular second moment."),
    ("correlation", "Correlation of the levels of a pair (IBSI NI2N); 1 where they are all equal."),
    ("ASM", "Angular second moment: sum of the squared probabilities (IBSI 8ZQL)."),
)


@njit(cache=True, nogil=True, error_model="numpy")
def quantise(plane, ascending, mask, levels):
    """Level of each pixel of the mask, `OUTSIDE` elsewhere; whether the mask has any pixel.

    numpy's ``digitize(right=True)`` on ``histogram_bin_edges``: a value on an edge belongs to the
    bin below, so the edges are numpy's own, to the last bit.
    """
    n = ascending.size
    width = plane.shape[1]
    flat_plane = plane.reshape(n)
    flat_mask = mask.reshape(n)
    flat = levels.reshape(n)
    flat[:] = OUTSIDE
    first = 0
    while first < n and not flat_mask[ascending[first]]:
        first += 1
    if first == n:
        return False
    last = n - 1
    while not flat_mask[ascending[last]]:
        last -= 1
    low = np.float64(flat_plane[ascending[first]])
    high = np.float64(flat_plane[ascending[last]])
    if low == high:
        low -= 0.5
        high += 0.5
    step = (high - low) / BINS
    level = 0
    edge = low
    for k in range(first, last + 1):
        position = ascending[k]
        if flat_mask[position]:
            value = np.float64(flat_plane[position])
            while value > edge:
                level += 1
                edge = high if level == BINS else level * step + low
                if level > BINS:
                    edge = np.inf
            flat[position] = level
    return width > 0


@njit(cache=True, nogil=True, error_model="numpy")
def count_pairs(levels, counts):
    """Counts of the levels of pairs, per offset, in one direction."""
    height, width = levels.shape
    counts[:] = 0
    for k in range(len(OFFSETS)):
        dy, dx = OFFSETS[k]
        for y in range(height - dy):
            for x in range(max(0, -dx), min(width, width - dx)):
                a = levels[y, x]
                b = levels[y + dy, x + dx]
                if a != OUTSIDE and b != OUTSIDE:
                    counts[k, a, b] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def properties_of(counts, out):
    """The properties of one symmetric, normalised matrix."""
    out[:] = 0.0
    pairs = 0
    contrast = 0
    dissimilarity = 0
    homogeneity = 0.0
    squares = 0
    first = 0
    second = 0
    product = 0
    for i in range(LEVELS):
        for j in range(i, LEVELS):
            count = counts[i, j]
            if i != j:
                count += counts[j, i]
            if count == 0:
                continue
            gap = j - i
            pairs += count
            contrast += gap * gap * count
            dissimilarity += gap * count
            homogeneity += count / (1.0 + gap * gap)
            first += (i + j) * count
            second += (i * i + j * j) * count
            product += i * j * count
            squares += 4 * count * count if i == j else 2 * count * count
    if pairs == 0:
        out[4] = 1.0
        return
    # Symmetric: each pair counts in both directions, 2 * pairs in all.
    moment = squares / (4.0 * pairs * pairs)
    # Exact integers: variance and covariance times (2 * pairs)^2.
    variance = 2 * pairs * second - first * first
    covariance = 4 * pairs * product - first * first
    out[0] = contrast / pairs
    out[1] = dissimilarity / pairs
    out[2] = homogeneity / pairs
    out[3] = math.sqrt(moment)
    out[4] = 1.0 if variance == 0 else covariance / variance
    out[5] = moment


@njit(cache=True, nogil=True, error_model="numpy")
def properties(counts, out):
    """The properties of the symmetric, normalised matrices; mean and std over the angles."""
    found = np.empty((len(OFFSETS), len(PROPERTIES)))
    for k in range(len(OFFSETS)):
        properties_of(counts[k], found[k])
    for p in range(len(PROPERTIES)):
        for d in range(len(DISTANCES)):
            a = found[2 * d, p]
            b = found[2 * d + 1, p]
            out[4 * p + d] = 0.5 * (a + b)
            out[4 * p + 2 + d] = 0.5 * abs(a - b)


@njit(cache=True, nogil=True, error_model="numpy")
def bounds(plane, runs):
    """Bounding box (top, left, bottom, right) of some runs, and the least and largest pixel.

    Parameters
    ----------
    runs : (n, 3) int64
        Row, first column and end column, in raster order; at least one.
    """
    left, right = runs[0, 1], runs[0, 2]
    low = plane[runs[0, 0], left]
    high = low
    for r in range(len(runs)):
        left = min(left, runs[r, 1])
        right = max(right, runs[r, 2])
        pixels = plane[runs[r, 0], runs[r, 1] : runs[r, 2]]
        for x in range(pixels.size):
            low = min(low, pixels[x])
            high = max(high, pixels[x])
    return (runs[0, 0], left, runs[-1, 0] + 1, right), np.float64(low), np.float64(high)


@njit(cache=True, nogil=True, error_model="numpy")
def quantise_within(plane, runs, box, low, high, levels):
    """`quantise` for the bounding box of a mask alone, pixels in any order.

    Parameters
    ----------
    runs : (n, 3) int64
        The mask's.
    levels : (rows, columns of the box) uint8
    """
    top, left = box[0], box[1]
    if low == high:
        low -= 0.5
        high += 0.5
    step = (high - low) / BINS
    edges = np.empty(LEVELS)
    edges[0] = low
    for level in range(1, BINS):
        edges[level] = level * step + low
    edges[BINS] = high
    # The guess only saves steps; where it cannot be made all are taken, from the first.
    scale = 1.0 / step
    if not (scale < np.inf and high - low < np.inf):
        scale = 0.0
        low = 0.0
    levels[:] = OUTSIDE
    for r in range(len(runs)):
        y, start, stop = runs[r, 0], runs[r, 1], runs[r, 2]
        row = levels[y - top, start - left : stop - left]
        pixels = plane[y, start:stop]
        for x in range(row.size):
            value = np.float64(pixels[x])
            level = min(int((value - low) * scale) + 1, BINS)
            while value > edges[level]:
                level += 1
            while level > 0 and value <= edges[level - 1]:
                level -= 1
            row[x] = level


@njit(cache=True, nogil=True, error_model="numpy")
def count_at(levels, dy, dx, counts):
    """`count_pairs` for one offset; the last row and column are pairs with a pixel outside."""
    height, width = levels.shape
    counts[:] = 0
    first = max(0, -dx)
    last = min(width, width - dx)
    if first >= last:
        return
    for y in range(height - dy):
        above = levels[y, first:last]
        below = levels[y + dy, first + dx : last + dx]
        for x in range(last - first):
            counts[above[x], below[x]] += 1
