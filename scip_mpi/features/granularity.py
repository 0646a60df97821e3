"""CellProfiler's spectrum of granules by their size (family ``granularity``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.granularity_kernel import Picture, fill
from scip_mpi.features.regions import MASKS, MaskWord, regions
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared

MOST_STEPS = 100


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    spectrum_length: int = 16,
    subsample: float = 1.0,
    background_radius: int = 0,
    background_subsample: float = 0.25,
) -> Family:
    """The spectra of some channels.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``: one region for all channels; or ``own``: each channel's mask.
    spectrum_length : int
        Number of steps.
    subsample : float
        Part of the rows and columns that is kept before anything else; all by default, 0.25 in
        CellProfiler.
    background_radius : int
        What an opening by a disc of this radius, in pixels of the smallest picture, leaves is taken
        off first; nothing by default, 10 in CellProfiler.
    background_subsample : float
        Part of those rows and columns that is kept for the opening.

    Raises
    ------
    UserError
        A word is unknown, a list is empty, or a number out of range.
    """
    pick([mask], MASKS, "mask")
    if not 1 <= spectrum_length <= MOST_STEPS:
        raise UserError(f"spectrum_length: from 1 to {MOST_STEPS}, found {spectrum_length}")
    for name, part in (("subsample", subsample), ("background_subsample", background_subsample)):
        if not 0 < part <= 1:
            raise UserError(f"{name}: above 0, and 1 at most, found {part}")
    if background_radius < 0:
        raise UserError(f"background_radius: 0 or more, found {background_radius}")
    places = channel_places(channels)
    picture = Picture(float(subsample), background_radius, float(background_subsample))
    return Family(
        "granularity",
        partial(_features, places, spectrum_length),
        partial(_compute, places, mask, spectrum_length, picture),
    )


def _features(
    places: tuple[int, ...] | None, steps: int, channel_names: Sequence[str]
) -> list[Feature]:
    text = "Percent of the mean intensity that erosion {} and reconstruction take away"
    source = "CellProfiler's MeasureGranularity"
    return [
        Feature(f"granularity_{k}_{channel}", channel, "1", f"{text.format(k)} ({source}).")
        for channel in (channel_names[c] for c in chosen_channels(places, len(channel_names)))
        for k in range(1, steps + 1)
    ]


def _compute(
    places: tuple[int, ...] | None,
    mask: MaskWord,
    steps: int,
    picture: Picture,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    The picture is the mask's bounding box with one more pixel around it, 0 outside of the mask, so
    that no neighbour counts. It is made smaller, its background is taken off, and what is below 0
    becomes 0, where so asked. Step k erodes it by a cross once more, k times in all, and
    reconstructs from there under it, joined over sides; the reconstruction is read at the mask's
    pixels, linearly in between where the picture was made smaller. The value is the mean that step
    k takes away in percent of the mean of the mask's pixels as they were.

    NaN where the mask has no pixel, or one that is not finite; where their mean is not above 0; and
    where the smaller picture would have less than two rows or columns.

    References
    ----------
    CellProfiler, MeasureGranularity, with ``subsample: 0.25, background_radius: 10``; cp_measure
    0.3, ``get_granularity`` of that picture; Vincent, "Granulometries and opening trees",
    Fundamenta Informaticae 41, 2000.
    """
    if len(batch):
        chosen = chosen_channels(places, batch.channels)
        fill(batch, masks, regions(batch, masks, mask), chosen, steps, picture, out, scratch)


FAMILY = replace(select(), select=select)
measure = FAMILY.measure
