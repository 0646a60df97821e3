"""The stages of a chunk, as a rank runs them: read, segment, measure; later read and compute.

Knows nothing of ranks, messages or files of the table: references in, arrays out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi import measure
from scip_mpi.batches import (
    BoolArray,
    FloatArray,
    ImageBatch,
    Int64Array,
    MaskBatch,
    Scratch,
    UInt8Array,
    from_buffer,
    offsets_of,
    to_buffer,
)
from scip_mpi.chunks import cut
from scip_mpi.columns import ColumnPlan
from scip_mpi.features.family import Family
from scip_mpi.features.shared import prepare
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.segmentation.chain import MaskSet, PreFilter, mask_sets, whole_images
from scip_mpi.segmentation.combine import set_masks
from scip_mpi.timers import Timers

# Pixels (all channels) whose features are computed in one call: some 4 MB stay near the caches.
ITEM_PIXELS = 1 << 20

Read = Callable[[References], tuple[ImageBatch, list[Failure]]]


@dataclass(frozen=True)
class Statistic:
    """What the dataset-wide filter measures of each object.

    ``mask_set`` -1 is the whole image, or the object's whole crop.
    """

    name: str
    channel: int
    mask_set: int


@dataclass(frozen=True)
class Stages:
    """Everything a rank needs to turn references into measurements and features."""

    read: Read
    sets: Sequence[MaskSet]
    prefilters: Sequence[PreFilter]
    main_channel: int
    combined: Sequence[int]
    statistic: Statistic | None
    saturation: FloatArray
    columns: ColumnPlan
    families: Mapping[str, Family]
    xp: Any


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
    statistic : ndarray of float64, shape (m,)
        The filter's statistic per object.
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
    statistic: FloatArray
    centroid: FloatArray
    failures: UInt8Array
    masks: UInt8Array

    def references(self) -> References:
        """The part of the catalog that this chunk is."""
        files = bytes(self.sources).decode("utf-8", "surrogateescape").split("\0")
        each = len(files) // len(self.within)
        sources = [tuple(files[i : i + each]) for i in range(0, len(files), each)]
        return References(sources, self.within, np.arange(*self.span, dtype=np.int64), self.group)

    def failed(self) -> list[Failure]:
        """The images of this chunk that could not be processed."""
        return [Failure(**f) for f in json.loads(bytes(self.failures))]

    def objects(self) -> MaskBatch:
        """The table of objects and their masks."""
        return from_buffer(MaskBatch, self.masks)


def segment(stages: Stages, references: References, timers: Timers) -> tuple[Segmented, ImageBatch]:
    """First pass over a chunk: masks and measurements, and the pixels they were made from."""
    with timers.stage("read"):
        batch, failures = stages.read(references)
    with timers.stage("segment"):
        objects = whole_images(batch)
        masks = mask_sets(
            batch, objects, stages.sets, stages.prefilters, stages.main_channel, stages.xp
        )
    with timers.stage("measure"):
        lo, hi = int(references.index[0]), int(references.index[-1]) + 1
        found = np.full(hi - lo, -1, np.int64)
        found[batch.index - lo] = 0
        np.add.at(found, masks.image - lo, 1)
        first = set_masks(masks, 0, list(stages.combined))
        per_image = _image_summary(stages, batch, first.own, lo, hi)
        statistic = measure_statistic(stages, batch, masks)
        centroid = centroids(batch, first.combined, masks.bbox)
    files = [file for own in references.alone().sources for file in own]
    record = Segmented(
        span=np.array([lo, hi], np.int64),
        sources=np.frombuffer("\0".join(files).encode("utf-8", "surrogateescape"), np.uint8),
        within=references.within,
        group=references.group,
        found=found,
        **per_image,
        statistic=statistic,
        centroid=centroid,
        failures=np.frombuffer(json.dumps([asdict(f) for f in failures]).encode(), np.uint8),
        masks=to_buffer(masks),
    )
    return record, batch


def measure_statistic(stages: Stages, batch: ImageBatch, masks: MaskBatch) -> FloatArray:
    """The filter's statistic of every object; NaN where its mask set dropped the object."""
    chosen = stages.statistic
    if chosen is None:
        return np.full(len(masks), np.nan)
    if chosen.mask_set < 0:
        return measure.measure(chosen.name, batch, None, chosen.channel)
    own = set_masks(masks, chosen.mask_set, list(stages.combined)).own
    values = measure.measure(chosen.name, batch, own, chosen.channel)
    return np.where(masks.kept[:, chosen.mask_set], values, np.nan)


def _image_summary(
    stages: Stages, batch: ImageBatch, own: UInt8Array, lo: int, hi: int
) -> dict[str, FloatArray]:
    channels = len(stages.saturation)
    summary = measure.image_summary(batch, stages.saturation)
    outside = np.subtract(1, own, dtype=np.uint8)
    background = np.empty((len(batch), channels))
    for c in range(channels):
        background[:, c] = measure.measure("mean", batch, outside, c)
    rows = {"saturated": summary["saturated"], "background": background, "focus": summary["focus"]}
    placed = {}
    for name, values in rows.items():
        placed[name] = np.full((hi - lo, channels), np.nan)
        placed[name][batch.index - lo] = values
    return placed


def centroids(batch: ImageBatch, combined: UInt8Array, bbox: Int64Array) -> FloatArray:
    """Centroids (x, y) in the image of planes of masks; the crop's centre where one is empty."""
    out = np.empty((len(batch), 2))
    for i, (_, h, w) in enumerate(batch.shapes):
        plane = combined[batch.planes[i] : batch.planes[i + 1]].reshape(h, w)
        count = int(plane.sum(dtype=np.int64))
        if count:
            rows = plane.sum(axis=1, dtype=np.int64)
            columns = plane.sum(axis=0, dtype=np.int64)
            y = int(rows @ np.arange(h)) / count
            x = int(columns @ np.arange(w)) / count
        else:
            y, x = (h - 1) / 2, (w - 1) / 2
        out[i] = bbox[i, 1] + x, bbox[i, 0] + y
    return out


@dataclass(frozen=True)
class Rows:
    """Rows of the table: features, and the numeric columns of obs that come with them."""

    X: FloatArray
    failed: BoolArray
    failures: list[Failure]


def crops(stages: Stages, references: References, masks: MaskBatch) -> tuple[ImageBatch, Any]:
    """Read the images of a chunk's objects again and cut the objects out.

    Returns
    -------
    ImageBatch
        The crops of the objects whose image could be read, ``index`` their place in ``masks``.
    list of Failure
        The images that could not.
    """
    wanted = np.unique(masks.image)
    batch, failures = stages.read(references.take(wanted - references.index[0]))
    return cut_out(batch, masks), failures


def cut_out(batch: ImageBatch, masks: MaskBatch) -> ImageBatch:
    """The crops of objects from the images that hold them, in the objects' order."""
    place = {int(i): k for k, i in enumerate(batch.index)}
    rows = [r for r, i in enumerate(masks.image) if int(i) in place]
    if len(rows) == len(batch) == len(masks) and np.array_equal(batch.shapes, masks.shapes):
        return ImageBatch(batch.pixels, batch.offsets, batch.shapes, np.arange(len(rows)))
    pieces = []
    fitting = []
    for r in rows:
        r0, c0, r1, c1 = masks.bbox[r]
        crop = batch.image(place[int(masks.image[r])])[:, r0:r1, c0:c1]
        if crop.shape == tuple(masks.shapes[r]):
            pieces.append(crop)
            fitting.append(r)
    return ImageBatch.from_images(pieces, fitting, batch.pixels.dtype)


def compute(
    stages: Stages,
    references: References,
    masks: MaskBatch,
    pixels: ImageBatch | None,
    timers: Timers,
    scratch: Scratch,
) -> Rows:
    """Second pass over objects of a chunk: every column of X, a row per object.

    An object whose image can no longer be read as it was keeps its row, all NaN, marked failed.
    """
    failures: list[Failure] = []
    with timers.stage("read"):
        if pixels is not None:
            batch = cut_out(pixels, masks)
        else:
            batch, failures = crops(stages, references, masks)
    X = np.full((len(masks), len(stages.columns)), np.nan)
    failed = np.ones(len(masks), bool)
    failed[batch.index] = False
    noted = {f.index for f in failures}
    for image in np.unique(masks.image[failed]):
        if int(image) not in noted:
            failures.append(Failure(int(image), "features", "the image changed during the run"))
    with timers.stage("features"):
        bounds = cut(batch.shapes.prod(axis=1), ITEM_PIXELS)
        for lo, hi in pairwise(bounds):
            part = _slice(batch, int(lo), int(hi))
            X[part.index] = features_of(stages, part, masks.take(part.index), scratch)
    return Rows(X, failed, failures)


def features_of(
    stages: Stages, batch: ImageBatch, masks: MaskBatch, scratch: Scratch
) -> FloatArray:
    """All columns for a batch of crops and their masks."""
    plan = stages.columns
    out = np.full((len(batch), len(plan)), np.nan)
    needs = frozenset().union(*(f.needs for f in stages.families.values()))
    shared = prepare(needs, batch)
    used = {b.mask_set for b in plan.blocks}
    by_set = {s: set_masks(masks, max(s, 0), list(stages.combined)) for s in sorted(used)}
    for block in plan.blocks:
        columns = np.full((len(batch), block.stop - block.start), np.nan)
        stages.families[block.family].compute(
            batch, by_set[block.mask_set], shared, columns, scratch
        )
        out[:, block.start : block.stop] = columns
    return out


def _slice(batch: ImageBatch, lo: int, hi: int) -> ImageBatch:
    start, stop = batch.offsets[lo], batch.offsets[hi]
    return ImageBatch(
        batch.pixels[start:stop],
        offsets_of(np.diff(batch.offsets[lo : hi + 1])),
        batch.shapes[lo:hi],
        batch.index[lo:hi],
    )
