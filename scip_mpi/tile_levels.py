"""Thresholds that all of a large field decides: found by its tiles before they are segmented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray
from scip_mpi.loaders.contract import Failure
from scip_mpi.pipeline import Stages
from scip_mpi.segmentation.fields import Segmenter
from scip_mpi.segmentation.tiles import levels, methods
from scip_mpi.segmentation.tiles.grid import within
from scip_mpi.tile_fields import Field, packed, plan_of, read_box, segmenters_of
from scip_mpi.tile_store import Tiles, levels_name, objects_name, tile_name


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
    out = np.zeros((len(segmenters_of(plan_of(stages))), 2))
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
        tiles.put(name, failures=packed(failures))
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
    found = np.full(len(segmenters_of(plan_of(stages))), np.nan)
    for s, (_, segmenter) in enumerate(segmenters_of(plan_of(stages))):
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


def united_spans(spans: Sequence[FloatArray]) -> FloatArray:
    """The range of all of some ranges, (S, 2) each."""
    every = np.array(spans)
    return np.stack([every[:, :, 0].min(axis=0), every[:, :, 1].max(axis=0)], axis=1)


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
        for s, (channel, segmenter) in enumerate(segmenters_of(plan_of(stages)))
        if methods.level_word(segmenter) is not None
    ], []
