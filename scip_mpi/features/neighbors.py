"""Neighbours of the objects of a field, as CellProfiler's (family ``neighbors``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.neighbors_kernel import measure_neighbors
from scip_mpi.features.selection import pick
from scip_mpi.features.shared import Shared

# name, unit, definition: the columns of an object.
STATISTICS = (
    ("number", "1", "Other objects with a pixel within the distance."),
    (
        "percent_touching", "1",
        "Of the object's outline, the part in percent within the distance and half a pixel of "
        "other objects.",
    ),
    ("first_closest_distance", "pixel", "From centroid to centroid of the nearest other object."),
    ("second_closest_distance", "pixel", "The same of the second nearest."),
    ("angle", "degree", "Between the directions of the nearest two, at the object's centroid."),
)  # fmt: skip
WORDS = tuple(name for name, _, _ in STATISTICS)
# The work for each pixel of an outline grows with its square.
FARTHEST = 200
if TYPE_CHECKING:
    Statistic = str
else:
    Statistic = Literal[WORDS]


@dataclass(frozen=True)
class Neighborhood:
    """What is known of objects among the others of their field; see `select`."""

    distance: int

    @property
    def columns(self) -> int:
        """Numbers for each object: all of `STATISTICS`."""
        return len(STATISTICS)

    def __call__(
        self, labels: NDArray[np.int32], numbers: Int64Array, boxes: Int64Array
    ) -> FloatArray:
        """Measure the objects of one field; see `scip_mpi.features.family.InField`."""
        return measure_neighbors(labels, numbers, boxes, self.distance)


def select(*, distance: int = 5, statistics: Sequence[Statistic] | None = None) -> Family:
    """Neighbours within a distance.

    Parameters
    ----------
    distance : int
        In pixels, 1 to 200; 1 for objects that touch.
    statistics : sequence of str, optional
        All five by default.

    Raises
    ------
    UserError
        A word is unknown, the list is empty, or the distance out of range.
    """
    if not 1 <= distance <= FARTHEST:
        raise UserError(f"distance: from 1 to {FARTHEST} pixels, not {distance}")
    chosen = tuple(pick(statistics, WORDS, "statistic"))
    known = Neighborhood(distance)
    return Family(
        "neighbors", partial(features, chosen, distance), partial(compute, chosen), in_field=known
    )


def features(chosen: Sequence[int], distance: int, channel_names: Sequence[str]) -> list[Feature]:
    """Five columns, of no channel."""
    found = []
    for s in chosen:
        name, unit, text = STATISTICS[s]
        column = f"neighbors_{name}_{distance}"
        found.append(Feature(column, "combined", unit, text, mask="the objects"))
    return found


def compute(
    chosen: Sequence[int],
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    Objects are those that ``segment:`` found and kept, by the pixels of their parents, whatever
    becomes of them later: those that are too small or on a border that drops them are nobody's
    neighbours, those that the filter leaves out are. The outline are the pixels with another pixel
    beside them or at a corner that is not the object's, and those on the edge of the field. Of
    equally near objects the one with the lower label comes first.

    The distances are NaN where there is no other object, or no second one; the angle too, and where
    a centroid is the object's own.

    References
    ----------
    CellProfiler, MeasureObjectNeighbors, "Within a specified distance"; cp_measure 0.3. There the
    values of an object without neighbours are 0.
    """
    if masks.in_field.shape[1]:
        out[masks.kept] = masks.in_field[masks.kept][:, list(chosen)]


FAMILY = replace(select(), select=select)
