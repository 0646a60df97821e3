"""The run itself, stage by stage.

images --> segment --> measure --> [dataset-wide reduction] --> filter --> features --> table
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from scip_mpi import publish
from scip_mpi import verdict as verdicts
from scip_mpi.batches import Scratch, from_buffer, to_buffer
from scip_mpi.books import Books, block_bounds, tell
from scip_mpi.checkpoint.ledger import Ledger
from scip_mpi.compilation import compiling, loaded
from scip_mpi.config import read_config
from scip_mpi.devices import DeviceLost, OutOfMemory, visible_devices
from scip_mpi.errors import USAGE, UserError
from scip_mpi.holdings import Holdings, Survivors, number_rows
from scip_mpi.items import Bench, own_runs, unpack
from scip_mpi.job import EndedEarly, Job, Outcome, Request, agree
from scip_mpi.loaders.contract import Catalog, References
from scip_mpi.memory import MemoryAccount
from scip_mpi.normalization import MaskedPixels, pixel_quantiles
from scip_mpi.parallel.clerk import Clerk
from scip_mpi.parallel.guard import GuardedThread, abort_guard
from scip_mpi.parallel.link import Port
from scip_mpi.parallel.manager import ChunkOffice, Manager, Office, RowOffice
from scip_mpi.parallel.roles import Role, Sight, describe_layout
from scip_mpi.parallel.workers import Desk, Measured, Run, first_pass, second_pass
from scip_mpi.parallel.world import World, enter
from scip_mpi.pipeline import Segmented, segment
from scip_mpi.plan import Plan, find_images, make_plan, suited
from scip_mpi.progress import Silent, open_progress
from scip_mpi.results.folder import Claim, Names, claim
from scip_mpi.results.hygiene import ColumnCheck
from scip_mpi.rows import compute, cut_out, masked_pixels
from scip_mpi.segmentation.gpu.opening import open_device
from scip_mpi.segmentation.gpu.use import DeviceUse
from scip_mpi.signals import StopFlag, outlast_signals
from scip_mpi.stages import build_stages, filter_tree, on_device, warm_up
from scip_mpi.store import MaskStore
from scip_mpi.table import Table, choose_writer, create_table, open_writer, put_rows

NOTHING = np.empty(0, np.uint8)


def run(world: World, request: Request, stop: StopFlag | None = None) -> int:
    """Do the job on all ranks of a world; returns the exit code that all of them agree on.

    Raises
    ------
    UserError
        On every rank, before any work: the config, the images or OUT need mending.
    """
    job = prepare(world, request, StopFlag() if stop is None else stop)
    try:
        with only_here(world):
            holdings = segment_and_measure(job)
            survivors = decide(job, holdings)
            if survivors.readable == 0:
                return publish.nothing_readable(job, write_books(job, holdings, survivors))
            normalize(job, holdings, survivors)
            table = create_table(job, survivors)
            outcome, books = compute_and_write(job, holdings, survivors, table)
            return publish.finish(job, books, table, survivors, outcome)
    except EndedEarly as reason:
        return publish.give_up(job, str(reason))
    finally:
        job.progress.close()


def prepare(world: World, request: Request, stop: StopFlag) -> Job:
    """Rank 0 reads the config, claims OUT, lists the images and makes the plan for all."""
    progress = open_progress(request.quiet) if world.rank == 0 else Silent()
    config = agree(world, lambda: suited(read_config(request.config), request.paths))
    # The driver need not be woken on a node whose devices nobody wants.
    seen = visible_devices() if config.resources.device != "cpu" else ((), "")
    sight = Sight(world.node(), *seen)
    sights = world.gather(sight)
    catalog: Catalog | None = None
    claimed: Claim | None = None

    def decide_everything() -> Plan:
        nonlocal catalog, claimed
        catalog = find_images(config, request.paths)
        assert sights is not None
        plan = make_plan(config, catalog, sights)
        # What only the functions themselves can refuse is refused here, before OUT is touched.
        build_stages(plan)
        choose_writer(world, request.writer)
        claimed = claim(request.out, request.overwrite, Names(config.export.filename))
        return plan

    plan = agree(world, decide_everything)
    with only_here(world):
        stages = build_stages(plan, request.out)
    job = Job(world, request, plan, stages, progress, catalog, claimed, stop=stop)
    for note in plan.notes:
        progress.say(f"note: {note}")
    progress.say(
        f"{plan.images:,} images in {plan.chunks:,} chunks, {len(plan.columns):,} columns, "
        f"{world.size} rank(s)"
    )
    for line in describe_layout(plan.layout):
        progress.say(f"layout: {line}")
    if claimed is not None and not claimed.locked:
        progress.say(f"note: no locks on the file system of {request.out}: use it for one run only")
    if world.size > 1 and not world.serves_in_thread:
        progress.say("this MPI allows one thread: rank 0 hands out work between its own batches")
    with job.timers.stage("compile"):
        compile_once_per_node(job)
        equip(job, sight)
    return job


def equip(job: Job, sight: Sight) -> None:
    """Open this rank's device, if it has one, and let it make the masks.

    A device that cannot be opened is one that has failed: where a GPU was insisted on the run ends,
    else the CPU takes over.
    """
    number = job.plan.devices[job.world.rank]
    if number is None:
        return
    where = f"scip_mpi: rank {job.world.rank} on {sight.node}"
    name = sight.devices[number]
    use = DeviceUse(None, name, lambda text: print(f"{where}: {text}", file=sys.stderr, flush=True))
    try:
        dtype = np.dtype(job.plan.dtype if job.stages.correction is None else np.float32)
        use.device = open_device(name, number, dtype)
    except (DeviceLost, OutOfMemory) as error:
        if job.plan.config.resources.device == "gpu":
            raise RuntimeError(f"{where}: device {number} cannot be used: {error}") from error
        use.lose(str(error))
    job.device = use
    job.stages = on_device(job.stages, job.plan, use)


def compile_once_per_node(job: Job) -> None:
    """All ranks load the kernels; what no cache holds the first rank of each node compiles."""
    world, nodes = job.world, job.plan.nodes

    def say() -> None:
        job.progress.say("compiling the kernels, once on this machine: about a minute")

    def use() -> None:
        warm_up(job.stages, job.plan)

    first = nodes.index(nodes[world.rank]) == world.rank
    ready = False
    if first:
        with compiling(say):
            use()
    else:
        ready = loaded(use)
    world.barrier()
    if not (first or ready):
        use()


def segment_and_measure(job: Job) -> Holdings:
    """First pass: every image is read and segmented, and each object measured for the filter."""
    plan, timers = job.plan, job.timers
    memory = MemoryAccount(plan.memory)
    holdings = Holdings(MaskStore(memory, plan.config.resources.scratch))
    desk = _desk(job, memory)

    def keep(record: Segmented, pixels: Any) -> Measured:
        holdings.add(record, pixels)
        return _summary(record, NOTHING)

    def one(references: References) -> Measured:
        with timers.piece("chunks", len(references)):
            record, pixels = segment(job.stages, references, timers)
        failures = record.failed()
        if failures and plan.config.on_error == "abort":
            first = failures[0]
            desk.halt(first.error)
        if desk.mine(Role.FEATURIZER):
            return keep(record, pixels)
        with timers.stage("send"):
            return _summary(record, to_buffer(record))

    def hold(body: Any) -> Measured:
        return keep(from_buffer(Segmented, body), None)

    ledger = Ledger(plan.bounds, plan.costs)

    def office(progress: Callable[[int, int], None]) -> ChunkOffice:
        assert job.catalog is not None
        return ChunkOffice(ledger, job.catalog.references, progress)

    with managing(job, desk, office, None, "segment", plan.images, "images"):
        reason = first_pass(desk, one, hold)
    if job.device is not None:
        job.device.close()
    # Only rank 0's ledger knows who holds what.
    job.holders = {entry.lo: entry.rank for entry in ledger.entries.values()}
    if reason is not None:
        raise EndedEarly(reason)
    return holdings


def decide(job: Job, holdings: Holdings) -> Survivors:
    """The dataset-wide filter by exact reductions, then the row of every survivor."""
    chosen, plan = job.plan.config.filter, job.plan
    verdict = None
    with job.timers.stage("reduce"):
        if chosen is not None:
            statistics, groups = holdings.statistics(len(plan.statistics))
            tree = filter_tree(chosen, plan)
            verdict = verdicts.decide(
                tree, statistics, groups, len(plan.groups), job.world.allreduce
            )
        drop = chosen is None or chosen.action == "drop"
        return number_rows(holdings, plan.bounds, verdict, drop, job.world.allreduce)


def normalize(job: Job, holdings: Holdings, survivors: Survivors) -> None:
    """What becomes 0 and 1 in each mask set, group and channel, by the survivors' pixels."""
    chosen, plan = job.plan.config.normalization, job.plan
    if chosen is None:
        return

    def batches() -> Iterator[MaskedPixels]:
        for lo in holdings.chunks():
            masks = holdings.store.masks(lo).take(np.flatnonzero(survivors.rows[lo]))
            if len(masks):
                references, images = holdings.records[lo].references, holdings.store.pixels(lo)
                if images is None:
                    wanted = np.unique(masks.image) - references.index[0]
                    images, _ = job.stages.read(references.take(wanted))
                yield from masked_pixels(job.stages, references, masks, cut_out(images, masks))

    with job.timers.stage("normalize"):
        bounds = pixel_quantiles(
            batches,
            (len(plan.sets), len(plan.groups), len(plan.channel_names)),
            (chosen.lower, chosen.upper),
            np.dtype(plan.dtype if job.stages.correction is None else np.float32),
            job.world.allreduce,
        )
    job.stages = replace(job.stages, bounds=bounds)
    if job.world.rank == 0:
        publish.write_boundaries(job, bounds)


def compute_and_write(
    job: Job, holdings: Holdings, survivors: Survivors, table: Table
) -> tuple[Outcome, Books | None]:
    """Second pass: features of the survivors, each row straight to its place in the table."""
    outcome, scratch = Outcome(seen=ColumnCheck(len(job.plan.columns))), Scratch()
    desk, runs = _desk(job, holdings.store.memory), list(own_runs(holdings, survivors))
    bench = Bench(job.stages, holdings, runs)
    # Rank 0 writes what it has to write of all ranks' rows while they are computed, if it can.
    beside = table.writer != "hdf5" and job.world.size > 1 and job.world.serves_in_thread
    before = None if beside else write_books(job, holdings, survivors, table)
    writer = open_writer(job, table)
    books = open_books(job, survivors, table) if beside else None

    def write(run: Run) -> int:
        with job.timers.piece("runs", run.rows):
            with job.timers.stage("read"):
                work = bench.lay_out(run)
            rows = compute(
                job.stages, work.references, work.masks, work.crops, work.failures, job.timers,
                scratch,
            )  # fmt: skip
            with job.timers.stage("write"):
                assert outcome.seen is not None
                outcome.overflows += put_rows(
                    writer, run.start, job.plan, work.masks, rows, outcome.seen
                )
        outcome.failures += rows.failures
        return int(rows.failed.sum())

    clerk = clerk_of(job, books)
    if clerk is not None:
        # Who is busy with the books takes no others' rows.
        desk.helps = clerk.done
    office = row_office(job, survivors, clerk)
    tell = teller(job, holdings, survivors)
    with managing(job, desk, office, clerk, "features", survivors.total, "cells"):
        reason = second_pass(desk, runs, write, bench.pack, unpack, tell)
    with job.timers.stage("sync"):
        writer.finalize()
    outcome.rows = writer.recorded
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
    with managing(job, desk, office, clerk, "books", job.plan.images, "images"):
        reason = second_pass(desk, [], nothing, nothing, nothing, tell)
    if books is not None:
        books.close()
    if reason is not None:
        raise EndedEarly(reason)
    return books


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
    job: Job, survivors: Survivors, clerk: Clerk | None
) -> Callable[[Callable[[int, int], None]], RowOffice]:
    """The office of the second pass: rows are with the ranks that hold their chunks."""

    def office(progress: Callable[[int, int], None]) -> RowOffice:
        ledger = Ledger(survivors.bounds)
        for lo, entry in zip(job.plan.bounds, survivors.bounds, strict=True):
            if entry in ledger.entries and int(lo) in job.holders:
                ledger.entries[int(entry)].rank = job.holders[int(lo)]
        return RowOffice(ledger, job.world.size, progress, clerk)

    return office


def start(request: Request) -> int:
    """Enter the world that mpiexec or srun made, if any, and run in it under the abort guard."""
    world = enter()
    stop = StopFlag()
    stop.listen()
    with abort_guard(world):
        return conclude(world, lambda: run(world, request, stop))


def conclude(world: World, job: Callable[[], int]) -> int:
    """Leave the world in order after a job; what the user must mend is said once, by rank 0."""
    try:
        code = job()
    except UserError as error:
        code = USAGE
        if world.rank == 0:
            sys.stderr.write(f"scip_mpi: {error}\n")
    outlast_signals()
    world.close()
    return code


@contextmanager
def only_here(world: World) -> Iterator[None]:
    """What this rank alone cannot do (a library missing on its node) must end all ranks."""
    try:
        yield
    except UserError as error:
        raise RuntimeError(f"on node {world.node()}: {error}") from error


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
        # Python's own 5 ms would let all ranks wait where this one's work is in Python.
        sys.setswitchinterval(5e-4)
        for thread in threads:
            thread.start()
    else:
        desk.serve = manager.serve if clerk is None else lambda: manager.serve() | clerk.work()
    yield
    for thread in threads:
        thread.join()
    sys.setswitchinterval(switching)
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
    )


def _summary(record: Segmented, body: Any) -> Measured:
    lo, hi = record.span.tolist()
    failed = int((record.found < 0).sum())
    return Measured(lo, hi - lo, len(record.centroid), failed, body)
