"""The first pass over a chunk of images, as a rank runs it: read, correct, segment, measure.

Knows nothing of ranks, messages or files of the table: references in, arrays out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi import measure
from scip_mpi.batches import (
    FloatArray,
    ImageBatch,
    Int64Array,
    MaskBatch,
    UInt8Array,
    from_buffer,
    to_buffer,
)
from scip_mpi.columns import ColumnPlan
from scip_mpi.correction import Correction
from scip_mpi.features.family import Family
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.measure import Statistic
from scip_mpi.segmentation import background
from scip_mpi.segmentation.chain import FoundMasks, MaskSet, PreFilter, find_masks, whole_images
from scip_mpi.segmentation.combine import combined_masks
from scip_mpi.segmentation.crops import cut_crops
from scip_mpi.segmentation.fields import FieldPlan, Fields, parent_planes, segment_fields
from scip_mpi.timers import Timers

Read = Callable[[References], tuple[ImageBatch, list[Failure]]]
# Beside(references, images) -> images that have all companions, companions by name, failures
Beside = Callable[[References, ImageBatch], tuple[ImageBatch, dict[str, ImageBatch], list[Failure]]]


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
        Offset and compensation.
    fields : FieldPlan, optional
        How objects are found; without, each image is one.
    sets : sequence of MaskSet
        The mask methods; none where the objects of fields are their own masks.
    backgrounds : sequence of str or float
        Per channel: ``outside``, ``ring``, ``field_median`` or a value.
    statistics, gates : sequence of Statistic
        What the filter looks at, and what stands in obs to gate by.
    bounds : ndarray of float64, shape (S, G, C, 2), optional
        What normalization takes for 0 and 1, per mask set, group and channel.
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
    export: Callable[[References, Fields], None] | None = None
    bounds: FloatArray | None = None

    def corrected(self, batch: ImageBatch) -> ImageBatch:
        """Pixels as everything after the loader sees them."""
        return batch if self.correction is None else self.correction(batch)

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


def segment(stages: Stages, references: References, timers: Timers) -> tuple[Segmented, ImageBatch]:
    """First pass over a chunk: masks and measurements, and the pixels as they were read."""
    with timers.stage("read"):
        raw, failures = stages.read(references)
        companions: dict[str, ImageBatch] = {}
        if stages.beside is not None:
            raw, companions, lacking = stages.beside(references, raw)
            failures += lacking
    with timers.stage("segment"):
        batch = stages.corrected(raw)
        fields = None
        if stages.fields is not None:
            fields = segment_fields(batch, stages.fields, companions, stages.xp)
        masks, crops, found = _masks(stages, batch, fields, companions)
    if fields is not None and stages.export is not None:
        with timers.stage("export"):
            stages.export(references, fields)
    with timers.stage("measure"):
        lo, hi = int(references.index[0]), int(references.index[-1]) + 1
        objects = np.full(hi - lo, -1, np.int64)
        objects[batch.index - lo] = 0
        np.add.at(objects, masks.image - lo, 1)
        first = combined_masks(found.own(0), masks.shapes, stages.combined)
        masks = replace(
            masks,
            background=backgrounds(stages, batch, masks, found.own, fields),
            statistics=statistics_of(
                stages,
                stages.statistics,
                raw,
                crops,
                masks,
                found.own,
                fields,
                known_tables(found, stages.statistics),
            ),
        )
        centroid = measure.centroids(crops, first, masks.bbox)
        per_image = {
            name: placed(values, batch.index - lo, hi - lo)
            for name, values in _image_summary(stages, batch, raw, found, fields).items()
        }
    files = [file for own in references.alone().sources for file in own]
    record = Segmented(
        span=np.array([lo, hi], np.int64),
        sources=np.frombuffer("\0".join(files).encode("utf-8", "surrogateescape"), np.uint8),
        within=references.within,
        group=references.group,
        found=objects,
        **per_image,
        centroid=centroid,
        failures=np.frombuffer(json.dumps([asdict(f) for f in failures]).encode(), np.uint8),
        masks=to_buffer(masks),
    )
    return record, raw


def _masks(
    stages: Stages,
    batch: ImageBatch,
    fields: Fields | None,
    companions: Mapping[str, ImageBatch],
) -> tuple[MaskBatch, ImageBatch, FoundMasks]:
    """The masks of all objects, their crops, corrected, and what is known of the masks."""
    if fields is None:
        objects, crops, sets = whole_images(batch), batch, stages.sets
    else:
        objects, crops = fields.objects, fields.crops
        companions = {
            name: cut_crops(plane, fields.row, objects.bbox) for name, plane in companions.items()
        }
        given = MaskSet("", lambda *_: fields.masks, {}, border=False)
        sets = stages.sets or [given]
    found = find_masks(crops, sets, stages.prefilters, stages.main_channel, stages.xp, companions)
    return found.packed(objects), crops, found


def backgrounds(
    stages: Stages,
    batch: ImageBatch,
    masks: MaskBatch,
    own: Callable[[int], UInt8Array],
    fields: Fields | None,
) -> FloatArray:
    """What ``bgcorr_`` features subtract, shape (m, S, C); NaN for the mean outside the mask.

    In a field, a ring lies round the object and the median is of all pixels in no object; in an
    image that is one object, both are of the pixels outside a mask set's combined mask.
    """
    out = np.full(masks.background.shape, np.nan)
    if not len(masks) or all(chosen == "outside" for chosen in stages.backgrounds):
        return out
    for s in range(masks.sets):
        if fields is not None:
            row, bbox, number = fields.row, masks.bbox, fields.number
            planes = parent_planes(fields.labels, stages.fields)
        else:
            row, number = np.arange(len(masks)), np.ones(len(masks), np.int64)
            bbox = masks.bbox
            combined = combined_masks(own(s), masks.shapes, stages.combined)
            shapes = masks.shapes.copy()
            shapes[:, 0] = 1
            planes = ImageBatch(combined, batch.planes, shapes, batch.index)
        if "ring" in stages.backgrounds:
            around = background.ring(batch, planes, row, bbox, number)
        if "field_median" in stages.backgrounds:
            median = background.field_median(batch, planes)[row]
        for c, chosen in enumerate(stages.backgrounds):
            if chosen == "ring":
                out[:, s, c] = around[:, c]
            elif chosen == "field_median":
                out[:, s, c] = median[:, c]
            elif chosen != "outside":
                out[:, s, c] = chosen
    return out


def statistics_of(
    stages: Stages,
    statistics: Sequence[Statistic],
    raw: ImageBatch,
    crops: ImageBatch,
    masks: MaskBatch,
    own: Callable[[int], UInt8Array],
    fields: Fields | None = None,
    known: Mapping[tuple[int, int], FloatArray] | None = None,
) -> FloatArray:
    """Statistics of every object, shape (m, K); NaN where the mask set dropped the object.

    ``own`` gives the masks of a set, in the layout of the crops; ``known`` is what was measured
    already, as of `known_tables`.
    """
    if not statistics:
        return np.empty((len(masks), 0))
    if fields is None:
        before = raw
    elif stages.correction is None:
        before = crops
    else:
        before = cut_crops(raw, fields.row, masks.bbox)
    missing = {s.mask_set for s in statistics if (s.mask_set, s.channel) not in (known or {})}
    looked_at = {s: own(s) for s in sorted(missing) if s >= 0}
    values = measure.measure_each(statistics, crops, before, looked_at, stages.saturation, known)
    for k, chosen in enumerate(statistics):
        if chosen.mask_set >= 0:
            values[~masks.kept[:, chosen.mask_set], k] = np.nan
    return values


def known_tables(
    found: FoundMasks, statistics: Sequence[Statistic]
) -> dict[tuple[int, int], FloatArray]:
    """What was measured of the channels that statistics look at where the masks were made."""
    return {
        (s.mask_set, s.channel): found.measured[s.mask_set][:, s.channel, len(measure.SUMMARY) :]
        for s in statistics
        if s.mask_set in found.measured
    }


def _image_summary(
    stages: Stages,
    batch: ImageBatch,
    raw: ImageBatch,
    found: FoundMasks,
    fields: Fields | None,
) -> dict[str, FloatArray]:
    if 0 in found.measured:
        return measure.named_summary(found.measured[0])
    foreground = found.own(0) if fields is None else (fields.labels.pixels > 0).view(np.uint8)
    return measure.image_summary(batch, raw, foreground, stages.saturation)


def placed(values: FloatArray, rows: Int64Array, count: int) -> FloatArray:
    """Values in their rows of so many; NaN in the others."""
    out = np.full((count, *values.shape[1:]), np.nan)
    out[rows] = values
    return out
