"""The first pass over a chunk of images: read, correct, segment, measure.

Knows nothing of ranks, messages or files of the table: references in, arrays out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from scip_mpi import summaries
from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, MaskBatch, UInt8Array, to_buffer
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.objects import Found, Part, cut_part, measure_labelled, measure_objects, part_bounds
from scip_mpi.pipeline import Segmented, Stages
from scip_mpi.segmentation import background
from scip_mpi.segmentation.chain import FoundMasks, whole_images
from scip_mpi.segmentation.combine import combined_masks
from scip_mpi.segmentation.fields import Fields, parent_planes, segment_fields
from scip_mpi.tile_objects import (
    TileFound,
    TilePart,
    in_order,
    read_region,
    regions,
    summary_of,
    tile_parts,
    tile_sums,
)
from scip_mpi.tiles import NO_ROOM
from scip_mpi.timers import Timers

# Share(n, part) -> what is found of parts 0 to n, in order: some of them perhaps by other ranks.
Share = Callable[[int, Callable[[int], Any]], list[Any]]


def segment(
    stages: Stages, references: References, timers: Timers, share: Share | None = None
) -> tuple[Segmented, ImageBatch | None]:
    """First pass over a chunk: masks and measurements, and the pixels as they were read.

    Of a field in tiles, which is a chunk by itself, there are no pixels.

    Parameters
    ----------
    stages : Stages
    references : References
        The chunk.
    timers : Timers
    share : callable, optional
        Has other ranks mask and measure some of the objects of fields, if they have nothing to do.
    """
    if stages.tiles is not None:
        parts = tile_parts(stages.tiles, references)
        if parts is not None:
            return _in_tiles(stages, references, parts, timers, share), None
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
    if fields is None:
        part = Part(whole_images(batch), batch, raw, companions)
        found, made = measure_objects(stages, part, timers)
    else:
        if stages.export is not None:
            with timers.stage("export"):
                stages.export(references, fields)
        found = _in_fields(stages, batch, raw, fields, companions, timers, share)
    with timers.stage("measure"):
        lo, hi = int(references.index[0]), int(references.index[-1]) + 1
        masks = found.masks
        objects = np.full(hi - lo, -1, np.int64)
        objects[batch.index - lo] = 0
        np.add.at(objects, masks.image - lo, 1)
        if fields is None:
            level = _of_images(stages, batch, masks, made.own)
            rows = _summary(stages, batch, raw, made)
        else:
            level = _of_fields(stages, batch, masks, fields)
            masks = replace(masks, in_field=_known_in_fields(stages, fields))
            rows = summaries.image_summary(
                batch, raw, fields.labels, fields.of_channel, stages.saturation
            )
        masks = replace(masks, background=level)
        record = _record(
            references, batch.index - lo, objects, rows, Found(masks, found.centroid), failures
        )
    return record, raw


def _record(
    references: References,
    places: Int64Array,
    objects: Int64Array,
    rows: Mapping[str, FloatArray],
    found: Found,
    failures: Sequence[Failure],
) -> Segmented:
    """All that is known of a chunk; of what was measured of images, the rows have ``places``."""
    lo, hi = int(references.index[0]), int(references.index[-1]) + 1
    files = [file for own in references.alone().sources for file in own]
    return Segmented(
        span=np.array([lo, hi], np.int64),
        sources=np.frombuffer("\0".join(files).encode("utf-8", "surrogateescape"), np.uint8),
        within=references.within,
        group=references.group,
        found=objects,
        **{name: _placed(values, places, hi - lo) for name, values in rows.items()},
        centroid=found.centroid,
        failures=np.frombuffer(json.dumps([asdict(f) for f in failures]).encode(), np.uint8),
        masks=to_buffer(found.masks),
    )


def _in_tiles(
    stages: Stages,
    references: References,
    parts: Sequence[TilePart | Failure],
    timers: Timers,
    share: Share | None,
) -> Segmented:
    """The record of a field, of which other ranks measure some tiles if they are free."""
    cut = [part for part in parts if isinstance(part, TilePart)]
    failures = [part for part in parts if isinstance(part, Failure)]
    if share is not None and len(cut) > 1:
        measured = share(len(cut), lambda k: cut[k])
    else:
        measured = [measure_tile(stages, part, timers) for part in cut]
    # What is wrong with one tile is the field's fault: it is said once.
    failures += [failure for own in measured for failure in own.failures][:1]
    if failures:
        rows = {name: np.empty((0, len(stages.saturation))) for name in summaries.SUMMARY}
        none = _nothing_found(stages, failures).found
        return _record(references, np.zeros(0, np.int64), np.full(1, -1), rows, none, failures)
    found = in_order([own.found for own in measured])
    rows = summary_of(np.array([own.sums for own in measured]))
    count = np.array([len(found.masks)], np.int64)
    return _record(references, np.zeros(1, np.int64), count, rows, found, [])


def measure_tile(stages: Stages, part: TilePart, timers: Timers) -> TileFound:
    """What is found of a tile, whose objects' pixels are fetched by region."""
    try:
        return _measured(stages, part, timers)
    except MemoryError:
        failure = Failure(int(part.references.index[0]), "segment", NO_ROOM)
        return _nothing_found(stages, [failure])


def _measured(stages: Stages, part: TilePart, timers: Timers) -> TileFound:
    assert stages.tiles is not None
    found, sums = [], np.zeros((0, 6))
    for box, chosen in regions(part):
        with timers.stage("read"):
            region = read_region(stages.tiles, stages, part, box, chosen)
        if isinstance(region, list):
            return _nothing_found(stages, region)
        own = _in_fields(
            stages, region.batch, region.raw, region.fields, region.companions, timers, None
        )
        with timers.stage("measure"):
            level = _of_fields(stages, region.batch, own.masks, region.fields)
            found.append(replace(own, masks=replace(own.masks, background=level)))
            # The first region is the one that holds all of the tile.
            sums = sums if len(sums) else tile_sums(stages, part, region)
    masks = MaskBatch.joined([f.masks for f in found])
    return TileFound(Found(masks, np.concatenate([f.centroid for f in found])), sums, [])


def _nothing_found(stages: Stages, failures: list[Failure]) -> TileFound:
    channels = len(stages.saturation)
    masks = MaskBatch.empty(max(len(stages.sets), 1), channels, len(stages.statistics))
    return TileFound(Found(masks, np.empty((0, 2))), np.zeros((channels, 6)), failures)


def _in_fields(
    stages: Stages,
    batch: ImageBatch,
    raw: ImageBatch,
    fields: Fields,
    companions: Mapping[str, ImageBatch],
    timers: Timers,
    share: Share | None,
) -> Found:
    """The objects of fields, masked and measured: where there are mask methods, part by part."""
    if not stages.sets:
        return measure_labelled(stages, batch, raw, fields, timers)
    bounds = part_bounds(fields, batch.channels)

    def part(k: int) -> Part:
        with timers.stage("segment"):
            mine = slice(bounds[k], bounds[k + 1])
            return cut_part(stages, batch, raw, fields, companions, mine)

    count = len(bounds) - 1
    if share is not None and count > 1:
        found = share(count, part)
    else:
        found = [measure_objects(stages, part(k), timers)[0] for k in range(count)]
    return Found(
        MaskBatch.joined([f.masks for f in found]), np.concatenate([f.centroid for f in found])
    )


def measure_part(stages: Stages, part: Part | TilePart, timers: Timers) -> Found | TileFound:
    """What is found of a part of the objects of fields, or of a tile."""
    if isinstance(part, TilePart):
        return measure_tile(stages, part, timers)
    found, _ = measure_objects(stages, part, timers)
    return found


def _of_fields(stages: Stages, batch: ImageBatch, masks: MaskBatch, fields: Fields) -> FloatArray:
    """The background of objects of fields, equal in all mask sets; see `_levels`.

    A ring lies round the object, and the median is of all pixels in no object.
    """
    if not len(masks):
        return masks.background
    assert stages.fields is not None
    planes = parent_planes(fields, stages.fields.parent)
    levels = _levels(stages, batch, planes, fields.row, fields.bbox, fields.number)
    return np.repeat(levels[:, np.newaxis], masks.sets, axis=1)


def _known_in_fields(stages: Stages, fields: Fields) -> FloatArray:
    """What families know of each object among the others of its field."""
    wanted = stages.in_field
    found = np.empty((len(fields.row), sum(known.columns for known in wanted)))
    bounds = np.searchsorted(fields.row, np.arange(len(fields.labels) + 1))
    for i, image in enumerate(fields.labels if wanted else ()):
        mine = slice(bounds[i], bounds[i + 1])
        # The parents' labels come first.
        parts = [k(image[0], fields.number[mine], fields.objects.bbox[mine]) for k in wanted]
        found[mine] = np.concatenate(parts, axis=1)
    return found


def _summary(
    stages: Stages, batch: ImageBatch, raw: ImageBatch, made: FoundMasks
) -> dict[str, FloatArray]:
    """Summary of images that are one object each, perhaps from where their masks were made."""
    if 0 in made.measured:
        return summaries.named_summary(made.measured[0])
    covered, of_channel = replace(batch, pixels=made.own(0)), np.arange(batch.channels)
    return summaries.image_summary(batch, raw, covered, of_channel, stages.saturation)


def _of_images(
    stages: Stages, batch: ImageBatch, masks: MaskBatch, own: Callable[[int], UInt8Array]
) -> FloatArray:
    """The background of images that are one object each; see `_levels`.

    Ring and median are of the pixels outside a mask set's combined mask.
    """
    if not len(masks):
        return masks.background
    rows, ones = np.arange(len(masks)), np.ones(len(masks), np.int64)
    shapes = masks.shapes.copy()
    shapes[:, 0] = 1
    out = np.empty(masks.background.shape)
    for s in range(masks.sets):
        combined = combined_masks(own(s), masks.shapes, stages.combined)
        planes = ImageBatch(combined, batch.planes, shapes, batch.index)
        out[:, s] = _levels(stages, batch, planes, rows, masks.bbox, ones)
    return out


def _levels(
    stages: Stages,
    batch: ImageBatch,
    planes: ImageBatch,
    row: Int64Array,
    bbox: Int64Array,
    number: Int64Array,
) -> FloatArray:
    """What ``bgcorr_`` features subtract, shape (m, C); NaN for the mean outside the mask.

    ``planes`` are labels, ``row``, ``bbox`` and ``number`` of the objects as in
    `scip_mpi.segmentation.background.ring`.
    """
    out = np.full((len(row), batch.channels), np.nan)
    if "ring" in stages.backgrounds:
        around = background.ring(batch, planes, row, bbox, number)
    if "field_median" in stages.backgrounds:
        median = background.field_median(batch, planes)[row]
    for c, chosen in enumerate(stages.backgrounds):
        if chosen == "ring":
            out[:, c] = around[:, c]
        elif chosen == "field_median":
            out[:, c] = median[:, c]
        elif chosen != "outside":
            out[:, c] = chosen
    return out


def _placed(values: FloatArray, places: Int64Array, count: int) -> FloatArray:
    out = np.full((count, values.shape[1]), np.nan)
    out[places] = values
    return out
