"""The two passes over the images: what a rank does in them, and what rank 0 does beside it.

In the first a rank segments and measures what it is given; in the second it computes and writes the
rows of the objects that survive.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from scip_mpi.batches import ImageBatch, Scratch, UInt8Array, from_buffer, to_buffer
from scip_mpi.books import Books, block_bounds, tell
from scip_mpi.checkpoint.ledger import Ledger, State
from scip_mpi.checkpoint.spans import Spans
from scip_mpi.devices import DeviceLost
from scip_mpi.errors import RanksLost
from scip_mpi.holdings import Holdings, Survivors
from scip_mpi.items import Bench, Work, images_of, own_runs, unpack
from scip_mpi.job import EndedEarly, Job
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.loaders.dispatch import Dispatch
from scip_mpi.memory import MemoryAccount
from scip_mpi.objects import Found, Part
from scip_mpi.parallel.clerk import Clerk
from scip_mpi.parallel.guard import GuardedThread
from scip_mpi.parallel.link import Port
from scip_mpi.parallel.manager import (
    ChunkOffice,
    Manager,
    Office,
    RowOffice,
    segmenters,
    stand_ins,
)
from scip_mpi.parallel.roles import Role
from scip_mpi.parallel.workers import Desk, Measured, Run, Share, first_pass, second_pass
from scip_mpi.pipeline import Segmented, sparing
from scip_mpi.recording import Outcome, RowLog
from scip_mpi.restart import adopt, adopt_rows
from scip_mpi.results.hygiene import ColumnCheck
from scip_mpi.results.writers import Writer
from scip_mpi.rows import Rows, compute
from scip_mpi.segmenting import measure_part, segment
from scip_mpi.store import MaskStore
from scip_mpi.suspicion import without
from scip_mpi.table import Table, open_writer, put_rows
from scip_mpi.tile_objects import TileFound, TilePart

NOTHING = np.empty(0, np.uint8)
# Seconds after which Python lets another thread of rank 0 have its turn: with its own 5 ms ranks
# would wait for the manager where the worker or the clerk is at work in Python.
SWITCHING = 5e-4


def segment_and_measure(job: Job) -> Holdings:
    """First pass: every image is read and segmented, and each object measured for the filter."""
    plan, timers = job.plan, job.timers
    ends_run = plan.config.on_error == "abort"
    memory = MemoryAccount(plan.memory)
    holdings = Holdings(MaskStore(memory, plan.config.resources.scratch))
    desk = _desk(job, memory)
    recorder = job.recorder
    held_before = adopt(job, holdings)

    def keep(record: Segmented, body: UInt8Array | None, pixels: Any) -> Measured:
        saved = None
        # What ends the run must be found again.
        if recorder.mode == "full" and not (ends_run and len(record.failed())):
            with timers.stage("record"):
                lo = int(record.span[0])
                saved = recorder.measured(lo, to_buffer(record) if body is None else body)
        holdings.add(record, pixels, saved)
        return _summary(record, NOTHING)

    def one(references: References, share: Share) -> Measured | None:
        use = job.device
        lo, hi = int(references.index[0]), int(references.index[-1]) + 1
        if use is not None and use.idle():
            use.handed_over += 1
            return None
        try:
            with timers.piece("chunks", len(references)), recorder.at(lo, hi):
                record, pixels = segment_what_fits(job, references, share)
        except DeviceLost:
            assert use is not None
            use.handed_over += 1
            return None
        failures = record.failed()
        if failures and ends_run:
            first = failures[0]
            desk.halt(first.error)
        if desk.mine(Role.FEATURIZER):
            return keep(record, None, pixels)
        with timers.stage("send"):
            return _summary(record, to_buffer(record))

    def hold(body: Any) -> Measured:
        return keep(from_buffer(Segmented, body), body, None)

    def measure(part: Part | TilePart) -> Found | TileFound:
        image = part.objects.image
        with recorder.at(int(image[0]), int(image[-1]) + 1) if len(image) else nullcontext():
            return measure_part(job.stages, part, timers)

    def go_on() -> None:
        assert job.device is not None
        job.device.go_on()

    ledger = Ledger(plan.bounds, plan.costs)
    for lo, rank in held_before.items():
        ledger.advance(lo, rank, State.MEASURED)

    def office(progress: Callable[[int, int], None]) -> ChunkOffice:
        assert job.catalog is not None
        message = Dispatch(job.catalog).message
        return ChunkOffice(ledger, message, progress, segmenters(plan.roles), stand_ins(plan.roles))

    before = sum(ledger.entries[lo].hi - lo for lo in held_before)
    left = plan.images - before
    if before:
        job.progress.say(f"{before:,} of {plan.images:,} images are measured, {left:,} to do")
    with managing(job, desk, office, None, "segment", left, "images"):
        reason = first_pass(desk, one, hold, measure, go_on)
    if job.device is not None:
        job.device.close()
    # Only rank 0's ledger knows who holds what.
    job.holders = {entry.lo: entry.rank for entry in ledger.entries.values()}
    if reason is not None:
        raise EndedEarly(reason)
    return holdings


def segment_what_fits(
    job: Job, references: References, share: Share
) -> tuple[Segmented, ImageBatch | None]:
    """Segment a chunk, of which images for whose masks there is not enough memory are failures.

    Not where parts of them may be with other ranks by then: there this is an error as others are.
    """
    stages, timers = job.stages, job.timers
    shared = False

    def sharing(count: int, part: Callable[[int], Part]) -> list[Found]:
        nonlocal shared
        shared = True
        return share(count, part)

    try:
        return segment(stages, references, timers, sharing)
    except MemoryError:
        if shared or stages.tiles is not None:
            raise
    lost = []
    for k in range(len(references)):
        try:
            segment(stages, references.take([k]), timers)
        except MemoryError:
            index = int(references.index[k])
            lost.append(Failure(index, "segment", "not enough memory to segment and measure it"))
    # Where each fits by itself, and all do not: an error again.
    return segment(sparing(stages, lost, job.plan.dtype), references, timers, share)


def compute_what_fits(job: Job, work: Work, scratch: Scratch) -> Rows:
    """The rows of a run, of which images for whose features there is not enough memory fail."""

    def rows_of(some: Work) -> Rows:
        return compute(
            job.stages, some.references, some.masks, some.crops, some.failures, job.timers, scratch
        )

    try:
        return rows_of(work)
    except MemoryError:
        images = np.unique(work.masks.image[work.crops.index]).tolist()
    each = {k: Failure(k, "features", "not enough memory to compute its rows") for k in images}
    lost = {}
    for k in images:
        try:
            rows_of(without(work, {other: each[other] for other in images if other != k}))
        except MemoryError:
            lost[k] = each[k]
    # Where each fits by itself, and all do not: an error again.
    return rows_of(without(work, lost))


def compute_and_write(
    job: Job, holdings: Holdings, survivors: Survivors, table: Table
) -> tuple[Outcome, Books | None]:
    """Second pass: features of the survivors, each row straight to its place in the table."""
    outcome, scratch = Outcome(seen=ColumnCheck(len(job.plan.columns))), Scratch()
    written = adopt_rows(job.world, table.recorded, table.rows, outcome)
    desk = _desk(job, holdings.store.memory)
    runs = own_runs(holdings, survivors, written)
    log = RowLog(job.recorder, table.partial, table.generation, outcome)
    bench = Bench(job.stages, holdings, runs)
    # Rank 0 writes what it has to write of all ranks' rows while they are computed, if it can.
    beside = table.writer != "hdf5" and job.world.size > 1 and job.world.serves_in_thread
    before = None if beside else write_books(job, holdings, survivors, table)
    job.world.barrier()
    writer = open_writer(job, table)
    books = open_books(job, survivors, table) if beside else None

    def write(run: Run) -> int:
        with job.timers.stage("write"):
            log.turn_to(run.chunk)
        with job.timers.piece("runs", run.rows), job.recorder.at(*images_of(run, holdings)):
            with job.timers.stage("read"):
                work = bench.lay_out(run)
                if job.fatal:
                    work = without(work, job.fatal)
            rows = compute_what_fits(job, work, scratch)
            with job.timers.stage("write"):
                fresh = log.fresh
                assert fresh.seen is not None
                fresh.failures += rows.failures
                fresh.overflows += put_rows(
                    writer, run.start, job.plan, work.masks, rows, fresh.seen
                )
                log.add(run.start, run.rows)
        return int(rows.failed.sum())

    clerk = clerk_of(job, books)
    if clerk is not None:
        # Who is busy with the books takes no others' rows.
        desk.helps = clerk.done
    office = row_office(job, survivors, clerk, written)
    tell = teller(job, holdings, survivors)
    total, left = survivors.total, survivors.total - len(written)
    if left < total:
        job.progress.say(f"{total - left:,} of {total:,} rows are written, {left:,} to do")
    with closed_if_lost(log, books, writer):
        with managing(job, desk, office, clerk, "features", left, "cells"):
            reason = second_pass(desk, runs, write, bench.pack, unpack, tell)
        with job.timers.stage("sync"):
            # Within the library nobody could tell who waits from who hangs.
            job.world.barrier()
            writer.finalize()
            log.close()
    holdings.store.close()
    if books is not None:
        books.close()
    if reason is not None:
        raise EndedEarly(reason)
    return outcome, books if beside else before


def write_books(
    job: Job, holdings: Holdings, survivors: Survivors, table: Table | None = None
) -> Books | None:
    """What rank 0 writes of all images and objects, by itself, while no rows are computed."""
    desk = _desk(job, holdings.store.memory)
    books = open_books(job, survivors, table)
    clerk = clerk_of(job, books)

    def nothing(*_: Any) -> Any:
        raise AssertionError("there are no rows in this pass")

    def office(progress: Callable[[int, int], None]) -> RowOffice:
        return RowOffice(Ledger([]), job.world.size, progress, clerk)

    tell = teller(job, holdings, survivors)
    with (
        closed_if_lost(books),
        managing(job, desk, office, clerk, "books", job.plan.images, "images"),
    ):
        reason = second_pass(desk, [], nothing, nothing, nothing, tell)
    if books is not None:
        books.close()
    if reason is not None:
        raise EndedEarly(reason)
    return books


@contextmanager
def closed_if_lost(*files: Books | RowLog | Writer | None) -> Iterator[None]:
    """Close what is open when ranks have died: this process will open the same files again."""
    try:
        yield
    except RanksLost:
        for file in files:
            if isinstance(file, Writer):
                file.finalize()
            elif file is not None:
                file.close()
        raise


def open_books(job: Job, survivors: Survivors, table: Table | None) -> Books | None:
    """What rank 0 writes of all images and objects; None on other ranks."""
    if job.catalog is None:
        return None
    path = None if table is None else table.partial
    return Books(job.plan, job.catalog, survivors, job.request.out, path)


def clerk_of(job: Job, books: Books | None) -> Clerk | None:
    """Who collects what the books need."""
    if books is None:
        return None
    holders = np.array([job.holders[int(lo)] for lo in job.plan.bounds[:-1]])
    blocks = pairwise(books.blocks.tolist())
    return Clerk([np.unique(holders[lo:hi]).tolist() for lo, hi in blocks], books.write)


def teller(job: Job, holdings: Holdings, survivors: Survivors) -> Callable[[int], bytes]:
    """What tells the clerk of a block."""
    blocks = block_bounds(job.plan, survivors)
    return lambda k: tell(job.plan, holdings, survivors, int(blocks[k]), int(blocks[k + 1]))


def row_office(
    job: Job, survivors: Survivors, clerk: Clerk | None, written: Spans
) -> Callable[[Callable[[int, int], None]], RowOffice]:
    """The office of the second pass: rows are with the ranks that hold their chunks."""

    def office(progress: Callable[[int, int], None]) -> RowOffice:
        ledger = Ledger(survivors.bounds)
        for lo, entry in zip(job.plan.bounds, survivors.bounds, strict=True):
            if entry in ledger.entries and int(lo) in job.holders:
                ledger.entries[int(entry)].rank = job.holders[int(lo)]
        for entry in list(ledger.entries.values()):
            ledger.begun(entry.lo, written.count(entry.lo, entry.hi), State.WRITTEN)
        return RowOffice(ledger, job.world.size, progress, clerk)

    return office


@contextmanager
def managing(
    job: Job,
    desk: Desk,
    office: Callable[[Callable[[int, int], None]], Office],
    clerk: Clerk | None,
    stage: str,
    total: int,
    unit: str,
) -> Iterator[None]:
    """On rank 0, let manager and clerk serve during a pass: in threads, or between batches."""
    if job.world.rank != 0:
        yield
        return
    job.progress.start(stage, total, unit)
    manager = Manager(desk.manager, desk.peers, job.world.size, office(job.progress.advance))
    threads: list[threading.Thread] = []
    switching = sys.getswitchinterval()
    if job.world.size > 1 and job.world.serves_in_thread:
        threads.append(GuardedThread(job.world, manager.run, "manager"))
        if clerk is not None:
            threads.append(GuardedThread(job.world, partial(clerk.run, manager.ended), "clerk"))
        sys.setswitchinterval(SWITCHING)
        for thread in threads:
            thread.start()
    else:
        desk.serve = manager.serve if clerk is None else lambda: manager.serve() | clerk.work()

    def end() -> None:
        for thread in threads:
            thread.join()
        sys.setswitchinterval(switching)

    try:
        yield
    except RanksLost:
        # Nobody will tell the clerk that the pass is over.
        manager.over = True
        end()
        raise
    end()
    job.progress.finish()


def _desk(job: Job, memory: MemoryAccount) -> Desk:
    world = job.world
    return Desk(
        rank=world.rank,
        roles=job.plan.roles,
        manager=world.link(Port.MANAGER),
        peers=world.link(Port.WORKER),
        timers=job.timers,
        stop=job.stop,
        memory=memory,
        beat=job.beat,
    )


def _summary(record: Segmented, body: Any) -> Measured:
    lo, hi = record.span.tolist()
    failed = int((record.found < 0).sum())
    return Measured(lo, hi - lo, len(record.centroid), failed, body)
