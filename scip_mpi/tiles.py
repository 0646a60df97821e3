"""Large fields in tiles: what is done with a tile, or with all of a field's, before the first pass.

Each step reads what the steps before it have kept (`scip_mpi.tile_store`), does nothing if its own
is there already, and gives the same whoever does it. `tile_alone` is all of them in their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.pipeline import Stages
from scip_mpi.segmentation.tiles import methods, stitch
from scip_mpi.segmentation.tiles.grid import within
from scip_mpi.segmentation.tiles.pieces import (
    Pieces,
    first_keys,
    overlaps,
    pieces_of,
    same_objects,
    seed_keys,
)
from scip_mpi.tile_fields import Field, packed, plan_of, read_box, segmenters_of
from scip_mpi.tile_levels import count_values, find_levels, needs_levels, united_spans, value_ranges
from scip_mpi.tile_store import Tiles, labels_name, levels_name, objects_name, tile_name

# Why a part of a field, or what is in it, is a failure.
NO_ROOM = "not enough memory to segment and measure it: make segment.tiles.size smaller"


def finished(tiles: Tiles, field: Field) -> bool:
    """Whether all is known of a field that the first pass needs."""
    image = field.image
    return tiles.has(objects_name(image)) and all(
        tiles.has(labels_name(image, k)) for k in range(len(field.grid))
    )


def segment_tile(tiles: Tiles, stages: Stages, field: Field, tile: int) -> None:
    """Keep the labels of a tile and its halo, numbered from 1, and what is known of them."""
    name, grid = tile_name(field.image, tile, "own"), field.grid
    if tiles.has(name) or tiles.has(labels_name(field.image, tile)):
        return
    raw, companions, failures = read_box(stages, field.references, grid, grid.around(tile))
    found = tiles.get(levels_name(field.image)) if tiles.has(levels_name(field.image)) else {}
    if failures or "failures" in found:
        tiles.put(name, failures=packed(failures) if failures else found["failures"])
        return
    try:
        kept = _labelled(stages, field, tile, raw, companions, found)
    except MemoryError:
        kept = {"failures": packed([Failure(field.image, "segment", NO_ROOM)])}
    tiles.put(name, **kept)


def _labelled(
    stages: Stages,
    field: Field,
    tile: int,
    raw: ImageBatch,
    companions: Mapping[str, ImageBatch],
    found: Mapping[str, NDArray[Any]],
) -> dict[str, NDArray[Any]]:
    """Labels of a tile and its halo for each method, given the thresholds that were found."""
    grid, plan, batch = field.grid, plan_of(stages), stages.corrected(raw)
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
    return kept


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
    segmenters = [s for _, s in segmenters_of(plan_of(stages))]
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
    image, plan = field.image, plan_of(stages)
    if tiles.has(objects_name(image)):
        return
    count = len(field.grid)
    known = [tiles.get(tile_name(image, k, "own"), _is_no_plane) for k in range(count)]
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
        "size": np.array([field.grid.height, field.grid.width]),
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
    image, grid, plan = field.image, field.grid, plan_of(stages)
    final, own_name = labels_name(image, tile), tile_name(image, tile, "own")
    if not tiles.has(final):
        known = tiles.get(objects_name(image), lambda key: _is_for(key, tile))
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


def _grown(own: Mapping[str, NDArray[Any]], s: int) -> NDArray[np.int32]:
    """The labels of a tile after they have grown, if they have."""
    return own.get(f"grown{s}", own[f"found{s}"])


def _is_no_plane(key: str) -> bool:
    return not key.startswith(("found", "grown"))


def _is_for(key: str, tile: int) -> bool:
    """Whether what is kept of a field is for a tile."""
    return key == "failures" or key.endswith(f"-{tile}")
