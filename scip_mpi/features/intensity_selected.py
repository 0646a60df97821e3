"""Some of the intensity columns, without the work that the others need."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.edge import rim
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.intensity_columns import PER_CHANNEL, VIEW_WORDS, features
from scip_mpi.features.order_statistics import (
    MAX,
    MEAN,
    MIN,
    N_STATISTICS,
    STATISTICS,
    SUM,
    shifted,
    some_statistics,
    sort_whole,
    total_of,
)
from scip_mpi.features.selection import (
    Part,
    any_of,
    channel_places,
    exact_sums,
    pick,
    places,
    wanted,
    windows,
)
from scip_mpi.features.shared import Shared

WORDS = tuple(name for name, _, _ in STATISTICS)
# Which statistics of a pair of views need what.
BY_MOMENTS = [WORDS.index(w) for w in ("std", "skewness", "kurtosis")]
BY_DEVIATIONS = [WORDS.index("mad")]
UNORDERED = (MEAN, SUM, MAX, MIN)
ORDERED = [s for s in range(N_STATISTICS) if s not in UNORDERED]
if TYPE_CHECKING:
    View = str
    Stat = str
else:
    View = Literal[VIEW_WORDS]
    Stat = Literal[WORDS]


def select(
    *,
    views: Sequence[View] | None = None,
    stats: Sequence[Stat] | None = None,
    channels: Sequence[int | str] | None = None,
) -> Family:
    """Every one of some statistics of every one of some views.

    Parameters
    ----------
    views : sequence of str, optional
        ``own``, ``bgcorr``, ``edge``, ``bgcorr_edge``, and the same of the combined mask; all by
        default.
    stats : sequence of str, optional
        All eleven by default.
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.

    Raises
    ------
    UserError
        A word is unknown, or a list is empty.
    """
    chosen_views = pick(views, VIEW_WORDS, "view")
    chosen_stats = pick(stats, WORDS, "statistic")
    columns = tuple(v * N_STATISTICS + s for v in chosen_views for s in chosen_stats)
    return joined((Part(columns, channel_places(channels)),))


def joined(parts: tuple[Part, ...]) -> Family:
    """The family with the columns of some selections."""
    return Family(
        "intensity",
        partial(_features, parts),
        partial(_compute, parts),
        frozenset({"sorted_unless_exact"}),
        parts=parts,
        joined=joined,
    )


def _chosen(parts: Sequence[Part], channels: int) -> BoolArray:
    return wanted(parts, channels, PER_CHANNEL)[1:]


def _features(parts: Sequence[Part], channel_names: Sequence[str]) -> list[Feature]:
    chosen = _chosen(parts, len(channel_names)).reshape(-1)
    return [f for f, asked in zip(features(channel_names), chosen, strict=True) if asked]


def _compute(
    parts: Sequence[Part],
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    if not len(batch):
        return
    chosen = _chosen(parts, batch.channels)
    # Channel; own or combined mask; all of it or its rim; as it is or less the background.
    grid = chosen.reshape(-1, 2, 2, 2, N_STATISTICS)
    pairs = np.asarray(grid.any(axis=3))
    work = np.stack(
        [any_of(pairs, s) for s in (range(N_STATISTICS), ORDERED, BY_MOMENTS, BY_DEVIATIONS)],
        axis=-1,
    )
    size = int((batch.shapes[:, 1] * batch.shapes[:, 2]).max())
    _intensity(
        batch.pixels, batch.offsets, batch.planes, batch.shapes, shared.order,
        exact_sums(batch.pixels.dtype), masks.own, masks.combined, masks.kept, windows(masks.bbox),
        masks.background,
        places(chosen).reshape(grid.shape), work, grid[:, :, :, 1].any(axis=(2, 3)),
        scratch.array("values", size, np.float64),
        scratch.array("edge_values", size, np.float64),
        scratch.array("found", size, np.int32),
        scratch.array("edge_found", size, np.int32),
        scratch.array("spare", size, np.int32),
        scratch.array("left", size, np.int64),
        scratch.array("right", size, np.int64),
        scratch.array("own_rim", size, np.uint8),
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
    values,
    edge_values,
    found,
    edge_found,
    spare,
    left,
    right,
    edge,
    out,
):
    """Fill the columns asked for.

    Parameters
    ----------
    exact : bool
        Whether sums are exact in any order: then pixels are ordered mask by mask, and only where a
        statistic needs it; otherwise ``order`` has all of them in order.
    place : (C, 2, 2, 2, 11) int64
        Column of ``out`` of each statistic, or -1.
    work : (C, 2, 2, 4) uint8
        Whether anything is asked of a mask, or of its rim; what needs order, moments, deviations.
    less : (C, 2) bool
        Whether the background is needed.
    """
    counts = np.empty(257, np.int64)
    found_values = np.empty(N_STATISTICS)
    lessened = np.empty(N_STATISTICS)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        n = h * w
        # The combined mask's rim is the same for every channel that asks for it, so it comes last.
        for which in range(2):
            known_rim = False
            for c in range(channels):
                if not (work[c, which, 0, 0] or work[c, which, 1, 0]):
                    continue
                at = offsets[i] + c * n
                mask = combined[planes[i] : planes[i] + n] if which else own[at : at + n]
                plane = pixels[at : at + n]
                if work[c, which, 1, 0] and not (which and known_rim):
                    rim(
                        mask.reshape(h, w), left[:n].reshape(h, w), right[:n].reshape(h, w),
                        edge[:n].reshape(h, w),
                    )  # fmt: skip
                    known_rim = True
                if exact:
                    inside, at_edge, outside, total, edge_total = _gather_whole(
                        plane, plane.reshape(h, w), mask.reshape(h, w), edge[:n].reshape(h, w),
                        boxes[i], work[c, which], less[c, which],
                        values, edge_values, found, edge_found, spare, counts,
                    )  # fmt: skip
                else:
                    inside, at_edge, outside = _gather(
                        plane, order[at : at + n], mask, edge, work[c, which, 1, 0], values,
                        edge_values,
                    )  # fmt: skip
                    total = total_of(values, inside)
                    edge_total = total_of(edge_values, at_edge)
                around = n - inside
                background = outside / around if around > 0 else 0.0
                if not np.isnan(given[i, c]):
                    background = given[i, c]
                for at_rim in range(2):
                    asked = work[c, which, at_rim]
                    if not asked[0]:
                        continue
                    count = at_edge if at_rim else inside
                    if count == 0:
                        found_values[:] = 0.0
                        lessened[:] = 0.0
                    else:
                        some_statistics(
                            edge_values if at_rim else values, count,
                            edge_total if at_rim else total, asked[2], asked[3], found_values,
                        )  # fmt: skip
                        shifted(found_values, count, background, lessened)
                    for s in range(N_STATISTICS):
                        j = place[c, which, at_rim, 0, s]
                        if j >= 0:
                            out[i, j] = found_values[s]
                        j = place[c, which, at_rim, 1, s]
                        if j >= 0:
                            out[i, j] = lessened[s]


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(plane, order, mask, edge, with_edge, values, edge_values):
    """Ascending values in a mask and in its rim; their numbers, and the sum outside the mask."""
    inside = 0
    at_edge = 0
    outside = 0.0
    for k in range(plane.size):
        position = order[k]
        value = np.float64(plane[position])
        if mask[position]:
            values[inside] = value
            inside += 1
            if with_edge and edge[position]:
                edge_values[at_edge] = value
                at_edge += 1
        else:
            outside += value
    return inside, at_edge, outside


@njit(cache=True, nogil=True, error_model="numpy")
def _gather_whole(
    flat, plane, mask, edge, box, work, less, values, edge_values, found, edge_found, spare, counts
):
    """`_gather` for whole numbers of 16 bits; in order only where that is asked for."""
    top, left, bottom, right = box
    inside = 0
    at_edge = 0
    for y in range(top, bottom):
        row = plane[y, left:right]
        marks = mask[y, left:right]
        for x in range(row.size):
            if marks[x]:
                found[inside] = row[x]
                inside += 1
        if work[1, 0]:
            marks = edge[y, left:right]
            for x in range(row.size):
                if marks[x]:
                    edge_found[at_edge] = row[x]
                    at_edge += 1
    total = _sum(found[:inside])
    edge_total = _sum(edge_found[:at_edge])
    outside = (_sum(flat) if less else 0) - total
    if work[0, 0] and inside:
        _put_in_order(found, inside, work[0, 1], spare, counts, values)
    if at_edge:
        _put_in_order(edge_found, at_edge, work[1, 1], spare, counts, edge_values)
    return inside, at_edge, np.float64(outside), np.float64(total), np.float64(edge_total)


@njit(cache=True, nogil=True, error_model="numpy")
def _sum(values):
    """Sum of whole numbers."""
    total = np.int64(0)
    for k in range(values.size):
        total += np.int64(values[k])
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _put_in_order(found, n, ordered, spare, counts, values):
    """Values in ascending order; or only the smallest first and the largest last, some lost."""
    low = found[0]
    high = found[0]
    for k in range(n):
        low = min(low, found[k])
        high = max(high, found[k])
    if ordered:
        sort_whole(found, n, np.int64(low), np.int64(high), spare, counts, values)
        return
    for k in range(n):
        values[k] = found[k]
    values[0] = low
    values[n - 1] = high
