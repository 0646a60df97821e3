"""CellProfiler's intensities of an object and its edge (family ``cp_intensity``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.cp_intensity_kernel import fill
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.regions import MASKS, MaskWord, regions
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared

# name, unit, definition: the columns of a channel.
STATISTICS = (
    ("integrated", "intensity", "Sum of the pixels"),
    ("mean", "intensity", "Mean of the pixels"),
    ("std", "intensity", "Population standard deviation of the pixels"),
    ("max", "intensity", "Largest pixel"),
    ("min", "intensity", "Smallest pixel"),
    ("edge_integrated", "intensity", "Sum of the edge's pixels"),
    ("edge_mean", "intensity", "Mean of the edge's pixels"),
    ("edge_std", "intensity", "Population standard deviation of the edge's pixels"),
    ("edge_max", "intensity", "Largest pixel of the edge"),
    ("edge_min", "intensity", "Smallest pixel of the edge"),
    ("mass_displacement", "pixel", "Distance of the centre of intensity from the mask's centroid"),
    ("lower_quartile", "intensity", "25th percentile of the pixels"),
    ("median", "intensity", "Median of the pixels"),
    ("mad", "intensity", "Median of the absolute deviations from the median"),
    ("upper_quartile", "intensity", "75th percentile of the pixels"),
    ("center_mass_x", "pixel", "Column of the centre of intensity, from the crop's first"),
    ("center_mass_y", "pixel", "Row of the centre of intensity, from the crop's first"),
    ("max_x", "pixel", "Column of the first largest pixel in raster order, from the crop's first"),
    ("max_y", "pixel", "Row of the first largest pixel in raster order, from the crop's first"),
)
SOURCE = "CellProfiler's MeasureObjectIntensity"
PERCENTILES = ("linear", "cellprofiler")
if TYPE_CHECKING:
    PercentileWord = str
else:
    PercentileWord = Literal[PERCENTILES]


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    percentiles: PercentileWord = "linear",
) -> Family:
    """The intensities of some channels.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``: one region for all channels; or ``own``: each channel's mask.
    percentiles : str
        ``linear``: a fraction q of n pixels lies at rank (n - 1) q, as NumPy has it; or
        ``cellprofiler``: at n q, the last pixel at most.

    Raises
    ------
    UserError
        A word is unknown, or a list is empty.
    """
    pick([mask], MASKS, "mask")
    pick([percentiles], PERCENTILES, "percentiles")
    places = channel_places(channels)
    by_count = percentiles == "cellprofiler"
    return Family(
        "cp_intensity", partial(_features, places), partial(_compute, places, mask, by_count)
    )


def _features(places: tuple[int, ...] | None, channel_names: Sequence[str]) -> list[Feature]:
    return [
        Feature(f"cp_intensity_{name}_{channel}", channel, unit, f"{text} ({SOURCE}).")
        for channel in (channel_names[c] for c in chosen_channels(places, len(channel_names)))
        for name, unit, text in STATISTICS
    ]


def _compute(
    places: tuple[int, ...] | None,
    mask: MaskWord,
    by_count: bool,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    The edge are the pixels of the mask with a side at a pixel outside of it; what is beyond the
    crop is outside. Pixels that are not finite do not count.

    NaN where the mask has no pixel, and the edge's where it has none; the centre of intensity and
    its displacement also where the sum of the pixels is 0. (CellProfiler has 0 for the first two.)

    References
    ----------
    CellProfiler, MeasureObjectIntensity; cp_measure 0.3, ``get_intensity``, whose ``legacy`` is
    ``percentiles: cellprofiler`` here.
    """
    if len(batch):
        chosen = chosen_channels(places, batch.channels)
        fill(batch, masks, regions(batch, masks, mask), chosen, by_count, out, scratch)


FAMILY = replace(select(), select=select)
measure = FAMILY.measure
