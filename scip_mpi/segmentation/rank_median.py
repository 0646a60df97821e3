"""Median over a disc of radius 5, as scikit-image's rank filter has it, bit by bit.

All pixels at once, from the highest bit down: a bit belongs to a pixel's median if not more than
half of the disc is below it. To count what is below takes one comparison and one addition for each
pixel of the disc, and no branch: compilers turn that into instructions on 16 to 64 pixels each.
"""

from __future__ import annotations

import numpy as np
from numba import njit

RADIUS = 5
# Pixels that are worked on together, so that what is counted of them stays near the core.
BLOCK = 2048
VECTOR = 64


@njit(cache=True, nogil=True, error_model="numpy")
def median_scratch(height, width):
    """Buffers for planes up to a size: halves, planes in a line, medians, counts of a block."""
    # Between two rows, and before and after all, there is room for the disc; then for a block.
    most = (height + 2 * RADIUS) * (width + RADIUS) + 2 * RADIUS + BLOCK
    return (
        np.empty(most, np.uint8),
        (np.empty(most, np.uint8), np.empty(most, np.uint16)),
        (np.empty(most, np.uint8), np.empty(most, np.uint16)),
        (np.empty(BLOCK, np.uint8), np.empty(BLOCK, np.uint16)),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def disc_halves(height, width, scratch):
    """Make `median_scratch` ready for planes of one size.

    Half the number of each disc's pixels that are in the image, rounded down, and pixels around the
    image that are below nothing.
    """
    half, (line, line16), _, (count, _) = scratch
    stride = width + RADIUS
    start = RADIUS * stride + RADIUS
    line[:] = 255
    line16[:] = 65535
    for y in range(height):
        line[start + y * stride : start + y * stride + width] = 0
    one = np.ones(BLOCK, np.uint8)
    for at in range(0, height * stride, BLOCK):
        _count_below(line[at:], start, stride, one, count)
        halves = half[at : at + BLOCK]
        for k in range(BLOCK):
            halves[k] = count[k] >> 1


@njit(cache=True, nogil=True, error_model="numpy")
def rank_median(plane, height, width, scratch, histogram, out):
    """Median of the pixels of ``plane`` within 5 pixels; those beyond the image are left out.

    The lowest level at which more than half of the pixels have been counted.

    Parameters
    ----------
    plane : at least (height, width) uint16
    height, width : int
    scratch
        As of `median_scratch`, after `disc_halves` for this size.
    histogram : int64, scratch
        At least one more place than the largest level.
    out : at least (height, width) uint16
    """
    half, (line, line16), (median, median16), (count, count16) = scratch
    stride = width + RADIUS
    start = RADIUS * stride + RADIUS
    low, high = _median_range(plane, height, width, max(half[0], 1), histogram)
    bits = 0
    while (high - low) >> bits:
        bits += 1
    # The upper 8 bits are found on bytes, twice as fast as the few that are left then.
    rest = max(bits - 8, 0)
    _lay_out(plane, height, width, low, high, rest, line)
    if rest:
        _lay_out(plane, height, width, low, high, 0, line16)
    for at in range(0, height * stride, BLOCK):
        # Whole vectors: what is worked out beside the image is left out at last.
        stop = min(at + BLOCK, (height * stride + VECTOR - 1) // VECTOR * VECTOR)
        upper, whole = median[at:stop], median16[at:stop]
        upper[:] = 0
        _search(line[at:], start, stride, bits - rest, half[at:], upper, count)
        for k in range(upper.size):
            whole[k] = np.uint16(upper[k]) << rest
        if rest:
            _search(line16[at:], start, stride, rest, half[at:], whole, count16)
    for y in range(height):
        row, found = out[y], median16[y * stride : y * stride + width]
        for x in range(width):
            row[x] = found[x] + low


@njit(cache=True, nogil=True, error_model="numpy")
def _median_range(plane, height, width, least, histogram):
    """Levels between which all medians are: ``least`` or more pixels are not beyond either."""
    histogram[:] = 0
    for y in range(height):
        for x in range(width):
            histogram[plane[y, x]] += 1
    low, high = 0, histogram.size - 1
    below, above = histogram[low], histogram[high]
    while below < least:
        low += 1
        below += histogram[low]
    while above < least:
        high -= 1
        above += histogram[high]
    return low, high


@njit(cache=True, nogil=True, error_model="numpy")
def _lay_out(plane, height, width, low, high, shift, line):
    """Write a plane's levels, from ``low`` to ``high`` and without the last bits, into a line."""
    stride = width + RADIUS
    for y in range(height):
        at = (y + RADIUS) * stride + RADIUS
        source, target = plane[y], line[at : at + width]
        for x in range(width):
            target[x] = (min(max(source[x], low), high) - low) >> shift


@njit(cache=True, nogil=True, error_model="numpy")
def _search(line, start, stride, bits, half, median, count):
    """Find the last ``bits`` bits of a block's medians, of which the others are given."""
    if bits == 0:
        return
    none = median.dtype.type(0)
    bit = median.dtype.type(1 << (bits - 1))
    for k in range(median.size):
        median[k] |= bit
    while bit:
        _count_below(line, start, stride, median, count)
        following = median.dtype.type(bit >> 1)
        for k in range(median.size):
            median[k] = (median[k] ^ (bit if count[k] > half[k] else none)) | following
        bit = following


@njit(cache=True, nogil=True, error_model="numpy")
def _count_below(line, start, stride, limit, count):
    """Count the pixels of the discs of a block that are below each disc's limit."""
    _count_middle(line, start, stride, limit, count)
    _count_rows_of_9(line, start, stride, limit, count)
    _count_rows_of_9(line, start, 2 * stride, limit, count)
    _count_rows_of_9(line, start, 3 * stride, limit, count)
    _count_rows_of_7(line, start, 4 * stride, limit, count)


# One function for each length of rows, so that compilers know it: x^2 + y^2 <= 25 has the half
# widths 0, 3, 4, 4, 4, 5, 4, 4, 4, 3, 0. Slices, since places that may be below 0, for all that a
# compiler knows, are looked up one by one.


@njit(cache=True, nogil=True, error_model="numpy")
def _count_middle(line, start, stride, limit, count):
    """Begin to count: the disc's middle row of 11 pixels and the outermost ones of 1."""
    row = line[start - 5 :]
    first, last = line[start - 5 * stride :], line[start + 5 * stride :]
    for k in range(limit.size):
        n = np.uint8(first[k] < limit[k]) + np.uint8(last[k] < limit[k])
        for x in range(11):
            n += np.uint8(row[k + x] < limit[k])
        count[k] = n


@njit(cache=True, nogil=True, error_model="numpy")
def _count_rows_of_9(line, start, away, limit, count):
    above, under = line[start - away - 4 :], line[start + away - 4 :]
    for k in range(limit.size):
        n = count[k]
        for x in range(9):
            n += np.uint8(above[k + x] < limit[k]) + np.uint8(under[k + x] < limit[k])
        count[k] = n


@njit(cache=True, nogil=True, error_model="numpy")
def _count_rows_of_7(line, start, away, limit, count):
    above, under = line[start - away - 3 :], line[start + away - 3 :]
    for k in range(limit.size):
        n = count[k]
        for x in range(7):
            n += np.uint8(above[k + x] < limit[k]) + np.uint8(under[k + x] < limit[k])
        count[k] = n
