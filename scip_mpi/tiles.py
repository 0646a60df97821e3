"""Large fields in tiles: what is done with a tile, or with all of a field's, before the first pass.

Each step reads what the steps before it have kept (`scip_mpi.tile_store`), does nothing if its own
is there already, and gives the same whoever does it. `tile_alone` is all of them in their order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, UInt8Array
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.pipeline import Stages
from scip_mpi.segmentation.fields import FieldPlan, Segmenter
from scip_mpi.segmentation.tiles import levels, methods, stitch
from scip_mpi.segmentation.tiles.grid import Box, Grid, within
from scip_mpi.segmentation.tiles.pieces import (
    Pieces,
    first_keys,
    overlaps,
    pieces_of,
    same_objects,
    seed_keys,
)
from scip_mpi.tile_store import Tiles, labels_name, objects_name, tile_name


@dataclass(frozen=True)
class Field:
    """One large field: its references, and its tiles."""

    references: References
    grid: Grid

    @property
    def image(self) -> int:
        """Its place in the catalog."""
        return int(self.references.index[0])


def segmenters_of(plan: FieldPlan) -> list[tuple[int, Segmenter]]:
    """Channels with labels of their own, the parents' first, and what labels them."""
    return [(plan.parent, plan.segmenter), *plan.children.items()]


def read_box(
    stages: Stages, references: References, grid: Grid, box: Box
) -> tuple[ImageBatch, dict[str, ImageBatch], list[Failure]]:
    """A part of an image as it was read, its companions, and why it could not be, if so."""
    raw, failures = stages.read(references, box)
    companions: dict[str, ImageBatch] = {}
    if stages.beside is not None and len(raw):
        size = (grid.height, grid.width)
        raw, companions, lacking = stages.beside(references, raw, window=box, size=size)
        failures = failures + lacking
    return raw, companions, failures


def finished(tiles: Tiles, field: Field) -> bool:
    """Whether all is known of a field that the first pass needs."""
    image = field.image
    return tiles.has(objects_name(image)) and all(
        tiles.has(labels_name(image, k)) for k in range(len(field.grid))
    )


def needs_levels(tiles: Tiles, stages: Stages, field: Field) -> bool:
    """Whether thresholds of all of a field are to be found first."""
    assert stages.fields is not None
    words = [methods.level_word(s) for _, s in segmenters_of(stages.fields)]
    done = tiles.has(levels_name(field.image)) or tiles.has(objects_name(field.image))
    return any(words) and not done


def value_ranges(stages: Stages, field: Field, tile: int) -> FloatArray:
    """Smallest and largest value of what each method's threshold is of, shape (S, 2).

    Infinite where the tile cannot be read.
    """
    out = np.zeros((len(segmenters_of(_plan(stages))), 2))
    seen, failures = _looked_at(stages, field, tile)
    if failures:
        out[:] = -np.inf, np.inf
    for s, _, plane in seen:
        out[s] = levels.value_range(plane)
    return out


def count_values(tiles: Tiles, stages: Stages, field: Field, tile: int, spans: FloatArray) -> None:
    """Keep the counts of a tile's values, in the ranges of all of the field, shape (S, 2)."""
    name = tile_name(field.image, tile, "counts")
    seen, failures = _looked_at(stages, field, tile)
    if not failures and not np.isfinite(spans).all():
        failures = [Failure(field.image, "read", "a part of it could not be read at first")]
    if failures:
        tiles.put(name, failures=_packed(failures))
        return
    counts = {}
    for s, segmenter, plane in seen:
        low, high = spans[s].tolist()
        bins = methods.bins_of(segmenter, plane.dtype, spans[s])
        word = methods.level_word(segmenter)
        assert word is not None
        counts[f"counts{s}"] = levels.value_counts(plane, low, high, bins, word)
        counts[f"whole{s}"] = np.array(levels.counts_whole(plane.dtype, low, high, bins))
    tiles.put(name, **counts)


def find_levels(tiles: Tiles, stages: Stages, field: Field, spans: FloatArray) -> None:
    """Keep the thresholds of a field, shape (S,), NaN for methods that need none.

    If a tile could not be read, keep why. The counts are dropped.
    """
    names = [tile_name(field.image, k, "counts") for k in range(len(field.grid))]
    first, *others = (tiles.get(name) for name in names)
    failed = [own["failures"] for own in (first, *others) if "failures" in own]
    found = np.full(len(segmenters_of(_plan(stages))), np.nan)
    for s, (_, segmenter) in enumerate(segmenters_of(_plan(stages))):
        word = methods.level_word(segmenter)
        if word is not None and not failed:
            counts = first[f"counts{s}"] + sum(own[f"counts{s}"] for own in others)
            whole = bool(first[f"whole{s}"])
            low, high = spans[s].tolist()
            found[s] = levels.level(word, counts, low, high, whole)
    kept = {"failures": failed[0]} if failed else {"levels": found}
    tiles.put(levels_name(field.image), **kept)
    for name in names:
        tiles.drop(name)


def segment_tile(tiles: Tiles, stages: Stages, field: Field, tile: int) -> None:
    """Keep the labels of a tile and its halo, numbered from 1, and what is known of them."""
    name, grid, plan = tile_name(field.image, tile, "own"), field.grid, _plan(stages)
    if tiles.has(name) or tiles.has(labels_name(field.image, tile)):
        return
    raw, companions, failures = read_box(stages, field.references, grid, grid.around(tile))
    found = tiles.get(levels_name(field.image)) if tiles.has(levels_name(field.image)) else {}
    if failures or "failures" in found:
        tiles.put(name, failures=_packed(failures) if failures else found["failures"])
        return
    batch = stages.corrected(raw)
    kept: dict[str, NDArray[Any]] = {}
    for s, (channel, segmenter) in enumerate(segmenters_of(plan)):
        if methods.level_word(segmenter) is not None:
            segmenter = methods.with_level(segmenter, float(found["levels"][s]))
        labelled = methods.label_tile(segmenter, batch, channel, companions, np)
        count = len(labelled.ids)
        # Parents grow before anything is known of them, but are numbered as they were before.
        plane = plan.grown(labelled.plane, channel) if s == 0 else labelled.plane
        if methods.seams_of(segmenter) == "value":
            key = labelled.ids
        elif labelled.seeds is not None:
            key = seed_keys(labelled.seeds, grid, tile)
        else:
            key = first_keys(labelled.plane, grid, tile, count)
        # Near the halo's end they have not grown as they should: seams are those of what is found.
        kept[f"found{s}"] = labelled.plane
        if plane is not labelled.plane:
            kept[f"grown{s}"] = plane
        pieces = pieces_of(plane, grid, tile, key)
        kept |= {f"{fact}{s}": value for fact, value in vars(pieces).items()}
    tiles.put(name, **kept)


def compare_tile(tiles: Tiles, stages: Stages, field: Field, tile: int) -> None:
    """Keep which labels of a tile are of one object with labels of the tiles after it.

    And how many pixels its children and parents have in common.
    """
    image, grid = field.image, field.grid
    name = tile_name(image, tile, "seams")
    if tiles.has(name) or tiles.has(objects_name(image)):
        return
    own = tiles.get(tile_name(image, tile, "own"))
    kept = {}
    segmenters = [s for _, s in segmenters_of(_plan(stages))]
    if "failures" not in own:
        for s in range(1, len(segmenters)):
            kept[f"shared{s}"] = overlaps(
                _grown(own, s), _grown(own, 0), grid.core(tile), grid.around(tile)
            )
        for other in grid.later_neighbours(tile):
            beside = tiles.get(tile_name(image, other, "own"))
            if "failures" in beside:
                continue
            for s, segmenter in enumerate(segmenters):
                seams = methods.seams_of(segmenter)
                if seams != "value":
                    kept[f"pairs{s}-{other}"] = same_objects(
                        grid, tile, own[f"found{s}"], other, beside[f"found{s}"], seams
                    )
    tiles.put(name, **kept)


def unite(tiles: Tiles, stages: Stages, field: Field) -> None:
    """Keep the objects of a field, and the number of the object that each tile's labels are of.

    If a tile could not be read, keep why.
    """
    image, plan = field.image, _plan(stages)
    if tiles.has(objects_name(image)):
        return
    count = len(field.grid)
    known = [_facts(tiles, tile_name(image, k, "own")) for k in range(count)]
    failed = [own["failures"] for own in known if "failures" in own]
    if failed:
        tiles.put(objects_name(image), failures=failed[0])
        return
    compared = [tiles.get(tile_name(image, k, "seams")) for k in range(count)]
    united = []
    for s, (_, segmenter) in enumerate(segmenters_of(plan)):
        pieces = [
            Pieces(*(own[f"{name}{s}"] for name in ("key", "area", "edge", "bbox")))
            for own in known
        ]
        pairs = [
            (k, int(name.rpartition("-")[2]), labels)
            for k, own in enumerate(compared)
            for name, labels in own.items()
            if name.startswith(f"pairs{s}-")
        ]
        united.append(stitch.stitch(pieces, pairs, methods.seams_of(segmenter)))
    parents = united[0]
    good = stitch.kept(parents, plan.min_size, plan.max_size, plan.drop_border)
    numbers = [np.where(np.append(False, good)[parents.number], parents.number, 0)]
    for s, children in enumerate(united[1:], start=1):
        shared = [own[f"shared{s}"] for own in compared]
        numbers.append(stitch.parents_of(children, parents, good, shared)[children.number])
    objects = np.flatnonzero(good)
    arrays = {
        "number": objects + 1,
        "label": parents.label[objects],
        "bbox": parents.bbox[objects],
        "tile": parents.tile[objects],
    }
    for s, (own_numbers, plane) in enumerate(zip(numbers, united, strict=True)):
        for k in range(count):
            part = own_numbers[plane.starts[k] : plane.starts[k + 1]]
            arrays[f"number{s}-{k}"] = np.concatenate([[0], part]).astype(np.int32)
    tiles.put(objects_name(image), **arrays)


def number_tile(tiles: Tiles, stages: Stages, field: Field, tile: int) -> None:
    """Keep the final labels of a tile's core, as in `Fields`; drop what only led to them."""
    image, grid, plan = field.image, field.grid, _plan(stages)
    final, own_name = labels_name(image, tile), tile_name(image, tile, "own")
    if not tiles.has(final):
        known = tiles.get(objects_name(image))
        if "failures" in known:
            tiles.put(final)
        else:
            own = tiles.get(own_name)
            part = within(grid.core(tile), grid.around(tile))
            parents, *children = (
                known[f"number{s}-{tile}"][_grown(own, s)[part]]
                for s in range(len(segmenters_of(plan)))
            )
            planes = np.repeat(parents[np.newaxis], len(plan.own) + 1, axis=0)
            for channel, plane in zip(plan.children, children, strict=True):
                planes[plan.plane_of(channel)] = plane
            plan.subtracted(planes)
            tiles.put(final, planes=planes)
    for kind in ("own", "seams"):
        tiles.drop(tile_name(image, tile, kind))


def tile_alone(tiles: Tiles, stages: Stages, references: References) -> None:
    """All steps for one image, if it is to be cut into tiles."""
    grid = tiles.grid(references)
    if grid is None:
        return
    field, each = Field(references, grid), range(len(grid))
    if needs_levels(tiles, stages, field):
        spans = united_spans([value_ranges(stages, field, k) for k in each])
        for k in each:
            count_values(tiles, stages, field, k, spans)
        find_levels(tiles, stages, field, spans)
    for k in each:
        segment_tile(tiles, stages, field, k)
    for k in each:
        compare_tile(tiles, stages, field, k)
    unite(tiles, stages, field)
    for k in each:
        number_tile(tiles, stages, field, k)


def united_spans(spans: Sequence[FloatArray]) -> FloatArray:
    """The range of all of some ranges, (S, 2) each."""
    every = np.array(spans)
    return np.stack([every[:, :, 0].min(axis=0), every[:, :, 1].max(axis=0)], axis=1)


def levels_name(image: int) -> str:
    """What the thresholds of a field are kept under."""
    return f"{image}.levels"


def _plan(stages: Stages) -> FieldPlan:
    assert stages.fields is not None
    return stages.fields


def _looked_at(
    stages: Stages, field: Field, tile: int
) -> tuple[list[tuple[int, Segmenter, NDArray[Any]]], list[Failure]]:
    """Of each method that needs a level its place, itself, and what that is of in the core."""
    grid = field.grid
    raw, _, failures = read_box(stages, field.references, grid, grid.around(tile))
    if failures:
        return [], failures
    batch = stages.corrected(raw)
    part = within(grid.core(tile), grid.around(tile))
    return [
        (s, segmenter, methods.looked_at(segmenter, batch.image(0)[channel])[part])
        for s, (channel, segmenter) in enumerate(segmenters_of(_plan(stages)))
        if methods.level_word(segmenter) is not None
    ], []


def _grown(own: Mapping[str, NDArray[Any]], s: int) -> NDArray[np.int32]:
    """The labels of a tile after they have grown, if they have."""
    return own.get(f"grown{s}", own[f"found{s}"])


def _facts(tiles: Tiles, name: str) -> Mapping[str, Int64Array]:
    """What is known of the labels of a tile, but the labels."""
    with np.load(tiles.path(name), allow_pickle=False) as file:
        return {key: file[key] for key in file if key[:5] not in ("found", "grown")}


def _packed(failures: Sequence[Failure]) -> UInt8Array:
    return np.frombuffer(json.dumps([asdict(f) for f in failures]).encode(), np.uint8)
