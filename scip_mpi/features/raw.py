"""Statistics of all pixels of an object's crop, mask or not (family ``raw``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.intensity_selected import Stat
from scip_mpi.features.order_statistics import (
    BY_DEVIATIONS,
    BY_MOMENTS,
    N_STATISTICS,
    STATISTICS,
    WORDS,
    some_statistics,
)
from scip_mpi.features.selection import (
    Part,
    any_of,
    channel_places,
    exact_sums,
    pick,
    places,
    wanted,
)
from scip_mpi.features.shared import Shared
from scip_mpi.features.tally import (
    LANES,
    WIDEST,
    add_value,
    tally_plane,
    tally_whole,
    whole_range,
)


def features(channel_names: Sequence[str]) -> list[Feature]:
    """Eleven columns per channel."""
    return [
        Feature(f"{name}_{channel}", channel, unit, f"{text} All pixels of the crop.")
        for channel in channel_names
        for name, unit, text in STATISTICS
    ]


def compute(
    batch: ImageBatch, masks: SetMasks, shared: Shared, out: FloatArray, scratch: Scratch
) -> None:
    """Fill a row per object, those included that a mask set dropped.

    Skewness and kurtosis are NaN where the pixels are equal but for rounding.

    References
    ----------
    Lippeveld et al., "SCIP", Cytometry Part A 105, 2024. IBSI: Zwanenburg et al., "The image
    biomarker standardization initiative", Radiology 295(2), 2020.
    """
    _fill(batch, shared, np.ones((batch.channels, N_STATISTICS), bool), out, scratch)


def select(
    *, stats: Sequence[Stat] | None = None, channels: Sequence[int | str] | None = None
) -> Family:
    """Some statistics of some channels.

    Parameters
    ----------
    stats : sequence of str, optional
        All eleven by default.
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.

    Raises
    ------
    UserError
        A word is unknown, or a list is empty.
    """
    return joined((Part(tuple(pick(stats, WORDS, "statistic")), channel_places(channels)),))


def joined(parts: tuple[Part, ...]) -> Family:
    """The family with the columns of some selections."""
    return Family(
        "raw",
        partial(_features, parts),
        partial(_compute, parts),
        frozenset({"sorted_unless_exact"}),
        masked=False,
        parts=parts,
        joined=joined,
    )


def _chosen(parts: Sequence[Part], channels: int) -> BoolArray:
    return wanted(parts, channels, N_STATISTICS)[1:]


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
    _fill(batch, shared, _chosen(parts, batch.channels), out, scratch)


def _fill(
    batch: ImageBatch, shared: Shared, chosen: BoolArray, out: FloatArray, scratch: Scratch
) -> None:
    if not len(batch):
        return
    size = int((batch.shapes[:, 1] * batch.shapes[:, 2]).max())
    every = range(N_STATISTICS)
    work = np.stack([any_of(chosen, s) for s in (every, BY_MOMENTS, BY_DEVIATIONS)], axis=-1)
    _raw(
        batch.pixels, batch.offsets, batch.shapes, shared.order, exact_sums(batch.pixels.dtype),
        places(chosen), work,
        scratch.array("values", size + 1, np.float64),
        scratch.array("times", size + 1, np.int64),
        scratch.array("upto", size + 1, np.int64),
        scratch.array("found", size, np.int32),
        scratch.array("spare", size, np.int32),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _raw(
    pixels, offsets, shapes, order, exact, place, work, values, times, upto, found, spare, out
):
    counts = np.zeros(LANES * WIDEST, np.uint32)
    of_channel = np.empty(N_STATISTICS)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        for c in range(channels):
            if not work[c, 0]:
                continue
            at = offsets[i] + c * n
            flat = pixels[at : at + n]
            if exact:
                low, high, whole = whole_range(flat)
                total = np.float64(whole)
                if high - low < WIDEST:
                    m = tally_plane(flat, low, high, counts, values, times)
                else:
                    for k in range(n):
                        found[k] = flat[k]
                    m = tally_whole(found, n, spare, values, times)
            else:
                m = 0
                total = 0.0
                for k in range(n):
                    value = np.float64(flat[order[at + k]])
                    total += value
                    m = add_value(value, m, values, times)
            some_statistics(values, times, m, upto, total, work[c, 1], work[c, 2], of_channel)
            for s in range(N_STATISTICS):
                if place[c, s] >= 0:
                    out[i, place[c, s]] = of_channel[s]


FAMILY = Family(
    "raw", features, compute, frozenset({"sorted_unless_exact"}), masked=False, select=select,
    joined=joined,
)  # fmt: skip
measure = FAMILY.measure
