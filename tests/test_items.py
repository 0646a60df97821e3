"""Runs of rows: how they are cut, and that handing one over changes nothing about it."""

from __future__ import annotations

import os
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi.batches import ImageBatch, MaskBatch, offsets_of, to_buffer
from scip_mpi.holdings import ChunkRecord, Holdings, Survivors
from scip_mpi.items import LEAST_PIXELS, Bench, OwnRows, Work, own_runs, unpack
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.memory import MemoryAccount
from scip_mpi.parallel.workers import Run
from scip_mpi.rows import ITEM_PIXELS
from scip_mpi.store import MaskStore

SHAPE = (2, 40, 50)


class Disk:
    """Images that can be read, and a list of which were; ``torn`` ones are failures."""

    def __init__(self, torn: tuple[int, ...] = ()) -> None:
        self.torn = torn
        self.reads: list[list[int]] = []

    def image(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 60_000, SHAPE).astype(np.uint16)

    def batch(self, indices: list[int]) -> ImageBatch:
        return ImageBatch.from_images([self.image(i) for i in indices], indices, np.uint16)

    def read(self, references: References) -> tuple[ImageBatch, list[Failure]]:
        wanted = references.index.tolist()
        self.reads.append(wanted)
        failures = [Failure(i, "read", "torn") for i in wanted if i in self.torn]
        return self.batch([i for i in wanted if i not in self.torn]), failures


def references(lo: int, hi: int) -> References:
    """Two files an image, with names of all kinds, and a companion that some do not have."""
    sources = [(f"/a b/é{i}\udcff.tif", f"{i}", "" if i % 2 else f"{i}.lbl") for i in range(lo, hi)]
    index = np.arange(lo, hi, dtype=np.int64)
    return References(sources, index + 100, index, (index % 3).astype(np.int32), companions=1)


def objects(lo: int, per_image: list[int]) -> MaskBatch:
    """Objects at random places of images ``lo`` onward, with random bits."""
    rng = np.random.default_rng(lo)
    image = lo + np.repeat(np.arange(len(per_image)), per_image)
    m = len(image)
    corner = np.column_stack([rng.integers(0, 20, m), rng.integers(0, 30, m)])
    size = rng.integers(1, 20, (m, 2))
    shapes = np.column_stack([np.full(m, SHAPE[0]), size]).astype(np.int64)
    bits = 2 * SHAPE[0] * -(-shapes[:, 1] * shapes[:, 2] // 8)
    return MaskBatch(
        image=image.astype(np.int64),
        label=np.concatenate([np.arange(1, n + 1) for n in per_image]).astype(np.int64),
        bbox=np.column_stack([corner, corner + size]).astype(np.int64),
        shapes=shapes,
        kept=rng.random((m, 2)) < 0.8,
        regions=rng.integers(0, 9, (m, 2, SHAPE[0])),
        set_bbox=rng.integers(0, 20, (m, 2, 4)),
        background=rng.random((m, 2, SHAPE[0])),
        statistics=rng.random((m, 1)),
        in_field=rng.random((m, 2)),
        offsets=offsets_of(bits),
        bits=rng.integers(0, 256, int(bits.sum())).astype(np.uint8),
    )


def hold(disk: Disk, chunks: dict[int, list[int]], limit: int, pixels: bool = True) -> Holdings:
    """Chunks by their first image: how many objects each of their images has."""
    holdings = Holdings(MaskStore(MemoryAccount(limit)))
    for lo, per_image in chunks.items():
        hi, masks = lo + len(per_image), objects(lo, per_image)
        batch = disk.batch(list(range(lo, hi))) if pixels else None
        holdings.store.put(lo, to_buffer(masks), np.empty(0, np.uint8), batch)
        holdings.records[lo] = record(references(lo, hi), masks)
    return holdings


def record(refs: References, masks: MaskBatch) -> ChunkRecord:
    files = "\0".join(file for own in refs.alone().sources for file in own)
    return ChunkRecord(
        span=np.array([refs.index[0], refs.index[-1] + 1]),
        sources=np.frombuffer(os.fsencode(files), np.uint8),
        within=refs.within,
        group=refs.group,
        readable=len(refs),
        image=masks.image,
        label=masks.label,
        pixels=masks.shapes.prod(axis=1),
        statistics=masks.statistics,
    )


def surviving(rows: dict[int, np.ndarray], first: int = 0) -> Survivors:
    """Survivors of chunks held, numbered from ``first`` on."""
    bounds = first + offsets_of(np.array([r.sum() for r in rows.values()]))
    start = {lo: int(b) for lo, b in zip(rows, bounds[:-1], strict=True)}
    return Survivors(rows, rows, start, bounds, bounds, 0, {}, None)


def bench(disk: Disk, holdings: Holdings, runs: list[Run]) -> Bench:
    return Bench(SimpleNamespace(read=disk.read, tiles=None), holdings, runs)


def runs_of(lo: int, total: int, each: int, start: int = 0) -> list[Run]:
    """All objects of a chunk, cut into runs of so many."""
    return [
        Run(start, start + a, min(each, total - a), OwnRows(lo, np.arange(a, min(a + each, total))))
        for a in range(0, total, each)
    ]


def check_work(disk: Disk, work: Work, lo: int, per_image: list[int], chosen: np.ndarray) -> None:
    """A run's work holds the objects chosen and their pixels, cut out by hand."""
    masks = objects(lo, per_image).take(chosen)
    for f in fields(MaskBatch):
        assert np.array_equal(getattr(work.masks, f.name), getattr(masks, f.name)), f.name
    assert work.crops.index.tolist() == list(range(len(chosen)))
    for crop, image, (r0, c0, r1, c1) in zip(work.crops, masks.image, masks.bbox, strict=True):
        assert np.array_equal(crop, disk.image(int(image))[:, r0:r1, c0:c1])
    assert work.crops.pixels.dtype == np.uint16
    place = np.searchsorted(work.references.index, masks.image)
    assert np.array_equal(work.references.index[place], masks.image)
    assert np.array_equal(work.references.group[place], masks.image % 3)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(1, 3 * LEAST_PIXELS), st.booleans()), max_size=40),
        max_size=4,
    ),
    st.integers(0, 1000),
)
def test_runs_hold_every_survivor_once_and_in_order(
    chunks: list[list[tuple[int, bool]]], first: int
) -> None:
    holdings = Holdings(MaskStore(MemoryAccount(0)))
    rows = {}
    for k, chunk in enumerate(chunks):
        pixels = np.array([p for p, _ in chunk], np.int64)
        holdings.records[10 * k] = SimpleNamespace(pixels=pixels)  # type: ignore[assignment]
        rows[10 * k] = np.array([kept for _, kept in chunk], bool)
    survivors = surviving(rows, first)
    runs = own_runs(holdings, survivors)
    assert [row for run in runs for row in range(run.start, run.start + run.rows)] == list(
        range(first, survivors.total)
    )
    for lo, kept in rows.items():
        mine = [run for run in runs if run.work.lo == lo]
        chosen = [i for run in mine for i in run.work.objects.tolist()]
        assert chosen == np.flatnonzero(kept).tolist()
        assert all(run.chunk == survivors.start[lo] for run in mine)
    for run in runs:
        costs = holdings.records[run.work.lo].pixels[run.work.objects]
        assert run.rows == len(costs) >= 1
        # An object is not cut: the last one may reach beyond.
        assert costs[:-1].sum() < ITEM_PIXELS


def test_one_image_gives_several_runs_and_small_images_share_one() -> None:
    pixels = {0: np.full(20_000, 2500), 1: np.full(10, 2500)}
    holdings = Holdings(MaskStore(MemoryAccount(0)))
    holdings.records = {lo: SimpleNamespace(pixels=p) for lo, p in pixels.items()}  # type: ignore
    everything = surviving({lo: np.ones(len(p), bool) for lo, p in pixels.items()})
    runs = own_runs(holdings, everything)
    of_one = [run.rows for run in runs if run.work.lo == 0]
    assert len(of_one) >= 48
    assert max(of_one) <= 1.1 * np.mean(of_one)
    assert [run.rows for run in runs if run.work.lo == 1] == [10]


@pytest.mark.parametrize("pixels", [True, False])
@pytest.mark.parametrize("limit", [0, 1 << 24])
@pytest.mark.parametrize("chosen", [[0], [1, 4, 5, 9], [9], list(range(10))])
def test_a_run_handed_over_is_the_same_work(pixels: bool, limit: int, chosen: list[int]) -> None:
    disk, per_image, objects_chosen = Disk(), [3, 0, 2, 5], np.array(chosen)
    run = Run(70, 71, len(chosen), OwnRows(20, objects_chosen))
    own = bench(disk, hold(disk, {20: per_image}, limit, pixels), [run])
    check_work(disk, own.lay_out(run), 20, per_image, objects_chosen)
    holder = bench(disk, hold(disk, {20: per_image}, limit, pixels), [run])
    body = holder.pack(run)
    disk.reads.clear()
    given = unpack(np.frombuffer(bytes(body), np.uint8))
    assert (given.chunk, given.start, given.rows) == (70, 71, len(chosen))
    work = bench(disk, hold(disk, {}, 0), []).lay_out(given)
    check_work(disk, work, 20, per_image, objects_chosen)
    # Pixels travel if the holder kept them; else the images of these objects alone are read.
    kept = pixels and limit > 0
    wanted = sorted({int(i) for i in objects(20, per_image).image[chosen]})
    assert disk.reads == ([] if kept else [wanted])
    expected = references(20, 24)
    for i, (source, within) in enumerate(
        zip(work.references.sources, work.references.within, strict=True)
    ):
        at = int(work.references.index[i]) - 20
        assert source == expected.sources[at][:2]
        assert within == expected.within[at]


@pytest.mark.parametrize("each", [1, 2, 3, 5, 12])
def test_each_image_of_a_chunk_without_pixels_is_read_once_by_its_holder(each: int) -> None:
    disk, per_image = Disk(), [4, 4, 4]
    runs = runs_of(5, 12, each)
    own = bench(disk, hold(disk, {5: per_image}, 1 << 24, pixels=False), runs)
    for run in runs:
        check_work(disk, own.lay_out(run), 5, per_image, run.work.objects)
    # And no sooner than needed: memory holds the images of a run, not those of a chunk.
    assert [image for read in disk.reads for image in read] == [5, 6, 7]
    assert max(map(len, disk.reads)) <= -(-each // 4) + 1


def test_the_image_read_last_serves_the_next_run_handed_over() -> None:
    disk, per_image = Disk(), [6, 6]
    runs = runs_of(5, 12, 2)
    holder = bench(disk, hold(disk, {5: per_image}, 1 << 24, pixels=False), runs)
    thief = bench(disk, hold(disk, {}, 0), [])
    for run in reversed(runs):
        check_work(disk, thief.lay_out(unpack(holder.pack(run))), 5, per_image, run.work.objects)
    assert disk.reads == [[6], [5]]


@pytest.mark.parametrize("given_away", [0, 1, 4])
def test_memory_is_given_back_with_the_last_run(given_away: int) -> None:
    disk = Disk()
    holdings = hold(disk, {0: [8], 1: [2], 2: [3]}, 1 << 24)
    memory = holdings.store.memory
    before = memory.total()
    # The chunk at 1 has no survivors.
    runs = runs_of(0, 8, 2) + runs_of(2, 3, 3, start=8)
    own = bench(disk, holdings, runs)
    assert 0 < memory.total() < before
    assert sorted(holdings.store.chunks) == [0, 2]
    first, last = runs[: len(runs) - given_away], runs[len(runs) - given_away :]
    for run in first:
        assert memory.total() > 0
        own.lay_out(run)
    for run in last[::-1]:
        assert memory.total() > 0
        own.pack(run)
    assert memory.total() == 0
    assert sorted(holdings.store.chunks) == []


@pytest.mark.parametrize("handed_over", [False, True])
def test_an_image_torn_since_is_told_by_the_rank_that_read_it(handed_over: bool) -> None:
    disk = Disk(torn=(6,))
    run = Run(0, 0, 6, OwnRows(5, np.arange(6)))
    own = bench(disk, hold(disk, {5: [2, 2, 2]}, 1 << 24, pixels=False), [run])
    work = own.lay_out(run)
    if handed_over:
        own = bench(disk, hold(disk, {5: [2, 2, 2]}, 1 << 24, pixels=False), [run])
        body = own.pack(run)
        work = bench(disk, hold(disk, {}, 0), []).lay_out(unpack(body))
    assert work.failures == [Failure(6, "read", "torn")]
    assert work.crops.index.tolist() == [0, 1, 4, 5]
