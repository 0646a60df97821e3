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
def bounds(plane, mask, window):
    """Bounding box of a mask (top, left, bottom, right), and the least and largest pixel in it.

    The mask is known to lie in the ``window``, likewise. The box of an empty mask has no rows.
    """
    height, width = mask.shape
    top, left, bottom, right = height, width, 0, 0
    low = plane[0, 0]
    high = plane[0, 0]
    for y in range(window[0], window[2]):
        for x in range(window[1], window[3]):
            if mask[y, x]:
                if bottom == 0:
                    top = y
                    low = plane[y, x]
                    high = low
                bottom = y + 1
                left = min(left, x)
                right = max(right, x + 1)
                low = min(low, plane[y, x])
                high = max(high, plane[y, x])
    return (top, left, bottom, right), np.float64(low), np.float64(high)


@njit(cache=True, nogil=True, error_model="numpy")
def quantise_within(plane, mask, box, low, high, levels):
    """`quantise` for the bounding box of a mask alone, pixels in any order.

    Parameters
    ----------
    levels : (rows, columns of the box) uint8
    """
    top, left, bottom, right = box
    if low == high:
        low -= 0.5
        high += 0.5
    step = (high - low) / BINS
    edges = np.empty(LEVELS)
    edges[0] = low
    for level in range(1, BINS):
        edges[level] = level * step + low
    edges[BINS] = high
    # The guess only saves steps; where it cannot be made they are all taken.
    scale = 1.0 / step
    if not scale < np.inf:
        scale = 0.0
    for y in range(top, bottom):
        for x in range(left, right):
            if not mask[y, x]:
                levels[y - top, x - left] = OUTSIDE
                continue
            value = np.float64(plane[y, x])
            level = min(int((value - low) * scale), BINS) if scale > 0.0 else 0
            while value > edges[level]:
                level += 1
            while level > 0 and value <= edges[level - 1]:
                level -= 1
            levels[y - top, x - left] = level


@njit(cache=True, nogil=True, error_model="numpy")
def count_at(levels, dy, dx, counts):
    """`count_pairs` for one offset; the last row and column are pairs with a pixel outside."""
    height, width = levels.shape
    counts[:] = 0
    first = max(0, -dx)
    for y in range(height - dy):
        for x in range(first, min(width, width - dx)):
            counts[levels[y, x], levels[y + dy, x + dx]] += 1
