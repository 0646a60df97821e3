"""How a run ends: the table under its name, with all that goes beside it, or the reason why not."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from scip_mpi import disk
from scip_mpi.again import IN_TILES, Source, in_tiles
from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.books import Books
from scip_mpi.columns import prefix
from scip_mpi.errors import DONE, FAILED, SOME_FAILED, STOPPED
from scip_mpi.holdings import Survivors
from scip_mpi.job import Job, agree
from scip_mpi.loaders.contract import Failure
from scip_mpi.provenance import rank_facts, write_run_json
from scip_mpi.recording import Outcome
from scip_mpi.results import cellprofiler, h5ad, illumination, labels, parquet, tables
from scip_mpi.results.folder import BESIDE, PARTS, Claim, Names
from scip_mpi.segmentation.gpu.use import remarks
from scip_mpi.stages import build_stages
from scip_mpi.table import Table, names_of


def finish(
    job: Job, books: Books | None, table: Table, survivors: Survivors, outcome: Outcome
) -> int:
    """Publish the table if every row is in it, with all that goes beside it; the exit code."""
    assert outcome.seen is not None
    n_nan, constant = outcome.seen.over_all(job.world.allreduce, job.world.allmax)
    told = job.world.gather((replace(outcome, seen=None), rank_facts(job, outcome)))

    def write() -> int:
        assert told is not None
        assert books is not None
        recorded = sum(o.rows for o, _ in told)
        if recorded != table.rows:
            raise RuntimeError(f"{recorded} of {table.rows} rows were written: not published")
        late = {f for o, _ in told for f in o.failures}
        failures = sorted({*books.failures, *late}, key=lambda f: (f.index, f.stage))
        facts: dict[str, Any] = {
            "overflows": sum(o.overflows for o, _ in told),
            "writer": table.writer,
            "ranks": [facts for _, facts in told],
            "deaths": job.past.deaths,
        }
        code = SOME_FAILED if failures and job.request.strict else DONE
        books.publish({f.index for f in late})
        write_failures(job, failures)
        out, names = job.request.out, names_of(job)
        final = out / names.table
        h5ad.complete(table.partial, {"n_nan": n_nan, "constant": constant})
        if job.plan.config.export.format == "parquet":
            begun = time.monotonic()
            write_parquet(job, table.partial, out / names.parquet)
            facts["parquet_s"] = round(time.monotonic() - begun, 3)
        write_illumination(job)
        write_run_json(job, survivors, failures, code, facts)
        # The table's name says that the run is finished: all else is on the disk before.
        settle_all(out, names)
        disk.replace(table.partial, final)
        for remark in remarks(facts["device"] for _, facts in told):
            job.progress.say(f"note: {remark}")
        shape = f"{table.rows:,} cells x {len(job.plan.columns):,} features"
        job.progress.say(f"table: {final} ({shape})")
        if failures:
            job.progress.say(f"{len(failures):,} failed: {job.request.out / 'failures.csv'}")
        # Nobody takes OUT while it is read for the report; a start after an end in between finds a
        # finished run.
        if job.request.report:
            report(job)
        leave(job, code)
        return code

    return agree(job.world, write)


def report(job: Job) -> None:
    """OUT/report.html, on rank 0: the table is there, and whatever goes wrong here it stays."""
    from scip_mpi.report import NAME, lacking

    out, again = job.request.out, f"python -m scip_mpi report {job.request.out}"
    problem = lacking()
    if problem:
        job.progress.say(f"note: {problem}; then: {again}")
        return
    from scip_mpi.report.page import Wishes
    from scip_mpi.report.write import write_report

    assert job.catalog is not None
    try:
        with job.timers.stage("report"):
            stages = replace(build_stages(job.plan), correction=job.stages.correction)
            source: Source | str = Source(job.plan, job.catalog, stages)
            if in_tiles(job.plan.config):
                source = f"Not here: {IN_TILES}."
            write_report(
                out, out / names_of(job).table, Wishes(source, job.request.labels, job.timers)
            )
    except Exception as error:
        sys.stderr.write(
            f"scip_mpi: no report could be written ({type(error).__name__}: {error}); all else is "
            f"there. To try again: {again}\n"
        )
        return
    job.progress.say(f"report: {out / NAME}")


def settle_all(out: Path, names: Names) -> None:
    """Bring to the disk what stands beside the table."""
    beside = [out / name for name in BESIDE]
    disk.settle(path for path in [*beside, *(out / names.parquet).glob(PARTS)] if path.is_file())
    disk.settle(folder for folder in (out / names.parquet, out / labels.FOLDER) if folder.is_dir())


def nothing_readable(job: Job, books: Books | None) -> int:
    """Not one image could be read: no table, but the reason for each image."""

    def write() -> int:
        assert books is not None
        books.publish(set())
        write_failures(job, books.failures)
        leave(job, FAILED)
        first = books.failures[0].error if books.failures else "no reason given"
        sys.stderr.write(
            f"scip_mpi: none of {job.plan.images:,} images could be processed, see "
            f"{job.request.out / 'failures.csv'}. The first: {first}\n"
        )
        return FAILED

    return agree(job.world, write)


def give_up(job: Job, reason: str) -> int:
    """The run ended early: nothing is published, and the same command goes on with it."""
    job.recorder.close()
    job.world.barrier()

    def clean() -> int:
        assert job.claim is not None
        stopped = reason.startswith("signal")
        advice = "start the same command again" if stopped else "on_error: skip goes on without it"
        if job.recorder.mode == "off":
            for name in (names_of(job).partial, names_of(job).fresh):
                (job.request.out / name).unlink(missing_ok=True)
            job.claim.release()
        else:
            job.claim.keep()
            advice += ", from what is finished"
        sys.stderr.write(f"scip_mpi: ended early ({reason}); no table was written: {advice}\n")
        job.past.code = STOPPED if stopped else FAILED
        return job.past.code

    return agree(job.world, clean)


def write_parquet(job: Job, table: Path, folder: Path) -> None:
    """The table as Parquet, under the names that the config asks for."""
    plan, catalog = job.plan, job.catalog
    # The other ranks of this node wait meanwhile: their cores are free.
    threads = job.world.nodes.count(job.world.nodes[0])
    if plan.config.export.naming == "scip":
        parquet.export(table, folder, plan.sets, threads)
        return
    assert catalog is not None

    def files(images: Int64Array) -> list[list[str]]:
        own = (catalog.references(i, i + 1).alone().sources[0] for i in images.tolist())
        return [[s[c] if len(s) > 1 else s[0] for c in plan.channels] for s in own]

    compartments = plan.config.compartments()
    cellprofiler.export(
        table, folder, plan.columns, plan.channel_names, compartments, files, threads
    )


def write_failures(job: Job, failures: list[Failure]) -> None:
    """OUT/failures.csv."""
    assert job.catalog is not None
    names = job.catalog.image_names([f.index for f in failures])
    rows = [(name, f.stage, f.error) for name, f in zip(names, failures, strict=True)]
    tables.write_failures(job.request.out / "failures.csv", rows)


def write_boundaries(job: Job, bounds: FloatArray) -> None:
    """channel_boundaries.csv: what normalization took for 0 and 1, a row per group."""
    plan = job.plan
    rows = []
    for g, group in enumerate(plan.groups):
        row: dict[str, Any] = {"group": group}
        for s, name in enumerate(plan.sets):
            for c, channel in enumerate(plan.channel_names):
                for k, end in enumerate(("min", "max")):
                    row[f"{prefix(name)}{channel}_{end}"] = bounds[s, g, c, k]
        rows.append(row)
    tables.write_csv(job.request.out / "channel_boundaries.csv", rows)


def write_illumination(job: Job) -> None:
    """OUT/illumination/: what images were divided by, if that is wanted."""
    chosen, correction = job.plan.config.illumination_correction, job.stages.correction
    if chosen is not None and chosen.export:
        assert correction is not None
        assert correction.illumination is not None
        light = correction.illumination
        folder = job.request.out / illumination.FOLDER
        illumination.write_functions(folder, light.groups.names, light.each(len(correction.offset)))


def leave(job: Job, code: int) -> None:
    """Give OUT back: the lock and what only an unfinished run needs are gone afterwards.

    Whoever dies from now on, the exit code stays.
    """
    assert job.claim is not None
    job.claim.release()
    job.past.code = code


def finished_before(claim: Claim, names: Names) -> int | None:
    """The exit code of a run that ended when all was there already but it had not tidied up."""
    told = claim.out / "run.json"
    if not (claim.out / names.table).is_file():
        return None
    claim.release()
    return int(json.loads(told.read_text(encoding="utf-8"))["exit_code"])
