"""What tiles need to know of the methods that segment fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array
from scip_mpi.segmentation.field_threshold import threshold
from scip_mpi.segmentation.field_watershed import (
    check_settings,
    field_objects,
    first_sigma,
    smoothed,
    watershed,
)
from scip_mpi.segmentation.fields import Segmenter, numbered
from scip_mpi.segmentation.label_files import labels
from scip_mpi.segmentation.tiles import levels
from scip_mpi.segmentation.tiles.pieces import Plane, Seams

# Bins by which scikit-image's Otsu and triangle tell values apart that are no whole numbers.
FEW = 256


@dataclass(frozen=True)
class Labelled:
    """Labels of one channel in a tile: 1 to n, what the method called them, and their seeds.

    ``seeds`` are places in the plane; None where there are none.
    """

    plane: Plane
    ids: Int64Array
    seeds: Int64Array | None


def seams_of(segmenter: Segmenter) -> Seams:
    """How a method's labels of two tiles are told to be of one object."""
    if segmenter.method is labels:
        return "value"
    return "touch" if segmenter.method is threshold else "overlap"


def level_word(segmenter: Segmenter) -> levels.Word | None:
    """The threshold that all of a field must decide, if the method takes one."""
    if segmenter.method is watershed:
        word = segmenter.kwargs.get("threshold", "li")
    elif segmenter.method is threshold:
        word = segmenter.kwargs.get("threshold", "otsu")
    else:
        return None
    return word if isinstance(word, str) else None  # type: ignore[return-value]


def looked_at(segmenter: Segmenter, plane: NDArray[Any]) -> NDArray[Any]:
    """The plane whose values a threshold is of."""
    if segmenter.method is watershed:
        given = segmenter.kwargs
        return smoothed(plane, first_sigma(given["cell_diameter"], given.get("smoothing")))
    return plane


def bins_of(segmenter: Segmenter, dtype: np.dtype[Any], span: FloatArray) -> int:
    """Bins that values of a range are counted in: as many as without tiles, where those are bins.

    ``dtype`` is the type of what is `looked_at`.
    """
    if segmenter.method is watershed:
        return levels.BINS if level_word(segmenter) == "li" else FEW
    return levels.bins_for(dtype, *span.tolist())


def with_level(segmenter: Segmenter, value: float) -> Segmenter:
    """The method with a threshold for the word that it was given."""
    return replace(segmenter, kwargs={**segmenter.kwargs, "threshold": value})


def label_tile(
    segmenter: Segmenter,
    batch: ImageBatch,
    channel: int,
    companions: Mapping[str, ImageBatch],
    xp: ModuleType,
) -> Labelled:
    """Segment one channel of the only image of a batch, a tile with its halo."""
    if segmenter.method is watershed:
        given = segmenter.kwargs
        check_settings(
            given["cell_diameter"], given.get("smoothing"), given.get("expansion_factor", 0.0)
        )
        plane, seeds = field_objects(batch.image(0)[channel], **given)
        return Labelled(plane, np.arange(1, len(seeds) + 1), seeds)
    found = segmenter(batch, channel, companions, xp).reshape(batch.image(0).shape[1:])
    ids, plane = numbered(found)
    return Labelled(plane, ids, None)
