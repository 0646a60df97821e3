"""What a rank runs on its images, and what it then knows of a chunk of them.

Knows nothing of ranks, messages or files of the table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import (
    FloatArray,
    ImageBatch,
    Int64Array,
    MaskBatch,
    UInt8Array,
    from_buffer,
)
from scip_mpi.columns import ColumnPlan
from scip_mpi.correction import Correction
from scip_mpi.features.family import Family, InField
from scip_mpi.loaders.contract import Failure, References, Window
from scip_mpi.measure import Statistic
from scip_mpi.segmentation.chain import MaskSet, PreFilter
from scip_mpi.segmentation.fields import FieldPlan, Fields
from scip_mpi.tile_store import Tiles


class Read(Protocol):
    """Reads images, or the same part of each."""

    def __call__(
        self, references: References, window: Window | None = None
    ) -> tuple[ImageBatch, list[Failure]]:
        """The images that can be read, and why others cannot be."""


class Beside(Protocol):
    """Reads the companions of images that were read."""

    def __call__(
        self,
        references: References,
        batch: ImageBatch,
        window: Window | None = None,
        size: tuple[int, int] | None = None,
    ) -> tuple[ImageBatch, dict[str, ImageBatch], list[Failure]]:
        """Images that have all companions, these by name, and failures.

        Of parts of images, ``size`` is that of a whole one.
        """


@dataclass(frozen=True)
class Stages:
    """Everything a rank needs to turn references into measurements and features.

    Attributes
    ----------
    read : Read
        The loader.
    beside : Beside, optional
        Reads the pictures that belong to each image, by name.
    correction : Correction, optional
        Offset, illumination and compensation.
    fields : FieldPlan, optional
        How objects are found; without, each image is one.
    sets : sequence of MaskSet
        The mask methods; none where the objects of fields are their own masks.
    backgrounds : sequence of str or float
        Per channel: ``outside``, ``ring``, ``field_median`` or a value.
    statistics, gates : sequence of Statistic
        What the filter looks at, and what stands in obs to gate by.
    scale : ndarray of float64, shape (columns,), optional
        What columns are multiplied by in the end, to be in their units.
    bounds : ndarray of float64, shape (S, G, C, 2), optional
        What normalization takes for 0 and 1, per mask set, group and channel.
    tiles : Tiles, optional
        How fields larger than a tile are cut into several; without, all are taken whole.
    """

    read: Read
    beside: Beside | None
    correction: Correction | None
    fields: FieldPlan | None
    sets: Sequence[MaskSet]
    prefilters: Sequence[PreFilter]
    main_channel: int
    combined: Sequence[int]
    backgrounds: Sequence[str | float]
    statistics: Sequence[Statistic]
    gates: Sequence[Statistic]
    saturation: FloatArray
    columns: ColumnPlan
    families: Sequence[Family]
    xp: Any
    scale: FloatArray | None = None
    export: Callable[[References, Fields], None] | None = None
    bounds: FloatArray | None = None
    tiles: Tiles | None = None

    @property
    def in_field(self) -> list[InField]:
        """What families must know of objects of fields, in the order of `MaskBatch.in_field`."""
        return list(dict.fromkeys(f.in_field for f in self.families if f.in_field is not None))

    def known_in_field(self, family: Family, masks: MaskBatch) -> FloatArray:
        """What one family knows of objects of fields."""
        before = 0
        for known in self.in_field:
            if known == family.in_field:
                break
            before += known.columns
        found = masks.in_field[:, before : before + known.columns]
        if found.shape[1] != known.columns:
            raise ValueError(f"{family.name}: the first pass did not look at whole fields")
        return found

    def corrected(self, batch: ImageBatch) -> ImageBatch:
        """Pixels of images as everything after the loader sees them."""
        return batch if self.correction is None else self.correction(batch)

    def corrected_crops(self, crops: ImageBatch, masks: MaskBatch) -> ImageBatch:
        """The same of crops of objects."""
        if self.correction is None:
            return crops
        return self.correction(crops, masks.image, masks.bbox[:, :2])

    def corrected_type(self, dtype: str) -> np.dtype[Any]:
        """Type of corrected pixels, of the type that they are read as."""
        return np.dtype(dtype if self.correction is None else np.float32)


@dataclass(frozen=True)
class Segmented:
    """What is known of a chunk after the first pass, as arrays that a message can carry.

    Attributes
    ----------
    span : ndarray of int64, shape (2,)
        The chunk: images ``lo`` to ``hi`` of the catalog.
    sources : ndarray of uint8
        The images' files without companions, as many for each, NUL between them; ``within`` and
        ``group`` as in `References`.
    found : ndarray of int64, shape (n,)
        Objects per image; -1 for an image that failed.
    saturated, background, focus : ndarray of float64, shape (n, C)
        Fraction of saturated pixels, mean outside the first mask set's mask, gradient RMS.
    centroid : ndarray of float64, shape (m, 2)
        (x, y) in the image, of the first set's combined mask, or of the crop without one.
    failures : ndarray of uint8
        JSON.
    masks : ndarray of uint8
        The `MaskBatch`, by `to_buffer`.
    """

    span: Int64Array
    sources: UInt8Array
    within: Int64Array
    group: NDArray[np.int32]
    found: Int64Array
    saturated: FloatArray
    background: FloatArray
    focus: FloatArray
    centroid: FloatArray
    failures: UInt8Array
    masks: UInt8Array

    def references(self) -> References:
        """The part of the catalog that this chunk is."""
        return references_of(self.span, self.sources, self.within, self.group)

    def failed(self) -> list[Failure]:
        """The images of this chunk that could not be processed."""
        return failures_of(self.failures)

    def objects(self) -> MaskBatch:
        """The table of objects and their masks."""
        return from_buffer(MaskBatch, self.masks)


def sparing(stages: Stages, lost: Sequence[Failure], dtype: str) -> Stages:
    """Stages that leave some images alone, as if they could not be read, of a run's pixel type."""
    read, known = stages.read, {failure.index: failure for failure in lost}

    def spared(
        references: References, window: Window | None = None
    ) -> tuple[ImageBatch, list[Failure]]:
        gone = np.isin(references.index, list(known))
        noted = [known[index] for index in references.index[gone].tolist()]
        if gone.all():
            return ImageBatch.from_images([], dtype=dtype), noted
        images, failures = read(references.take(np.flatnonzero(~gone)), window)
        return images, noted + failures

    return replace(stages, read=spared)


def references_of(
    span: Int64Array, sources: UInt8Array, within: Int64Array, group: NDArray[np.int32]
) -> References:
    """The part of the catalog that a chunk is, as `Segmented` holds it."""
    files = bytes(sources).decode("utf-8", "surrogateescape").split("\0")
    each = len(files) // len(within)
    own = [tuple(files[i : i + each]) for i in range(0, len(files), each)]
    return References(own, within, np.arange(*span, dtype=np.int64), group)


def failures_of(text: UInt8Array) -> list[Failure]:
    """Failures as `Segmented` holds them."""
    return [Failure(**f) for f in json.loads(bytes(text))]
