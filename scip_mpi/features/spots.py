"""Number, area, brightness and place of the components of a mask set (family ``spots``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.regions import MASKS, MaskWord, regions
from scip_mpi.features.selection import Part, channel_places, pick, places, wanted
from scip_mpi.features.shared import Shared
from scip_mpi.features.spots_kernel import fill

# name, unit, definition: the columns of a channel.
STATISTICS = (
    ("count", "1", "Components of the mask, joined over corners."),
    ("area", "pixel^2", "Pixels of all components."),
    ("brightness", "intensity", "Sum of the pixels of all components, less the background."),
    ("distance", "pixel", "Mean distance of the components' centroids from the centre."),
)
WORDS = tuple(name for name, _, _ in STATISTICS)
CENTRES = ("combined", "crop")
if TYPE_CHECKING:
    Statistic = str
    Centre = str
else:
    Statistic = Literal[WORDS]
    Centre = Literal[CENTRES]


class Settings(NamedTuple):
    """What is asked for, and how it is measured; see `select`."""

    part: Part
    mask: MaskWord
    centre: Centre


def select(
    *,
    statistics: Sequence[Statistic] | None = None,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "own",
    centre: Centre = "combined",
) -> Family:
    """Some statistics of some channels.

    Parameters
    ----------
    statistics : sequence of str, optional
        All four by default.
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``own``: the components of each channel's mask, as a mask set of spots has them; or
        ``combined``.
    centre : str
        What distances are taken from: ``combined``, the centroid of the combined mask; or ``crop``,
        the middle of the crop, which is that of the object where crops are bounding boxes.

    Raises
    ------
    UserError
        A word is unknown, or a list is empty.
    """
    pick([mask], MASKS, "mask")
    pick([centre], CENTRES, "centre")
    part = Part(tuple(pick(statistics, WORDS, "statistic")), channel_places(channels))
    chosen = Settings(part, mask, centre)
    return Family("spots", partial(features, chosen), partial(compute, chosen), parts=(part,))


def features(settings: Settings, channel_names: Sequence[str]) -> list[Feature]:
    """Four columns per channel."""
    found = []
    for c, s in np.argwhere(_chosen(settings, len(channel_names))).tolist():
        name, unit, text = STATISTICS[s]
        found.append(Feature(f"spots_{name}_{channel_names[c]}", channel_names[c], unit, text))
    return found


def compute(
    settings: Settings,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    For a mask set whose components are spots, such as those of ``spot`` or of a threshold.

    The background is that of the config, by default the mean of the channel's pixels outside the
    mask, 0 where the mask fills the crop. Without a component number, area and brightness are 0;
    the distance is NaN, as there is nothing to be near or far, or where the combined mask, which
    has the centre, is empty.

    References
    ----------
    Components are counted as SCIP's regions are. Distances are those of centroids, as in
    CellProfiler's RelateObjects.
    """
    if len(batch):
        where = regions(batch, masks, settings.mask)
        in_crop = settings.centre == "crop"
        fill(batch, where, masks, places(_chosen(settings, batch.channels)), in_crop, out)


def _chosen(settings: Settings, channels: int) -> BoolArray:
    return wanted([settings.part], channels, len(WORDS))[1:]


FAMILY = replace(select(), select=select)
measure = FAMILY.measure
