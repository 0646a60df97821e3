"""Objects of large fields, measured where their tiles are, and their pixels fetched by region.

An object is measured with the tile that most of it lies in, by whichever rank has that tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Int64Array, MaskBatch, offsets_of
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.objects import Found
from scip_mpi.pipeline import Stages, failures_of
from scip_mpi.rows import cut_out
from scip_mpi.segmentation.background import REACH
from scip_mpi.segmentation.chain import Objects
from scip_mpi.segmentation.crops import crop_shapes, cut_crops
from scip_mpi.segmentation.fields import Fields
from scip_mpi.segmentation.tiles.grid import Box, Grid, within
from scip_mpi.summaries import SUMMARY
from scip_mpi.tile_fields import read_box
from scip_mpi.tile_store import Tiles, objects_name


@dataclass(frozen=True)
class TilePart:
    """A tile of a field, and the objects that are measured with it.

    ``number`` is theirs in the tiles' labels.
    """

    references: References
    grid: Grid
    tile: int
    objects: Objects
    number: Int64Array


@dataclass(frozen=True)
class TileFound:
    """What is found of a tile.

    Attributes
    ----------
    found : Found
        The objects.
    sums : ndarray of float64, shape (C, 6)
        As of `tile_sums`.
    failures : list of Failure
        Why it could not be read, if so; then there are no objects.
    """

    found: Found
    sums: FloatArray
    failures: list[Failure]


def tile_parts(tiles: Tiles, references: References) -> list[TilePart] | list[Failure] | None:
    """The tiles of an image; None if it was not cut into tiles, and why if it could not be."""
    image, grid = int(references.index[0]), tiles.grid(references)
    if grid is None:
        return None
    changed = [Failure(image, "read", "the image changed during the run")]
    if not tiles.appears(objects_name(image)):
        return changed
    known = tiles.get(objects_name(image), lambda key: "-" not in key)
    if "failures" in known:
        return failures_of(known["failures"])
    if [grid.height, grid.width] != known["size"].tolist():
        return changed
    parts = []
    for k in range(len(grid)):
        mine = known["tile"] == k
        objects = Objects(np.full(mine.sum(), image), known["label"][mine], known["bbox"][mine])
        parts.append(TilePart(references, grid, k, objects, known["number"][mine]))
    return parts


def regions(part: TilePart) -> Iterator[tuple[Box, BoolArray]]:
    """Boxes of pixels that hold objects with what is round them, and which objects.

    The first one holds the tile, and all objects but those that reach far beyond it.
    """
    grid, bbox = part.grid, part.objects.bbox
    core = grid.core(part.tile)
    near = np.array(grid.grown(core, grid.size // 2))
    inside = (bbox[:, :2] >= near[:2]).all(axis=1) & (bbox[:, 2:] <= near[2:]).all(axis=1)
    box = united(np.concatenate([[grid.grown(core, 1)], bbox[inside]]))
    yield grid.grown(box, REACH), inside.astype(bool)
    for k in np.flatnonzero(~inside).tolist():
        alone = np.zeros(len(bbox), bool)
        alone[k] = True
        yield grid.grown(united(bbox[k : k + 1]), REACH), alone


def united(boxes: Int64Array) -> Box:
    """The smallest box that holds all of some boxes, shape (n, 4)."""
    r0, c0 = boxes[:, :2].min(axis=0).tolist()
    r1, c1 = boxes[:, 2:].max(axis=0).tolist()
    return r0, c0, r1, c1


@dataclass(frozen=True)
class Region:
    """A part of a field, read: pixels, companions, and the objects in it as `Fields`."""

    raw: ImageBatch
    batch: ImageBatch
    companions: dict[str, ImageBatch]
    fields: Fields


def read_region(
    tiles: Tiles, stages: Stages, part: TilePart, box: Box, chosen: BoolArray
) -> Region | list[Failure]:
    """A region with some of a tile's objects; why it could not be read, if so."""
    raw, companions, failures = read_box(stages, part.references, part.grid, box)
    if failures:
        return failures
    assert stages.fields is not None
    labels = tiles.labels(int(raw.index[0]), part.grid, box)
    whole = part.objects
    objects = Objects(whole.image[chosen], whole.label[chosen], whole.bbox[chosen])
    fields = Fields(
        objects,
        np.zeros(len(objects.label), np.int64),
        part.number[chosen],
        ImageBatch.from_images([labels], raw.index),
        np.array([stages.fields.plane_of(c) for c in range(raw.channels)], np.int64),
        (box[0], box[1]),
    )
    return Region(raw, stages.corrected(raw), companions, fields)


def tile_sums(stages: Stages, part: TilePart, region: Region) -> FloatArray:
    """Of each channel what `image_summary` is made of, added up over a tile's core.

    Pixels, those that are saturated, those in no object and the sum of these; then the squares of
    the differences of neighbours whose first one is in the core, and how many these are.
    """
    grid, corner = part.grid, region.fields.corner
    core = grid.core(part.tile)
    rows, columns = within(core, (*corner, grid.height, grid.width))
    # With the next row and column, as far as the field goes.
    below = slice(rows.start, rows.stop + (core[2] < grid.height))
    beside = slice(columns.start, columns.stop + (core[3] < grid.width))
    out = np.empty((region.batch.channels, 6))
    for c in range(region.batch.channels):
        image = region.batch.image(0)[c]
        plane = image[rows, columns].astype(np.float64)
        labels = region.fields.labels.image(0)[region.fields.of_channel[c]][rows, columns]
        outside = labels == 0
        down = np.diff(image[below, columns].astype(np.float64), axis=0)
        over = np.diff(image[rows, beside].astype(np.float64), axis=1)
        raw = region.raw.image(0)[c][rows, columns]
        out[c] = (
            plane.size,
            np.count_nonzero(raw >= stages.saturation[c]),
            np.count_nonzero(outside),
            plane[outside].sum(),
            np.square(down).sum() + np.square(over).sum(),
            down.size + over.size,
        )
    return out


def summary_of(sums: FloatArray) -> dict[str, FloatArray]:
    """`image_summary` of one image from the sums of all its tiles, shape (tiles, C, 6)."""
    # Added up tile by tile: the order is the same whoever has made them.
    pixels, saturated, outside, total, squares, pairs = np.cumsum(sums, axis=0)[-1].T
    with np.errstate(divide="ignore", invalid="ignore"):
        values = (saturated / pixels, total / outside, np.sqrt(squares / pairs))
    return {name: row[np.newaxis] for name, row in zip(SUMMARY, values, strict=True)}


def in_order(found: list[Found]) -> Found:
    """The objects of all tiles of a field by their labels."""
    masks = MaskBatch.joined([f.masks for f in found])
    order = np.argsort(masks.label)
    return Found(masks.take(order), np.concatenate([f.centroid for f in found])[order])


def held_or_read(
    stages: Stages, references: References, masks: MaskBatch, images: ImageBatch | None
) -> ImageBatch:
    """The crops of objects of a chunk, whose images are read if they are not held."""
    if images is None and stages.tiles is not None:
        return crops_of(stages.tiles, stages, references, masks)[0]
    if images is None:
        wanted = np.unique(masks.image) - references.index[0]
        images, _ = stages.read(references.take(wanted))
    return cut_out(images, masks)


def crops_of(
    tiles: Tiles, stages: Stages, references: References, masks: MaskBatch
) -> tuple[ImageBatch, list[Failure]]:
    """The crops of objects as they were read, fetched by region, and why some could not be.

    As of `scip_mpi.rows.cut_out`: ``index`` says which of the objects they are of.
    """
    shapes = crop_shapes(masks.bbox, int(masks.shapes[0, 0]) if len(masks) else 0)
    there = np.zeros(len(masks), bool)
    offsets = offsets_of(shapes.prod(axis=1))
    pixels: NDArray[np.generic] | None = None
    failures: list[Failure] = []
    for image, rows in _groups(tiles, masks):
        if any(f.index == image for f in failures):
            continue
        own = references.take([int(np.searchsorted(references.index, image))])
        box = united(masks.bbox[rows])
        raw, failed = stages.read(own, box)
        failures += failed
        if failed or raw.channels != masks.shapes[rows[0], 0]:
            continue
        bbox = masks.bbox[rows] - np.array([*box[:2], *box[:2]])
        crops = cut_crops(raw, np.zeros(len(rows), np.int64), bbox)
        if pixels is None:
            pixels = np.empty(offsets[-1], raw.pixels.dtype)
        for i, k in enumerate(rows.tolist()):
            part = crops.pixels[crops.offsets[i] : crops.offsets[i + 1]]
            pixels[offsets[k] : offsets[k + 1]] = part
        there[rows] = True
    if pixels is None:
        return cut_out(ImageBatch.from_images([]), masks), failures
    whole = ImageBatch(pixels, offsets, shapes, np.arange(len(masks)))
    if there.all():
        return whole, failures
    kept = np.flatnonzero(there)
    images = [whole.image(k) for k in kept.tolist()]
    return ImageBatch.from_images(images, kept, pixels.dtype), failures


def _groups(tiles: Tiles, masks: MaskBatch) -> Iterator[tuple[int, Int64Array]]:
    """Objects that are read together: of one image, and not far from each other."""
    most = (2 * tiles.size) ** 2
    for image in np.unique(masks.image).tolist():
        rows = np.flatnonzero(masks.image == image)
        r0, c0, r1, c1 = united(masks.bbox[rows])
        if (r1 - r0) * (c1 - c0) <= most:
            yield image, rows
            continue
        # By squares of the size of a tile that their centres are in; large ones by themselves.
        bbox = masks.bbox[rows]
        square = (bbox[:, :2] + bbox[:, 2:]) // (2 * tiles.size)
        large = (bbox[:, 2:] - bbox[:, :2]).max(axis=1) > tiles.size
        _, which = np.unique(square, axis=0, return_inverse=True)
        which = which.reshape(-1)
        which[large] = which.max() + 1 + np.arange(np.count_nonzero(large))
        for group in np.unique(which):
            yield image, rows[which == group]
