"""The pass before the first one, where fields larger than a tile are segmented in tiles.

All ranks take tiles as they get free. What a step finds stands in files beside the table, where the
next step, or the next start of the run, finds it, whoever has done it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from scip_mpi import tile_levels
from scip_mpi import tiles as steps
from scip_mpi.batches import FloatArray, Int64Array, offsets_of
from scip_mpi.job import EndedEarly, Job
from scip_mpi.loaders.contract import References
from scip_mpi.loaders.dispatch import Dispatch, received
from scip_mpi.parallel.deal import Step, deal
from scip_mpi.pipeline import Stages
from scip_mpi.segmentation.tiles.grid import Grid
from scip_mpi.stages import field_plan
from scip_mpi.tile_fields import Field

# What is dealt out: the message of the references, the field's height and width, and the tile.
Piece = tuple[bytes, tuple[int, int], int]
Work = Callable[[Field, int], None]


def cut_into_tiles(job: Job) -> None:
    """Segment the fields that are larger than a tile, if that is wanted. Collective.

    Raises
    ------
    EndedEarly
        A signal came.
    """
    tiles = job.stages.tiles
    if tiles is None:
        return
    # Tiles are segmented on CPUs.
    stages = replace(job.stages, fields=field_plan(job.plan))
    with job.timers.stage("tiles"):
        sizes = find_sizes(job)
        left = None if job.catalog is None else left_to_do(job, stages, sizes)
        todo, unknown = job.world.bcast(left)
        if not len(todo):
            return
        spans: dict[int, FloatArray] = {}

        def look(field: Field, tile: int) -> None:
            own = tile_levels.value_ranges(stages, field, tile)
            spans[field.image] = tile_levels.united_spans([own, spans.get(field.image, own)])

        def count(field: Field, tile: int) -> None:
            tile_levels.count_values(tiles, stages, field, tile, spans[field.image])

        def decide(field: Field, _: int) -> None:
            tile_levels.find_levels(tiles, stages, field, spans[field.image])

        def unite(field: Field, _: int) -> None:
            steps.unite(tiles, stages, field)

        if len(unknown):
            in_round(job, sizes, unknown, "tiles: range", look)
            spans = united(job, spans)
            in_round(job, sizes, unknown, "tiles: counts", count)
            in_round(job, sizes, unknown, "tiles: thresholds", decide, whole=True)
        for title, step in (
            ("tiles: segment", steps.segment_tile),
            ("tiles: compare", steps.compare_tile),
        ):
            in_round(job, sizes, todo, title, partial(step, tiles, stages))
        in_round(job, sizes, todo, "tiles: unite", unite, whole=True)
        in_round(job, sizes, todo, "tiles: number", partial(steps.number_tile, tiles, stages))


def find_sizes(job: Job) -> Int64Array:
    """Height and width of every image that is to be cut into tiles, 0 for others. Collective."""
    tiles, dispatch = job.stages.tiles, _dispatch(job)
    assert tiles is not None
    sizes = np.zeros((job.plan.images, 2), np.int64)

    def message(piece: int) -> bytes:
        assert dispatch is not None
        lo, hi = bounds[piece], bounds[piece + 1]
        return dispatch.message(lo, hi)

    def work(body: bytes, step: Step) -> None:
        job.beat()
        if job.stop:
            return
        references = received(np.frombuffer(body, np.uint8))
        for k in range(len(references)):
            grid = tiles.grid(references.take([k]))
            if grid is not None:
                sizes[references.index[k]] = grid.height, grid.width
        step(len(references), 0)

    count = min(job.plan.images, 16 * job.world.size)
    bounds = [job.plan.images * k // count for k in range(count + 1)]
    _dealt(job, "tiles: sizes", job.plan.images, "images", count, message, work)
    return job.world.allreduce(sizes)


def left_to_do(job: Job, stages: Stages, sizes: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Images of which not all is known, and those whose thresholds are to be found; on rank 0."""
    tiles, catalog = job.stages.tiles, job.catalog
    assert tiles is not None
    assert catalog is not None
    todo, unknown = [], []
    for image in np.flatnonzero(sizes[:, 0]).tolist():
        field = field_of(job, catalog.references(image, image + 1), tuple(sizes[image].tolist()))
        if not steps.finished(tiles, field):
            todo.append(image)
            if tile_levels.needs_levels(tiles, stages, field):
                unknown.append(image)
    return np.array(todo, np.int64), np.array(unknown, np.int64)


def field_of(job: Job, references: References, size: tuple[int, int]) -> Field:
    """A field of known size."""
    tiles = job.stages.tiles
    assert tiles is not None
    return Field(references, Grid(*size, tiles.size, tiles.halo))


def in_round(
    job: Job, sizes: Int64Array, images: Int64Array, title: str, work: Work, whole: bool = False
) -> None:
    """Have something done with every tile of some images, or with every image. Collective."""
    tiles, dispatch = job.stages.tiles, _dispatch(job)
    assert tiles is not None
    grids = [Grid(h, w, tiles.size, tiles.halo) for h, w in sizes[images].tolist()]
    starts = offsets_of(np.array([1 if whole else len(grid) for grid in grids])).tolist()

    def describe(piece: int) -> Piece:
        assert dispatch is not None
        k = bisect_right(starts, piece) - 1
        image = int(images[k])
        return dispatch.message(image, image + 1), tuple(sizes[image].tolist()), piece - starts[k]

    def do(body: Piece, step: Step) -> None:
        job.beat()
        # After a signal what is dealt out still is passed over.
        if job.stop:
            return
        message, size, tile = body
        references = received(np.frombuffer(message, np.uint8))
        image = int(references.index[0])
        with job.recorder.at(image, image + 1):
            work(field_of(job, references, size), tile)
        step(1, 0)

    _dealt(job, title, starts[-1], "fields" if whole else "tiles", starts[-1], describe, do)


def united(job: Job, spans: dict[int, FloatArray]) -> dict[int, FloatArray]:
    """The ranges that all ranks have seen, by image. Collective."""
    told = job.world.gather(spans)
    every: dict[int, list[FloatArray]] = {}
    for own in told or ():
        for image, span in own.items():
            every.setdefault(image, []).append(span)
    found = {image: tile_levels.united_spans(own) for image, own in every.items()}
    result: dict[int, FloatArray] = job.world.bcast(found)
    return result


def _dealt(
    job: Job,
    title: str,
    total: int,
    unit: str,
    pieces: int,
    describe: Callable[[int], Any],
    work: Callable[[Any, Step], None],
) -> None:
    job.progress.start(title, total, unit)
    deal(job.world, pieces, describe, work, job.progress.advance)
    job.progress.finish()
    signals: Sequence[int | None] = job.world.bcast(
        job.world.gather(job.stop.signal if job.stop else None)
    )
    for signal in signals:
        if signal is not None:
            raise EndedEarly(f"signal {signal}")


def _dispatch(job: Job) -> Dispatch | None:
    return None if job.catalog is None else Dispatch(job.catalog)
