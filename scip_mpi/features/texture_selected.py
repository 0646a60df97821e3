"""Some of the texture columns, without the work that the others need."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.cooccurrence import DISTANCES, PROPERTIES
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.gradient import SOBEL
from scip_mpi.features.selection import Part, channel_places, pick, wanted
from scip_mpi.features.shared import Shared
from scip_mpi.features.texture_columns import PAIRS, PER_MASK, features
from scip_mpi.features.texture_kernel import fill

MASKS = ("own", "combined")
OVER_ANGLES = ("mean", "std")
WORDS = tuple(name for name, _ in PROPERTIES)
if TYPE_CHECKING:
    MaskWord = str
    Over = str
    Property = str
    Sobel = str
else:
    MaskWord = Literal[MASKS]
    Over = Literal[OVER_ANGLES]
    Property = Literal[WORDS]
    Sobel = Literal[SOBEL]
Distance = Literal[3, 5]


def select(
    *,
    masks: Sequence[MaskWord] | None = None,
    distances: Sequence[Distance] | None = None,
    statistics: Sequence[Over] | None = None,
    properties: Sequence[Property] | None = None,
    sobel: Sequence[Sobel] | None = None,
    channels: Sequence[int | str] | None = None,
) -> Family:
    """Some properties of co-occurrence, and some statistics of the gradient.

    Parameters
    ----------
    masks : sequence of str, optional
        ``own``, ``combined``; both by default.
    distances : sequence of int, optional
        3, 5 pixels; both by default.
    statistics : sequence of str, optional
        ``mean``, ``std`` over the angles; both by default.
    properties : sequence of str, optional
        Of the co-occurrence; all six by default, none where the list is empty.
    sobel : sequence of str, optional
        ``mean``, ``std``, ``max``, ``min``; all by default, none where the list is empty.
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.

    Raises
    ------
    UserError
        A word is unknown, or nothing is left.
    """
    chosen_properties = [] if properties == [] and sobel != [] else pick(
        properties, WORDS, "property"
    )  # fmt: skip
    chosen_sobel = [] if sobel == [] else pick(sobel, SOBEL, "sobel")
    words = None if distances is None else [str(d) for d in distances]
    chosen_distances = pick(words, [str(d) for d in DISTANCES], "distance")
    chosen_over = pick(statistics, OVER_ANGLES, "statistic")
    columns = [
        (p * len(OVER_ANGLES) + over) * len(DISTANCES) + d
        for p in chosen_properties
        for over in chosen_over
        for d in chosen_distances
    ]
    columns += [PAIRS + s for s in chosen_sobel]
    both = [m * PER_MASK + j for m in pick(masks, MASKS, "mask") for j in columns]
    return joined((Part(tuple(both), channel_places(channels)),))


def joined(parts: tuple[Part, ...]) -> Family:
    """The family with the columns of some selections."""
    return Family(
        "texture", partial(_features, parts), partial(_compute, parts), parts=parts, joined=joined
    )


def _chosen(parts: Sequence[Part], channels: int) -> BoolArray:
    return wanted(parts, channels, 2 * PER_MASK)[1:].reshape(-1, 2, PER_MASK)


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
    fill(batch, masks, _chosen(parts, batch.channels), out, scratch)
