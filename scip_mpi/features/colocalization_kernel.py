"""The work behind the columns of ``colocalization``, pair by pair of channels."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.features.costes import costes
from scip_mpi.features.ranks import dense_ranks
from scip_mpi.features.regions import Regions
from scip_mpi.features.selection import exact_sums, windows

# Sums are taken in so many lanes, always in the same order.
LANES = 16
MEASURES = ("pearson", "slope", "manders", "overlap", "k", "rwc", "costes")
# How many columns of a pair each of them has.
WIDTHS = (1, 1, 2, 1, 2, 2, 2)
PEARSON, SLOPE, MANDERS, OVERLAP, K, RWC, COSTES = range(len(MEASURES))
# What is kept of each pixel of a channel.
VALUE, CENTRED, PASSED, SQUARED, FLAG, RANK = range(6)
KEPT = 6


def fill(
    batch: ImageBatch,
    masks: SetMasks,
    where: Regions,
    pairs: Int64Array,
    asked: BoolArray,
    threshold: float,
    scale: tuple[float, int],
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the columns of some pairs, of the objects that the mask set kept.

    Parameters
    ----------
    pairs : ndarray of int64, shape (p, 2)
        Places of the channels of each pair.
    asked : ndarray of bool, shape (7,)
        Which of `MEASURES`.
    threshold : float
        Part of a channel's largest pixel that its pixels must reach.
    scale : tuple of (float, int)
        Largest value that a pixel can have, and number of Costes' thresholds up to there.
    """
    size = int((batch.shapes[:, 1] * batch.shapes[:, 2]).max())
    lanes = -(-size // LANES) * LANES
    channels, slots = np.unique(pairs, return_inverse=True)
    held = scratch.array("held", len(channels) * KEPT * lanes, np.float64)
    widths = np.where(asked, WIDTHS, 0)
    _colocalize(
        batch.pixels, batch.offsets, batch.shapes, exact_sums(batch.pixels.dtype),
        where.bits, where.starts, masks.kept, windows(masks.bbox),
        channels, slots.reshape(-1, 2), asked, np.cumsum(widths) - widths, threshold, *scale,
        held[: len(channels) * KEPT * lanes].reshape(len(channels), KEPT, lanes),
        scratch.array("places", size + 1, np.int32),
        scratch.array("order", size, np.int64),
        scratch.array("spare_order", size, np.int64),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _colocalize(
    pixels,
    offsets,
    shapes,
    exact,
    bits,
    starts,
    kept,
    boxes,
    channels,
    pairs,
    asked,
    at_column,
    threshold,
    top,
    steps,
    held,
    places,
    order,
    spare,
    out,
):
    number = len(channels)
    # Of each channel: sum, sum of squared deviations, sum of what passes the threshold, top rank.
    of_channel = np.empty((number, 4))
    found = np.empty(sum(WIDTHS))
    sums = np.empty(LANES)
    wide = out.shape[1] // len(pairs)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        n = shapes[i, 1] * shapes[i, 2]
        w = shapes[i, 2]
        known_a, known_b = np.int64(-1), np.int64(-1)
        count = 0
        for p in range(len(pairs)):
            a, b = pairs[p]
            start_a, start_b = starts[i, channels[a]], starts[i, channels[b]]
            if start_a != known_a or start_b != known_b:
                known_a, known_b = start_a, start_b
                count = _either(
                    bits[start_a : start_a + n], bits[start_b : start_b + n], w, boxes[i], places
                )
                # The same pixels for all pairs, or other ones for each.
                shared = start_a == start_b
                for c in range(number):
                    if count and (shared or c in (a, b)):
                        at = offsets[i] + channels[c] * n
                        _prepare(
                            pixels[at : at + n], places[:count], threshold, exact, asked[RWC],
                            order, spare, held[c], of_channel[c],
                        )  # fmt: skip
            if count:
                _of_pair(
                    held[a], held[b], of_channel[a], of_channel[b], count, asked, top, steps,
                    at_column, sums, found,
                )  # fmt: skip
                for k in range(wide):
                    out[i, p * wide + k] = found[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _either(first, second, width, box, places):
    """Places of the pixels of two masks, in raster order; how many. One more than there are."""
    found = np.uint64(0)
    for y in range(box[0], box[2]):
        for x in range(box[1], box[3]):
            at = np.uint64(y * width + x)
            places[found] = at
            found += np.uint64(first[at] | second[at])
    return np.int64(found)


@njit(cache=True, nogil=True, error_model="numpy")
def _prepare(flat, places, threshold, exact, ranked, order, spare, held, sums):
    """What pairs need of one channel's pixels, up to a whole number of lanes."""
    n = len(places)
    value, centred, passed = held[VALUE], held[CENTRED], held[PASSED]
    squared, flag = held[SQUARED], held[FLAG]
    low, high = np.inf, -np.inf
    total = 0.0
    for k in range(n):
        pixel = np.float64(flat[np.uint64(places[k])])
        value[k] = pixel
        total += pixel
        low = min(low, pixel)
        high = max(high, pixel)
    # Rounding would make a mean that equal pixels differ from.
    mean = low if low == high else total / n
    limit = threshold * high
    squares = 0.0
    above = 0.0
    for k in range(n):
        d = value[k] - mean
        reaches = np.float64(value[k] >= limit)
        centred[k] = d
        passed[k] = value[k] * reaches
        squared[k] = passed[k] * passed[k]
        flag[k] = reaches
        squares += d * d
        above += passed[k]
    for k in range(n, -(-n // LANES) * LANES):
        centred[k] = 0.0
        passed[k] = 0.0
        squared[k] = 0.0
        flag[k] = 0.0
        held[RANK, k] = 0.0
    sums[0] = total
    sums[1] = squares
    sums[2] = above
    sums[3] = 0.0
    if ranked and math.isfinite(total):
        sums[3] = dense_ranks(value[:n], low, high, exact, order, spare, held[RANK])


@njit(cache=True, nogil=True, error_model="numpy")
def _of_pair(a, b, of_a, of_b, n, asked, top, steps, at, lanes, found):
    """The measures asked for of two channels, prepared; NaN where they are not defined."""
    found[:] = np.nan
    if not (math.isfinite(of_a[0]) and math.isfinite(of_b[0])):
        return
    padded = -(-n // LANES) * LANES
    if asked[PEARSON] or asked[SLOPE]:
        together = _product(a[CENTRED], b[CENTRED], lanes, padded)
        spread = math.sqrt(of_a[1]) * math.sqrt(of_b[1])
        if asked[PEARSON] and spread > 0.0:
            found[at[PEARSON]] = together / spread
        if asked[SLOPE] and of_a[1] > 0.0:
            found[at[SLOPE]] = together / of_a[1]
    if asked[MANDERS] or asked[RWC]:
        a_both = _product(a[PASSED], b[FLAG], lanes, padded)
        b_both = _product(b[PASSED], a[FLAG], lanes, padded)
        if asked[MANDERS]:
            found[at[MANDERS]] = _part(a_both, of_a[2])
            found[at[MANDERS] + 1] = _part(b_both, of_b[2])
        if asked[RWC]:
            ranks = max(of_a[3], of_b[3]) + 1.0
            a_less = _apart(a[PASSED], b[FLAG], a[RANK], b[RANK], lanes, padded)
            b_less = _apart(b[PASSED], a[FLAG], a[RANK], b[RANK], lanes, padded)
            found[at[RWC]] = _part(a_both - a_less / ranks, of_a[2])
            found[at[RWC] + 1] = _part(b_both - b_less / ranks, of_b[2])
    if asked[OVERLAP] or asked[K]:
        product = _product(a[PASSED], b[PASSED], lanes, padded)
        a_squares = _product(a[SQUARED], b[FLAG], lanes, padded)
        b_squares = _product(b[SQUARED], a[FLAG], lanes, padded)
        if asked[OVERLAP]:
            whole = math.sqrt(a_squares) * math.sqrt(b_squares)
            found[at[OVERLAP]] = _part(product, whole)
        if asked[K]:
            found[at[K]] = _part(product, a_squares)
            found[at[K] + 1] = _part(product, b_squares)
    if asked[COSTES]:
        first, second = costes(a[VALUE, :n], b[VALUE, :n], top, steps)
        found[at[COSTES]] = first
        found[at[COSTES] + 1] = second


@njit(cache=True, nogil=True, error_model="numpy")
def _part(some, whole):
    return some / whole if whole != 0.0 else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _product(a, b, lanes, n):
    """Sum of the products of the first ``n`` values, a whole number of lanes."""
    lanes[:] = 0.0
    for k in range(0, n, LANES):
        for j in range(LANES):
            lanes[j] += a[np.uint64(k + j)] * b[np.uint64(k + j)]
    return _joined(lanes)


@njit(cache=True, nogil=True, error_model="numpy")
def _apart(a, b, first, second, lanes, n):
    """Sum of products, each times how far apart two ranks are."""
    lanes[:] = 0.0
    for k in range(0, n, LANES):
        for j in range(LANES):
            at = np.uint64(k + j)
            lanes[j] += a[at] * b[at] * abs(first[at] - second[at])
    return _joined(lanes)


@njit(cache=True, nogil=True, error_model="numpy")
def _joined(lanes):
    total = 0.0
    for j in range(LANES):
        total += lanes[j]
    return total
