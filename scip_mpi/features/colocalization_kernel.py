"""The work behind the columns of ``colocalization``, pair by pair of channels."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.features.costes import costes
from scip_mpi.features.moments import products_apart
from scip_mpi.features.ranks import dense_ranks
from scip_mpi.features.regions import Regions
from scip_mpi.features.selection import exact_sums, windows

# Sums that hang on their order are taken in so many lanes, always in the same order.
LANES = 8
MEASURES = ("pearson", "slope", "manders", "overlap", "k", "rwc", "costes")
# How many columns of a pair each of them has.
WIDTHS = (1, 1, 2, 1, 2, 2, 2)
PEARSON, SLOPE, MANDERS, OVERLAP, K, RWC, COSTES = range(len(MEASURES))
# What is kept of each pixel of a channel.
VALUE, CENTRED, PASSED, FLAG, RANK = range(5)
KEPT = 5


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
    exact = exact_sums(batch.pixels.dtype)
    # Sums of whole numbers are taken many at a time.
    kind = np.int32 if exact else np.float64
    held = scratch.array(f"held_{np.dtype(kind)}", len(channels) * KEPT * lanes, kind)
    widths = np.where(asked, WIDTHS, 0)
    _colocalize(
        batch.pixels, batch.offsets, batch.shapes, exact, where.bits, where.starts, masks.kept,
        windows(masks.bbox), channels, slots.reshape(-1, 2), asked, np.cumsum(widths) - widths,
        threshold, *scale,
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
                    held[a], held[b], of_channel[a], of_channel[b], count, exact, asked, top,
                    steps, at_column, sums, found,
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
    value, centred, passed, flag = held[VALUE], held[CENTRED], held[PASSED], held[FLAG]
    low, high = np.inf, -np.inf
    total = 0.0
    for k in range(n):
        pixel = flat[np.uint64(places[k])]
        value[k] = pixel
        total += pixel
        low = min(low, np.float64(pixel))
        high = max(high, np.float64(pixel))
    limit = threshold * high
    above = 0.0
    for k in range(n):
        reaches = value[k] >= limit
        flag[k] = reaches
        passed[k] = value[k] * reaches
        above += passed[k]
    if exact:
        squares = products_apart(n, _whole(value, value, n), total, total) / n
    else:
        # Rounding would make a mean that equal pixels differ from.
        mean = low if low == high else total / n
        squares = 0.0
        for k in range(n):
            d = value[k] - mean
            centred[k] = d
            squares += d * d
        for k in range(n, -(-n // LANES) * LANES):
            centred[k], passed[k], flag[k], held[RANK, k] = 0, 0, 0, 0
    sums[0] = total
    sums[1] = squares
    sums[2] = above
    sums[3] = 0.0
    if ranked and math.isfinite(total):
        sums[3] = dense_ranks(value[:n], low, high, exact, order, spare, held[RANK])


@njit(cache=True, nogil=True, error_model="numpy")
def _of_pair(a, b, of_a, of_b, n, exact, asked, top, steps, at, lanes, found):
    """The measures asked for of two channels, prepared; NaN where they are not defined."""
    found[:] = np.nan
    if not (math.isfinite(of_a[0]) and math.isfinite(of_b[0])):
        return
    if asked[PEARSON] or asked[SLOPE]:
        if exact:
            together = products_apart(n, _whole(a[VALUE], b[VALUE], n), of_a[0], of_b[0]) / n
        else:
            together = _product(a[CENTRED], b[CENTRED], n, False, lanes)
        spread = math.sqrt(of_a[1]) * math.sqrt(of_b[1])
        if asked[PEARSON] and spread > 0.0:
            found[at[PEARSON]] = together / spread
        if asked[SLOPE] and of_a[1] > 0.0:
            found[at[SLOPE]] = together / of_a[1]
    if asked[MANDERS] or asked[RWC]:
        a_both = _product(a[PASSED], b[FLAG], n, exact, lanes)
        b_both = _product(b[PASSED], a[FLAG], n, exact, lanes)
        if asked[MANDERS]:
            found[at[MANDERS]] = _part(a_both, of_a[2])
            found[at[MANDERS] + 1] = _part(b_both, of_b[2])
        if asked[RWC]:
            ranks = max(of_a[3], of_b[3]) + 1.0
            a_less = _apart(a[PASSED], b[FLAG], a[RANK], b[RANK], n, exact, lanes)
            b_less = _apart(b[PASSED], a[FLAG], a[RANK], b[RANK], n, exact, lanes)
            found[at[RWC]] = _part(a_both - a_less / ranks, of_a[2])
            found[at[RWC] + 1] = _part(b_both - b_less / ranks, of_b[2])
    if asked[OVERLAP] or asked[K]:
        product = _product(a[PASSED], b[PASSED], n, exact, lanes)
        a_squares = _squares(a[PASSED], b[FLAG], n, exact, lanes)
        b_squares = _squares(b[PASSED], a[FLAG], n, exact, lanes)
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
def _whole(a, b, n):
    """Sum of the products of whole numbers."""
    total = np.int64(0)
    for k in range(n):
        total += np.int64(a[np.uint64(k)]) * np.int64(b[np.uint64(k)])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _product(a, b, n, exact, lanes):
    """Sum of products, up to a whole number of lanes where the order matters."""
    if exact:
        return np.float64(_whole(a, b, n))
    lanes[:] = 0.0
    for k in range(0, n, LANES):
        for j in range(LANES):
            at = np.uint64(k + j)
            lanes[j] += a[at] * b[at]
    return _joined(lanes)


@njit(cache=True, nogil=True, error_model="numpy")
def _squares(a, flag, n, exact, lanes):
    """Sum of the squares that are flagged."""
    if exact:
        total = np.int64(0)
        for k in range(n):
            at = np.uint64(k)
            total += np.int64(a[at] * flag[at]) * np.int64(a[at])
        return np.float64(total)
    lanes[:] = 0.0
    for k in range(0, n, LANES):
        for j in range(LANES):
            at = np.uint64(k + j)
            lanes[j] += a[at] * a[at] * flag[at]
    return _joined(lanes)


@njit(cache=True, nogil=True, error_model="numpy")
def _apart(a, flag, first, second, n, exact, lanes):
    """Sum of what is flagged, each times how far apart two ranks are."""
    if exact:
        total = np.int64(0)
        for k in range(n):
            at = np.uint64(k)
            total += np.int64(a[at] * flag[at]) * np.int64(abs(first[at] - second[at]))
        return np.float64(total)
    lanes[:] = 0.0
    for k in range(0, n, LANES):
        for j in range(LANES):
            at = np.uint64(k + j)
            lanes[j] += a[at] * flag[at] * abs(first[at] - second[at])
    return _joined(lanes)


@njit(cache=True, nogil=True, error_model="numpy")
def _joined(lanes):
    total = 0.0
    for j in range(LANES):
        total += lanes[j]
    return total
