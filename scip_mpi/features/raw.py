"""Statistics of all pixels of an object's crop, mask or not (family ``raw``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.intensity_selected import BY_DEVIATIONS, BY_MOMENTS, WORDS, Stat
from scip_mpi.features.order_statistics import N_STATISTICS, STATISTICS, some_statistics, total_of
from scip_mpi.features.selection import Part, any_of, channel_places, pick, places, wanted
from scip_mpi.features.shared import Shared


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
        frozenset({"sorted"}),
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
        batch.pixels, batch.offsets, batch.shapes, shared.order, places(chosen), work,
        scratch.array("values", size, np.float64), out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _raw(pixels, offsets, shapes, order, place, work, values, out):
    found = np.empty(N_STATISTICS)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        for c in range(channels):
            if not work[c, 0]:
                continue
            at = offsets[i] + c * n
            for k in range(n):
                values[k] = pixels[at + order[at + k]]
            some_statistics(values, n, total_of(values, n), work[c, 1], work[c, 2], found)
            for s in range(N_STATISTICS):
                if place[c, s] >= 0:
                    out[i, place[c, s]] = found[s]


FAMILY = Family(
    "raw", features, compute, frozenset({"sorted"}), masked=False, select=select, joined=joined
)
measure = FAMILY.measure
