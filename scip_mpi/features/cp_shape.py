"""CellProfiler's sizes and shapes of an object, as a whole (family ``cp_shape``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.cp_shape_kernel import fill
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.regions import MASKS, MaskWord, regions
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared

# name, unit, definition: the columns of a mask.
STATISTICS = (
    ("area", "pixel^2", "Number of pixels"),
    ("perimeter", "pixel", "Length of the line through the centres of the border pixels"),
    ("form_factor", "1", "4 pi area / perimeter^2"),
    ("compactness", "1", "Perimeter^2 / (4 pi area)"),
    ("extent", "1", "Part of the bounding box that is in the mask"),
    ("bounding_box_area", "pixel^2", "Number of pixels of the bounding box"),
    ("equivalent_diameter", "pixel", "Diameter of the circle of the same area"),
    ("euler_number", "1", "Components, joined over corners, less holes"),
    ("major_axis", "pixel", "Major axis of the ellipse with the same second moments"),
    ("minor_axis", "pixel", "Minor axis of the ellipse with the same second moments"),
    ("eccentricity", "1", "Eccentricity of the ellipse with the same second moments"),
    ("maximum_radius", "pixel", "Largest distance of a pixel to the outside"),
    ("mean_radius", "pixel", "Mean distance of the pixels to the outside"),
    ("median_radius", "pixel", "Median distance of the pixels to the outside"),
    ("min_feret", "pixel", "Least width of the convex hull of the pixels' centres"),
    ("max_feret", "pixel", "Largest width of the convex hull of the pixels' centres"),
)
SOURCE = "CellProfiler's MeasureObjectSizeShape"


def select(*, channels: Sequence[int | str] | None = None, mask: MaskWord = "combined") -> Family:
    """The shape of the combined mask, or of some channels' masks.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them) whose masks are measured with ``mask: own``; all
        by default.
    mask : str
        ``combined``: that mask alone; or ``own``: each channel's mask.

    Raises
    ------
    UserError
        A word is unknown, or a list is empty.
    """
    pick([mask], MASKS, "mask")
    places = channel_places(channels)
    return Family("cp_shape", partial(_features, places, mask), partial(_compute, places, mask))


def _features(
    places: tuple[int, ...] | None, mask: MaskWord, channel_names: Sequence[str]
) -> list[Feature]:
    chosen = [channel_names[c] for c in chosen_channels(places, len(channel_names))]
    return [
        Feature(f"cp_shape_{name}_{channel}", channel, unit, f"{text} ({SOURCE}).")
        for channel in (chosen if mask == "own" else ["combined"])
        for name, unit, text in STATISTICS
    ]


def _compute(
    places: tuple[int, ...] | None,
    mask: MaskWord,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    All components of a mask together are one object, as in CellProfiler; the means over components
    are SCIP's (family ``shape``), the Zernike moments of the mask are columns of ``zernike``. What
    is beyond the crop is outside.

    NaN where the mask has no pixel; the form factor also where the perimeter is 0.

    References
    ----------
    CellProfiler, MeasureObjectSizeShape; cp_measure 0.3, ``get_sizeshape`` and ``get_feret``.
    """
    if len(batch):
        chosen = chosen_channels(places, batch.channels)
        if mask == "combined":
            chosen = np.zeros(1, np.int64)
        fill(batch, masks, regions(batch, masks, mask), chosen, out, scratch)


FAMILY = replace(select(), select=select)
measure = FAMILY.measure
