"""The run itself, stage by stage.

images --> segment --> measure --> [dataset-wide reduction] --> filter --> features --> table
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np

from scip_mpi import publish
from scip_mpi import verdict as verdicts
from scip_mpi.checkpoint.hands import Hand, hand_path
from scip_mpi.checkpoint.journal import Found, Journal, journal_path
from scip_mpi.chunks import cut
from scip_mpi.compilation import compiling, loaded
from scip_mpi.config import read_config
from scip_mpi.devices import DeviceLost, OutOfMemory, visible_devices
from scip_mpi.errors import USAGE, RanksLost, UserError
from scip_mpi.holdings import Holdings, Survivors, number_rows
from scip_mpi.illuminate import correct_illumination
from scip_mpi.job import EndedEarly, Job, Past, Request, agree
from scip_mpi.loaders.contract import Catalog
from scip_mpi.normalization import MaskedPixels, pixel_quantiles
from scip_mpi.parallel.guard import abort_guard
from scip_mpi.parallel.pulse import Pulse
from scip_mpi.parallel.roles import Sight, describe_layout
from scip_mpi.parallel.world import World, enter
from scip_mpi.passes import compute_and_write, segment_and_measure, write_books
from scip_mpi.plan import Plan, find_images, make_plan, suited
from scip_mpi.progress import Silent, open_progress
from scip_mpi.recording import Recorder
from scip_mpi.restart import take_up
from scip_mpi.results.folder import PRIVATE, Claim, Names, claim
from scip_mpi.rows import ITEM_PIXELS, masked_pixels
from scip_mpi.segmentation.gpu.opening import open_device
from scip_mpi.segmentation.gpu.use import DeviceUse
from scip_mpi.signals import StopFlag, outlast_signals
from scip_mpi.stages import build_stages, filter_tree, on_device, warm_up
from scip_mpi.store import scratch_problem
from scip_mpi.suspicion import set_apart
from scip_mpi.table import choose_writer, create_table
from scip_mpi.tile_objects import held_or_read
from scip_mpi.tile_rounds import cut_into_tiles
from scip_mpi.timers import Timers


def run(
    world: World,
    request: Request,
    stop: StopFlag | None = None,
    pulse: Pulse | None = None,
    trace: Callable[[Hand], None] = lambda _: None,
    past: Past | None = None,
) -> int:
    """Do the job on all ranks of a world; returns the exit code that all of them agree on.

    ``trace`` is to have crashes noted, where this process is the rank's own.

    Raises
    ------
    UserError
        On every rank, before any work: the config, the images or OUT need mending.
    RanksLost
        Ranks have died, and the MPI lets the others go on: the same call in the world of those goes
        on from what is finished.
    """
    stop = StopFlag() if stop is None else stop
    job = prepare(world, request, stop, pulse or Pulse(world), past or Past())
    if isinstance(job, int):
        return job
    try:
        with only_here(world):
            if job.recorder.mode != "off":
                trace(job.recorder.hand)
            set_apart(job)
            correct_illumination(job)
            cut_into_tiles(job)
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
        if job.device is not None:
            job.device.close()
        job.recorder.close()
        job.progress.close()


def prepare(world: World, request: Request, stop: StopFlag, pulse: Pulse, past: Past) -> Job | int:
    """Rank 0 reads the config, claims OUT, lists the images and makes the plan for all.

    An exit code instead where there is nothing left to do.
    """
    progress = open_progress(request.quiet) if world.rank == 0 else Silent()
    # What was decided before ranks died stays, whatever becomes of the files meanwhile.
    past.config = config = agree(
        world, lambda: past.config or suited(read_config(request.config), request.paths)
    )
    timers = past.timers = Timers()
    pulse.follow(timers, config.resources.stall_timeout)
    # The driver need not be woken on a node whose devices nobody wants.
    seen = visible_devices() if config.resources.device != "cpu" else ((), "")
    sight = Sight(world.node(), *seen)
    sights = world.gather(sight)
    scratch = world.gather(scratch_problem(config.resources.scratch))
    catalog: Catalog | None = None
    claimed: Claim | None = None
    found: Found | None = None

    def decide_everything() -> tuple[Plan, int] | int:
        nonlocal catalog, claimed, found
        assert scratch is not None
        assert sights is not None
        for problem, seen_by in zip(scratch, sights, strict=True):
            if problem:
                raise UserError(f"resources.scratch: on {seen_by.node}, {problem}")
        catalog = past.catalog = past.catalog or find_images(config, request.paths)
        plan = make_plan(config, catalog, sights)
        # What only the functions themselves can refuse is refused here, before OUT is touched.
        build_stages(plan)
        choose_writer(world, request.writer)
        names = Names(config.export.filename)
        if past.claim is None:
            claimed = claim(request.out, request.overwrite, names, resumes=True)
        else:
            claimed = replace(past.claim, unfinished=True)
        try:
            plan, found = take_up(plan, catalog, claimed, progress.say)
        except UserError:
            claimed.keep()
            raise
        past.claim = claimed
        code = publish.finished_before(claimed, names) if claimed.unfinished else None
        return (plan, found.starts) if code is None else code

    decided = agree(world, decide_everything)
    if isinstance(decided, int):
        progress.say(f"the run had finished: {request.out}")
        progress.close()
        return decided
    plan, starts = decided
    with only_here(world):
        stages = build_stages(plan, request.out)
    folder = request.out / PRIVATE
    recorder = Recorder(
        Journal(journal_path(folder, starts, world.rank)),
        Hand(hand_path(folder, starts, world.rank)),
        plan.config.resources.checkpoint,
    )
    job = Job(
        world, request, plan, stages, progress, catalog, claimed, recorder,
        timers=timers, stop=stop, past=past,
    )  # fmt: skip
    job.found = found
    job.beat = pulse.between_batches
    for note in plan.notes:
        progress.say(f"note: {note}")
    progress.say(
        f"{plan.images:,} images in {plan.chunks:,} chunks, {len(plan.columns):,} columns, "
        f"{world.size} rank(s)"
    )
    for line in describe_layout(plan.layout):
        progress.say(f"layout: {line}")
    if claimed is not None and claimed.unfinished:
        progress.say(f"going on with the unfinished run in {request.out}")
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
    else others do this rank's chunks.
    """
    number = job.plan.devices[job.world.rank]
    if number is None:
        return
    where = f"scip_mpi: rank {job.world.rank} on {sight.node}"
    name = sight.devices[number]
    use = DeviceUse(None, name, lambda text: print(f"{where}: {text}", file=sys.stderr, flush=True))
    try:
        use.device = open_device(name, number, job.stages.corrected_type(job.plan.dtype))
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
            if not len(masks):
                continue
            references, images = holdings.records[lo].references, holdings.store.pixels(lo)
            bounds = np.array([0, len(masks)])
            if job.stages.tiles is not None:
                # Of a large field not all crops are held at once.
                bounds = cut(masks.shapes.prod(axis=1), ITEM_PIXELS)
            for a, b in pairwise(bounds.tolist()):
                part = masks.take(slice(a, b))
                with job.recorder.at(lo, lo + len(references)):
                    crops = held_or_read(job.stages, references, part, images)
                yield from masked_pixels(job.stages, references, part, crops)

    with job.timers.stage("normalize"):
        bounds = pixel_quantiles(
            batches,
            (len(plan.sets), len(plan.groups), len(plan.channel_names)),
            (chosen.lower, chosen.upper),
            job.stages.corrected_type(plan.dtype),
            job.world.allreduce,
        )
    job.stages = replace(job.stages, bounds=bounds)
    if job.world.rank == 0:
        publish.write_boundaries(job, bounds)


def start(request: Request) -> int:
    """Enter the world that mpiexec or srun made, if any, and run in it under the abort guard."""
    world = enter()
    stop = StopFlag()
    stop.listen()
    past = Past()
    while True:
        with abort_guard(world):
            try:
                return conclude(world, partial(run_in, world, request, stop, past))
            except RanksLost:
                if not world.survives:
                    raise
            world = regroup(world, past, request.quiet)


def run_in(world: World, request: Request, stop: StopFlag, past: Past, pulse: Pulse) -> int:
    """Do the job, unless it was done in a world of which ranks have died since."""
    code = world.bcast(past.code)
    return run(world, request, stop, pulse, Hand.trace_crashes, past) if code is None else int(code)


def regroup(world: World, past: Past, quiet: bool) -> World:
    """The world of those that live, after `RanksLost`; rank 0 says who has died. Collective."""
    smaller = world.survivors()
    if smaller.rank == 0:
        kept = smaller.formerly
        stage = past.timers.latest
        for rank in sorted(set(range(world.size)) - set(kept)):
            node = world.nodes[rank]
            past.deaths.append({"rank": rank, "of": world.size, "node": node, "stage": stage})
            open_progress(quiet).say(
                f"rank {rank} of {world.size} on {node} has died in stage {stage or 'start'}; the "
                f"run goes on with {smaller.size} rank(s), from what is finished"
            )
    return smaller


def conclude(world: World, job: Callable[[Pulse], int]) -> int:
    """Do a job while the ranks' pulses are watched, and leave the world in order after it.

    What the user must mend is said once, by rank 0.
    """
    with Pulse(world) as pulse:
        try:
            code = job(pulse)
        except UserError as error:
            code = USAGE
            if world.rank == 0:
                sys.stderr.write(f"scip_mpi: {error}\n")
        outlast_signals()
        world.barrier()
    world.close()
    return code


@contextmanager
def only_here(world: World) -> Iterator[None]:
    """What this rank alone cannot do (a library missing on its node) must end all ranks."""
    try:
        yield
    except UserError as error:
        raise RuntimeError(f"on node {world.node()}: {error}") from error
