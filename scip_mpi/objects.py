"""Objects, masked and measured by their crops alone: those of one field may go to several ranks.

Knows nothing of ranks, messages or files of the table: crops in, arrays out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scip_mpi import measure
from scip_mpi.batches import (
    FloatArray,
    ImageBatch,
    Int64Array,
    MaskBatch,
    UInt8Array,
    offsets_of,
)
from scip_mpi.chunks import cut
from scip_mpi.measure import Statistic
from scip_mpi.pipeline import Stages
from scip_mpi.segmentation.bits import pack_bits
from scip_mpi.segmentation.border import bounding_boxes, count_regions
from scip_mpi.segmentation.chain import FoundMasks, Objects, find_masks
from scip_mpi.segmentation.combine import combined_masks
from scip_mpi.segmentation.crops import crop_shapes, cut_crops, cut_masks
from scip_mpi.segmentation.fields import Fields
from scip_mpi.segmentation.segmented import OBJECTS, segmented
from scip_mpi.summaries import SUMMARY
from scip_mpi.timers import Timers

# Pixels (all channels) of the objects of a field that are cut out at once: they stay near the core.
PART_PIXELS = 1 << 19


@dataclass(frozen=True)
class Part:
    """Objects and all that it takes to mask and measure them.

    Attributes
    ----------
    objects : Objects
    crops, raw : ImageBatch
        Their pixels, corrected and as they were read.
    companions : mapping of str to ImageBatch
        Their counterparts in the pictures beside their image; of objects of fields also the masks
        that segmentation gave them, as `OBJECTS`.
    """

    objects: Objects
    crops: ImageBatch
    raw: ImageBatch
    companions: Mapping[str, ImageBatch]


@dataclass(frozen=True)
class Found:
    """What is known of objects.

    Attributes
    ----------
    masks : MaskBatch
        All but the background.
    centroid : ndarray of float64, shape (m, 2)
        As in `scip_mpi.pipeline.Segmented`.
    """

    masks: MaskBatch
    centroid: FloatArray


def measure_objects(stages: Stages, part: Part, timers: Timers) -> tuple[Found, FoundMasks]:
    """Mask and measure objects; what is found of each does not hang on the others."""
    with timers.stage("segment"):
        found = find_masks(
            part.crops, stages.sets, stages.prefilters, stages.main_channel, stages.xp,
            part.companions,
        )  # fmt: skip
        masks = found.packed(part.objects)
    with timers.stage("measure"):
        known = known_tables(found, stages.statistics)
        statistics = statistics_of(
            stages, stages.statistics, part.raw, part.crops, masks, found.own, known
        )
        combined = combined_masks(found.own(0), masks.shapes, stages.combined)
        centroid = measure.centroids(part.crops, combined, masks.bbox)
    return Found(replace(masks, statistics=statistics), centroid), found


def part_bounds(fields: Fields, channels: int) -> Int64Array:
    """Bounds of the parts that objects of fields are cut into; of no objects there is one part."""
    box = fields.objects.bbox
    if not len(box):
        return np.zeros(2, np.int64)
    return cut((box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) * channels, PART_PIXELS)


def cut_part(
    stages: Stages,
    batch: ImageBatch,
    raw: ImageBatch,
    fields: Fields,
    companions: Mapping[str, ImageBatch],
    mine: slice,
) -> Part:
    """Some objects of fields, cut out of them."""
    row, objects, bbox = fields.row[mine], fields.objects.take(mine), fields.bbox[mine]
    crops = cut_crops(batch, row, bbox)
    beside = {name: cut_crops(plane, row, bbox) for name, plane in companions.items()}
    if any(s.method is segmented for s in stages.sets):
        own = cut_masks(fields.labels, fields.of_channel, row, bbox, fields.number[mine])
        beside[OBJECTS] = replace(crops, pixels=own)
    # What was read is only looked at for statistics.
    same = stages.correction is None or not stages.statistics
    return Part(
        objects,
        crops,
        crops if same else cut_crops(raw, row, bbox),
        beside,
    )


def measure_labelled(
    stages: Stages, batch: ImageBatch, raw: ImageBatch, fields: Fields, timers: Timers
) -> Found:
    """What is known of objects of fields whose masks are their labels.

    Only the channels of statistics are cut out, and planes of labels that several channels have in
    common are looked at once.
    """
    row, number, objects, bbox = fields.row, fields.number, fields.objects, fields.bbox
    if not len(row):
        none = MaskBatch.empty(1, batch.channels, len(stages.statistics))
        return Found(none, np.empty((0, 2)))
    with timers.stage("segment"):
        used, of_channel = np.unique(fields.of_channel, return_inverse=True)
        own = cut_masks(fields.labels, used, row, bbox, number)
        shapes = crop_shapes(objects.bbox, len(used))
        planes = ImageBatch(own, offsets_of(shapes.prod(axis=1)), shapes, objects.image)
        regions = count_regions(planes, own)[:, np.newaxis, of_channel]
        whole = crop_shapes(objects.bbox, batch.channels)
        bits, offsets = pack_bits([own], whole, of_channel)
        masks = MaskBatch(
            objects.image, objects.label, objects.bbox, whole,
            kept=regions[:, :, stages.main_channel] > 0,
            regions=regions,
            set_bbox=bounding_boxes(planes, own)[:, np.newaxis],
            background=np.full(regions.shape, np.nan),
            statistics=np.empty((len(row), 0)),
            in_field=np.empty((len(row), 0)),
            offsets=offsets,
            bits=bits,
        )  # fmt: skip
    with timers.stage("measure"):
        channels = sorted({s.channel for s in stages.statistics})
        some = np.array(channels, np.int64)
        crops = cut_crops(batch, row, bbox, some)
        statistics = statistics_of(
            replace(stages, saturation=stages.saturation[some]),
            [replace(s, channel=channels.index(s.channel)) for s in stages.statistics],
            crops if raw is batch else cut_crops(raw, row, bbox, some),
            crops,
            masks,
            lambda _: cut_masks(fields.labels, fields.of_channel[some], row, bbox, number),
        )
        combined = combined_masks(
            own, shapes, np.unique(of_channel[list(stages.combined)]).tolist()
        )
        centroid = measure.centroids(planes, combined, objects.bbox)
    return Found(replace(masks, statistics=statistics), centroid)


def statistics_of(
    stages: Stages,
    statistics: Sequence[Statistic],
    raw: ImageBatch,
    crops: ImageBatch,
    masks: MaskBatch,
    own: Callable[[int], UInt8Array],
    known: Mapping[tuple[int, int], FloatArray] | None = None,
) -> FloatArray:
    """Statistics of every object, shape (m, K); NaN where the mask set dropped the object.

    ``own`` gives the masks of a set, in the layout of the crops; ``known`` is what was measured
    already, as of `known_tables`.
    """
    if not statistics:
        return np.empty((len(masks), 0))
    missing = {s.mask_set for s in statistics if (s.mask_set, s.channel) not in (known or {})}
    looked_at = {s: own(s) for s in sorted(missing) if s >= 0}
    values = measure.measure_each(statistics, crops, raw, looked_at, stages.saturation, known)
    for k, chosen in enumerate(statistics):
        if chosen.mask_set >= 0:
            values[~masks.kept[:, chosen.mask_set], k] = np.nan
    return values


def known_tables(
    found: FoundMasks, statistics: Sequence[Statistic]
) -> dict[tuple[int, int], FloatArray]:
    """What was measured of the channels that statistics look at where the masks were made."""
    return {
        (s.mask_set, s.channel): found.measured[s.mask_set][:, s.channel, len(SUMMARY) :]
        for s in statistics
        if s.mask_set in found.measured
    }
