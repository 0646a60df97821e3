"""The background that ``bgcorr_`` features subtract, where it is not the mean outside the mask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array
from scip_mpi.features.bit_rows import NONE, WORD, ones

# Pixels between an object and the ring around it, and the ring's width.
GAP = 2
WIDTH = 5
# How far from an object what is known of it may hang on.
REACH = GAP + WIDTH


def ring(
    batch: ImageBatch, labels: ImageBatch, row: Int64Array, bbox: Int64Array, number: Int64Array
) -> FloatArray:
    """Mean around each object: farther than 2 pixels from it, at most 7, and in no object.

    Parameters
    ----------
    batch : ImageBatch
        Fields.
    labels : ImageBatch
        One plane of labels per field.
    row, bbox, number : ndarrays of int64, shapes (m,), (m, 4), (m,)
        Each object's field (place in the batch), bounding box there, and label.

    Returns
    -------
    ndarray of float64, shape (m, C)
        NaN where the ring has no pixel.
    """
    out = np.empty((len(row), batch.channels))
    near = np.array([_half_width(GAP, k) for k in range(-REACH, REACH + 1)])
    far = np.array([_half_width(REACH, k) for k in range(-REACH, REACH + 1)])
    if len(row):
        height, width = (bbox[:, 2:] - bbox[:, :2]).max(axis=0).tolist()
        # Integers are summed as such, many at a time: their sums are exact in either way.
        exact = batch.pixels.dtype.kind in "iu" and batch.pixels.dtype.itemsize <= 4
        _ring(
            batch.pixels, batch.offsets, labels.pixels, labels.offsets, batch.shapes, row, bbox,
            number, near, far, height, width + 2 * REACH, 0 if exact else 0.0, out,
        )  # fmt: skip
    return out


def _half_width(radius: int, k: int) -> int:
    return math.isqrt(radius * radius - k * k) if abs(k) <= radius else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _ring(
    pixels, offsets, labels, label_offsets, shapes, row, bbox, number, near, far, height, width,
    nothing, out,
):  # fmt: skip
    reach = near.size // 2
    words = (width + WORD - 1) // WORD
    # Bits of the object's rows, grown by 0, 1, ... columns to both sides; of its window's rows,
    # those within reach and those too near. A row's words are far apart, as many rows go together.
    grown = np.zeros((reach + 1, words + 2, height), np.uint64)
    within = np.empty((words, height + 2 * reach), np.uint64)
    touching = np.empty((words, height + 2 * reach), np.uint64)
    places = np.empty((height + 2 * reach) * width, np.int64)
    free = np.empty((0, 0), np.uint64)
    last = -1
    for m in range(len(row)):
        i = row[m]
        channels, h, w = shapes[i]
        plane = labels[label_offsets[i] : label_offsets[i] + h * w].reshape(h, w)
        if i != last:
            free = np.zeros((h, w // WORD + 2), np.uint64)
            for y in range(h):
                _mark(plane[y], 0, 0, free[y])
            last = i
        top, left, bottom, right = bbox[m]
        rows = bottom - top
        # The window starts a reach above the object, and as far to the left as there is room.
        start = max(left - reach, 0)
        used = (right + reach - start + WORD - 1) // WORD
        own = grown[:, : used + 2, :rows]
        for y in range(rows):
            own[0, :, y] = NONE
            _mark(plane[top + y, left:right], number[m], left - start, own[0, 1:, y])
        _grow(own)
        _unite(own, far, within[:used])
        _unite(own, near, touching[:used])
        count = 0
        for y in range(max(reach - top, 0), min(rows + 2 * reach, h - top + reach)):
            line = top - reach + y
            for j in range(used):
                column = start + WORD * j
                word = within[j, y] & ~touching[j, y] & _word_at(free[line], column)
                count = _list_bits(word, line * w + column, places, count)
        image = pixels[offsets[i] : offsets[i + 1]].reshape(channels, h * w)
        for c in range(0, channels, 3):
            # Three sums side by side, as each waits for itself; the last ones may be done twice.
            a, b, d = c, min(c + 1, channels - 1), min(c + 2, channels - 1)
            first, second, third = nothing, nothing, nothing
            for q in range(count):
                place = places[q]
                first += image[a, place]
                second += image[b, place]
                third += image[d, place]
            out[m, a], out[m, b], out[m, d] = first / count, second / count, third / count


@njit(cache=True, nogil=True, error_model="numpy")
def _mark(line, value, start, row):
    """Set the bits of pixels equal to a value, the first pixel's being bit ``start``."""
    for j in range(start // WORD, (start + line.size + WORD - 1) // WORD):
        word = NONE
        for x in range(max(start, WORD * j), min(start + line.size, WORD * (j + 1))):
            word |= np.uint64(line[x - start] == value) << np.uint64(x - WORD * j)
        row[j] = word


@njit(cache=True, nogil=True, error_model="numpy")
def _grow(rows):
    """From ``rows[0]`` all others; the first and the last word stay empty."""
    steps, words, height = rows.shape
    one, top = np.uint64(1), np.uint64(WORD - 1)
    for k in range(1, steps):
        rows[k, words - 1] = NONE
        for j in range(1, words - 1):
            before, here, after = rows[k - 1, j - 1], rows[k - 1, j], rows[k - 1, j + 1]
            found = rows[k, j]
            for y in range(height):
                found[y] = (
                    here[y]
                    | (here[y] << one) | (before[y] >> top)
                    | (here[y] >> one) | (after[y] << top)
                )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _unite(grown, half_widths, out):
    """Dilate by a disc: each of its rows takes the object's, grown by its half width."""
    height = grown.shape[2]
    out[:, : height + half_widths.size - 1] = NONE
    for k in range(half_widths.size):
        if half_widths[k] >= 0:
            for j in range(len(out)):
                rows, to = grown[half_widths[k], j + 1], out[j, k : k + height]
                for y in range(height):
                    to[y] |= rows[y]


@njit(cache=True, nogil=True, error_model="numpy")
def _word_at(row, column):
    """64 bits of a row from a column on; none beyond it."""
    j, low = column // WORD, np.uint64(column % WORD)
    if j + 1 >= row.size:
        return NONE
    if not low:
        return row[j]
    return (row[j] >> low) | (row[j + 1] << (np.uint64(WORD) - low))


@njit(cache=True, nogil=True, error_model="numpy")
def _list_bits(word, place, places, count):
    """Append where bits are set, run by run; how many there are now."""
    one = np.uint64(1)
    while word:
        low = word & (~word + one)
        begin = ones(low - one)
        # The sum ends the run with a bit of its own.
        rest = word + low
        end = ones((rest & (~rest + one)) - one)
        word &= rest
        for x in range(begin, end):
            places[count] = place + x
            count += 1
    return count


def field_median(batch: ImageBatch, labels: ImageBatch) -> FloatArray:
    """Median of each channel's pixels in no object; NaN where every pixel is in one.

    Parameters
    ----------
    batch : ImageBatch
        Fields.
    labels : ImageBatch
        One plane of labels per field.

    Returns
    -------
    ndarray of float64, shape (n, C)
    """
    out = np.full((len(batch), batch.channels), np.nan)
    for i, image in enumerate(batch):
        outside = labels.image(i)[0] == 0
        if outside.any():
            out[i] = np.median(image[:, outside], axis=1)
    return out
