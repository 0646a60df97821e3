"""Grey-level co-occurrence within one mask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.features.tally import WIDEST

BINS = 15
LEVELS = BINS + 1  # the smallest value has a level of its own
OUTSIDE = LEVELS
DISTANCES = (3, 5)
# Rows, and columns to either side, between the pixels of a pair: distances 3 and 5 at 45 and 135
# degrees, rounded. The opposite angles, 225 and 315 degrees, give the same counts.
STEPS = (2, 4)
ANGLES = 2
MARGIN = STEPS[-1]
PROPERTIES = (
    ("contrast", "Mean squared difference of the levels of a pair (IBSI ACUI)."),
    ("dissimilarity", "Mean absolute difference of the levels of a pair (IBSI 8S9J)."),
    ("homogeneity", "Mean of 1 / (1 + squared difference) over pairs (IBSI WF0Z)."),
    ("energy", "Root of the angular second moment."),
    ("correlation", "Correlation of the levels of a pair (IBSI NI2N); 1 where they are all equal."),
    ("ASM", "Angular second moment: sum of the squared probabilities (IBSI 8ZQL)."),
)


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
        y = np.uint64(runs[r, 0])
        for x in range(runs[r, 1], runs[r, 2]):
            value = plane[y, np.uint64(x)]
            low = min(low, value)
            high = max(high, value)
    return (runs[0, 0], left, runs[-1, 0] + 1, right), low, high


@njit(cache=True, nogil=True, error_model="numpy")
def quantise(plane, exact, runs, box, least, most, table, levels):
    """Level of each pixel of a mask, `OUTSIDE` elsewhere.

    numpy's ``digitize(right=True)`` on ``histogram_bin_edges``: a value on an edge belongs to the
    bin below, so the edges are numpy's own, to the last bit.

    Parameters
    ----------
    exact : bool
        Whether pixels are whole numbers of at most 16 bits.
    runs : (n, 3) int64
        The mask's.
    box : (top, left, bottom, right)
        Their bounding box.
    least, most : number
        The least and the largest pixel.
    table : (WIDEST,) uint8, scratch
    levels : (rows + MARGIN, columns + 2 * MARGIN) uint8, out
        Of the bounding box, with a margin below and to both sides.
    """
    top, left = box[0], box[1] - MARGIN
    low, high = np.float64(least), np.float64(most)
    by_table = exact and high - low < WIDEST
    if low == high:
        low -= 0.5
        high += 0.5
    step = (high - low) / BINS
    edges = np.empty(LEVELS)
    edges[0] = low
    for level in range(1, BINS):
        edges[level] = level * step + low
    edges[BINS] = high
    # A loop over a flat array is one memset.
    flat = levels.reshape(levels.size)
    for k in range(flat.size):
        flat[k] = OUTSIDE
    if by_table:
        # A whole number is above an edge exactly if it is above the edge rounded down.
        first = np.int64(least)
        start = 0
        for level in range(LEVELS):
            stop = np.int64(math.floor(edges[level])) - first + 1
            table[start:stop] = level
            start = max(start, stop)
        for r in range(len(runs)):
            y = np.uint64(runs[r, 0])
            row = np.uint64(runs[r, 0] - top)
            for x in range(runs[r, 1], runs[r, 2]):
                place = np.uint64(np.int64(plane[y, np.uint64(x)]) - first)
                levels[row, np.uint64(x - left)] = table[place]
        return
    # The guess only saves steps. Values that are no numbers must not lead out of the edges.
    scale = 1.0 / step
    if not (scale < np.inf and high - low < np.inf):
        scale = 0.0
        low = 0.0
    for r in range(len(runs)):
        for x in range(runs[r, 1], runs[r, 2]):
            value = np.float64(plane[runs[r, 0], x])
            guess = (value - low) * scale
            level = int(guess) + 1 if 0.0 <= guess < BINS else BINS
            while level < BINS and value > edges[level]:
                level += 1
            while level > 0 and value <= edges[level - 1]:
                level -= 1
            levels[runs[r, 0] - top, x - left] = level


@njit(cache=True, nogil=True, error_model="numpy")
def count_pairs(levels, runs, box, step, counts):
    """Counts of the levels of pairs at one distance, in one direction.

    Parameters
    ----------
    levels, runs, box
        As `quantise` has them.
    step : int
        Rows and columns between the pixels of a pair.
    counts : (2, 16 * 17) uint32, out
        Per angle, the level of the upper pixel first. The last of the lower pixel's 17 are pairs
        with a pixel outside.
    """
    right_counts = counts[0]
    left_counts = counts[1]
    for k in range(right_counts.size):
        right_counts[k] = 0
        left_counts[k] = 0
    top, left = box[0], box[1] - MARGIN
    for r in range(len(runs)):
        # Unsigned places, and no views of rows: plain loops over memory.
        y = np.uint64(runs[r, 0] - top)
        below = np.uint64(runs[r, 0] - top + step)
        for x in range(runs[r, 1] - left, runs[r, 2] - left):
            at = np.uint64(levels[y, np.uint64(x)]) * np.uint64(LEVELS + 1)
            right_counts[at + np.uint64(levels[below, np.uint64(x + step)])] += np.uint32(1)
            left_counts[at + np.uint64(levels[below, np.uint64(x - step)])] += np.uint32(1)


@njit(cache=True, nogil=True, error_model="numpy")
def properties_of(counts, out):
    """The properties of one symmetric, normalised matrix, from counts as `count_pairs` has them."""
    out[:] = 0.0
    gaps = np.zeros(LEVELS, np.int64)
    levels = np.zeros(LEVELS, np.int64)
    squares = 0
    for i in range(LEVELS):
        # Symmetric: each pair counts in both directions.
        twice = 2 * np.int64(counts[i * (LEVELS + 1) + i])
        gaps[0] += twice
        levels[i] += twice
        squares += twice * twice
        for j in range(i):
            both = np.int64(counts[i * (LEVELS + 1) + j]) + np.int64(counts[j * (LEVELS + 1) + i])
            gaps[i - j] += both
            levels[i] += both
            levels[j] += both
            squares += 2 * both * both
    gaps[0] //= 2
    pairs = 0
    contrast = 0
    dissimilarity = 0
    homogeneity = 0.0
    first = 0
    second = 0
    for gap in range(LEVELS):
        pairs += gaps[gap]
        contrast += gap * gap * gaps[gap]
        dissimilarity += gap * gaps[gap]
        homogeneity += gaps[gap] / (1.0 + gap * gap)
        first += gap * levels[gap]
        second += gap * gap * levels[gap]
    if pairs == 0:
        out[4] = 1.0
        return
    moment = squares / (4.0 * pairs * pairs)
    # Exact integers: variance and covariance times (2 * pairs)^2; 2 i j = i^2 + j^2 - (i - j)^2.
    variance = 2 * pairs * second - first * first
    covariance = 2 * pairs * (second - contrast) - first * first
    out[0] = contrast / pairs
    out[1] = dissimilarity / pairs
    out[2] = homogeneity / pairs
    out[3] = math.sqrt(moment)
    out[4] = 1.0 if variance == 0 else covariance / variance
    out[5] = moment


@njit(cache=True, nogil=True, error_model="numpy")
def properties(levels, runs, box, distance, counts, found, out):
    """Mean and std over the angles of the properties at one distance, by its place.

    Parameters
    ----------
    levels, runs, box
        As `quantise` has them.
    counts : (2, 16 * 17) uint32, scratch
    found : (2, 6) float64, scratch
    out : (>= 24,) float64
        Only what is of this distance is written.
    """
    count_pairs(levels, runs, box, STEPS[distance], counts)
    for angle in range(ANGLES):
        properties_of(counts[angle], found[angle])
    for p in range(len(PROPERTIES)):
        a = found[0, p]
        b = found[1, p]
        out[4 * p + distance] = 0.5 * (a + b)
        out[4 * p + 2 + distance] = 0.5 * abs(a - b)
