"""Some of the intensity columns, without the work that the others need."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.intensity_columns import PER_CHANNEL, VIEW_WORDS, features
from scip_mpi.features.intensity_kernel import fill
from scip_mpi.features.order_statistics import N_STATISTICS, WORDS
from scip_mpi.features.selection import Part, channel_places, pick, wanted
from scip_mpi.features.shared import Shared

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
    fill(batch, masks, shared, _chosen(parts, batch.channels), out, scratch)
