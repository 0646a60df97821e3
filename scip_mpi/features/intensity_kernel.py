"""The work behind the intensity columns: a tally of every mask and its rim, channel by channel."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.bit_rows import WORD, bit_at
from scip_mpi.features.edge import RADIUS, inner_bits, inner_size
from scip_mpi.features.order_statistics import (
    BY_DEVIATIONS,
    BY_MOMENTS,
    N_STATISTICS,
    shifted,
    some_statistics,
)
from scip_mpi.features.runs import find_runs, most_runs
from scip_mpi.features.selection import any_of, exact_sums, places, windows
from scip_mpi.features.shared import Shared
from scip_mpi.features.tally import WIDEST, add_value, tally_both, tally_whole, whole_range


def fill(
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    chosen: BoolArray,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the columns asked for, of the objects that the mask set kept.

    Parameters
    ----------
    chosen : ndarray of bool, shape (C, 88)
        Which of a channel's columns are asked for; they stand in ``out`` one after the other.
    """
    if not len(batch):
        return
    # Channel; own or combined mask; all of it or its rim; as it is or less the background.
    grid = chosen.reshape(-1, 2, 2, 2, N_STATISTICS)
    pairs = np.asarray(grid.any(axis=3))
    work = np.stack(
        [any_of(pairs, s) for s in (range(N_STATISTICS), BY_MOMENTS, BY_DEVIATIONS)], axis=-1
    )
    size = int((batch.shapes[:, 1] * batch.shapes[:, 2]).max())
    exact = exact_sums(batch.pixels.dtype)
    _intensity(
        batch.pixels, batch.offsets, batch.planes, batch.shapes, shared.order, exact,
        masks.own, masks.combined, masks.kept, windows(masks.bbox), masks.background,
        places(chosen).reshape(grid.shape), work, grid[:, :, :, 1].any(axis=(2, 3)),
        most_runs(batch.shapes),
        scratch.array("values", size + 1, np.float64),
        scratch.array("times", size + 1, np.int64),
        scratch.array("edge_values", size + 1, np.float64),
        scratch.array("edge_times", size + 1, np.int64),
        scratch.array("upto", size + 1, np.int64),
        scratch.array("found", size, np.int32),
        scratch.array("spare", size, np.int32),
        scratch.array("codes", size, np.uint8),
        scratch.array("inner", inner_size(batch.shapes), np.uint64),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _intensity(
    pixels,
    offsets,
    planes,
    shapes,
    order,
    exact,
    own,
    combined,
    kept,
    boxes,
    given,
    place,
    work,
    less,
    capacity,
    values,
    times,
    edge_values,
    edge_times,
    upto,
    found,
    spare,
    codes,
    words,
    out,
):
    """Fill the columns asked for.

    Parameters
    ----------
    exact : bool
        Whether sums are exact in any order: then pixels are counted mask by mask; otherwise
        ``order`` has all of them in order.
    place : (C, 2, 2, 2, 11) int64
        Column of ``out`` of each statistic, or -1.
    work : (C, 2, 2, 3) uint8
        Whether anything is asked of a mask, or of its rim; what needs moments, deviations.
    less : (C, 2) bool
        Whether the background is needed.
    """
    runs = np.empty((capacity, 3), np.int64)
    row = np.empty(np.int64(shapes[:, 2].max()) // WORD + 3, np.uint64)
    counts = np.zeros(2 * WIDEST, np.uint32)
    lows = np.empty(len(work), np.int64)
    highs = np.empty(len(work), np.int64)
    sums = np.empty(len(work), np.int64)
    of_view = np.empty(N_STATISTICS)
    lessened = np.empty(N_STATISTICS)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        n = h * w
        box = boxes[i]
        if exact:
            for c in range(channels):
                if work[c, :, :, 0].any():
                    at = offsets[i] + c * n
                    lows[c], highs[c], sums[c] = whole_range(pixels[at : at + n])
        # The combined mask is the same for every channel that asks for it, so it comes last.
        for which in range(2):
            known = -1
            for c in range(channels):
                if not (work[c, which, 0, 0] or work[c, which, 1, 0]):
                    continue
                at = offsets[i] + c * n
                flat = pixels[at : at + n]
                if not (which and known >= 0):
                    mask = combined[planes[i] : planes[i] + n] if which else own[at : at + n]
                    known = find_runs(mask.reshape(h, w), box, runs)
                    inner = inner_bits(runs[:known], box, h, w, row, words)
                if exact:
                    m, e, inside, whole, edge_whole, outside = _count(
                        flat, w, (lows[c], highs[c], sums[c]), runs[:known], box, inner, counts,
                        found, spare, values, times, edge_values, edge_times,
                    )  # fmt: skip
                    total = np.float64(whole)
                    edge_total = np.float64(edge_whole)
                else:
                    m, e, inside, total, edge_total, outside = _walk(
                        flat, w, order[at : at + n], runs[:known], box, inner, codes[:n], values,
                        times, edge_values, edge_times,
                    )  # fmt: skip
                around = n - inside
                background = outside / around if around > 0 else 0.0
                if not np.isnan(given[i, c]):
                    background = given[i, c]
                for at_rim in range(2):
                    asked = work[c, which, at_rim]
                    if not asked[0]:
                        continue
                    if at_rim == 0 and m:
                        some_statistics(
                            values, times, m, upto, total, asked[1], asked[2], of_view
                        )  # fmt: skip
                        shifted(of_view, upto[m - 1], background, lessened)
                    elif at_rim and e:
                        some_statistics(
                            edge_values, edge_times, e, upto, edge_total, asked[1], asked[2],
                            of_view,
                        )  # fmt: skip
                        shifted(of_view, upto[e - 1], background, lessened)
                    else:
                        of_view[:] = 0.0
                        lessened[:] = 0.0
                    for s in range(N_STATISTICS):
                        j = place[c, which, at_rim, 0, s]
                        if j >= 0:
                            out[i, j] = of_view[s]
                        j = place[c, which, at_rim, 1, s]
                        if j >= 0:
                            out[i, j] = lessened[s]


@njit(cache=True, nogil=True, error_model="numpy")
def _count(
    flat,
    width,
    span,
    runs,
    box,
    inner,
    counts,
    found,
    spare,
    values,
    times,
    edge_values,
    edge_times,
):
    """Tallies of a mask and its rim, for whole numbers of at most 16 bits.

    Parameters
    ----------
    span : tuple of int
        Least, largest, and sum of all pixels of the plane.

    Returns
    -------
    tuple
        The distinct values of either, the number of pixels in the mask, the sums of either and of
        what is outside.
    """
    low, high, every = span
    inside = 0
    if high - low < WIDEST:
        for r in range(len(runs)):
            at = runs[r, 0] * width
            kept = np.uint64(runs[r, 0] - box[0] + RADIUS)
            inside += runs[r, 2] - runs[r, 1]
            for x in range(runs[r, 1], runs[r, 2]):
                bit = bit_at(inner, kept, x - box[1])
                value = np.int64(flat[np.uint64(at + x)]) - low
                counts[np.uint64(2 * value + 1 - bit)] += np.uint32(1)
        m, e = tally_both(counts, high - low + 1, low, values, times, edge_values, edge_times)
    else:
        for r in range(len(runs)):
            for x in range(runs[r, 1], runs[r, 2]):
                found[inside] = flat[runs[r, 0] * width + x]
                inside += 1
        m = tally_whole(found, inside, spare, values, times)
        at_edge = 0
        for r in range(len(runs)):
            kept = np.uint64(runs[r, 0] - box[0] + RADIUS)
            for x in range(runs[r, 1], runs[r, 2]):
                if not bit_at(inner, kept, x - box[1]):
                    found[at_edge] = flat[runs[r, 0] * width + x]
                    at_edge += 1
        e = tally_whole(found, at_edge, spare, edge_values, edge_times)
    total = _sum(values, times, m)
    return m, e, inside, total, _sum(edge_values, edge_times, e), np.float64(every - total)


@njit(cache=True, nogil=True, error_model="numpy")
def _sum(values, times, m):
    """Sum of the values of a tally of whole numbers."""
    total = np.int64(0)
    for j in range(m):
        total += np.int64(values[j]) * times[j]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _walk(flat, width, order, runs, box, inner, codes, values, times, edge_values, edge_times):
    """`_count` for pixels of any type, from the order of all of them."""
    # Outside the mask 0, in it 1, in its rim 2.
    codes[:] = 0
    for r in range(len(runs)):
        kept = np.uint64(runs[r, 0] - box[0] + RADIUS)
        for x in range(runs[r, 1], runs[r, 2]):
            codes[runs[r, 0] * width + x] = 2 - bit_at(inner, kept, x - box[1])
    m = 0
    e = 0
    inside = 0
    total = 0.0
    edge_total = 0.0
    outside = 0.0
    for k in range(order.size):
        position = order[k]
        value = np.float64(flat[position])
        code = codes[position]
        if code:
            inside += 1
            total += value
            m = add_value(value, m, values, times)
            if code == 2:
                edge_total += value
                e = add_value(value, e, edge_values, edge_times)
        else:
            outside += value
    return m, e, inside, total, edge_total, outside
