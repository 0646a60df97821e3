"""From what the ranks found to the files in OUT: rank 0 writes all but the rows of the table."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import scip_mpi
from scip_mpi.batches import FloatArray, Int64Array, MaskBatch
from scip_mpi.columns import prefix
from scip_mpi.errors import DONE, FAILED, SOME_FAILED, STOPPED, UserError
from scip_mpi.holdings import Survivors, Tally
from scip_mpi.job import Job, Outcome, agree
from scip_mpi.loaders.contract import Failure
from scip_mpi.measurements import filter_measurements
from scip_mpi.parallel.roles import describe, describe_layout
from scip_mpi.parallel.world import World
from scip_mpi.plan import Plan
from scip_mpi.results import h5ad, parquet, tables, writers
from scip_mpi.results.folder import Names
from scip_mpi.results.hygiene import ColumnCheck
from scip_mpi.results.writers import DatasetLayout, Writer
from scip_mpi.rows import Rows
from scip_mpi.segmentation.gpu.use import remarks
from scip_mpi.stages import rule_label

LIBRARIES = ("numpy", "numba", "h5py", "scikit-image", "tifffile", "pandas", "pyarrow", "mpi4py")


@dataclass(frozen=True)
class Table:
    """The table that the ranks fill: where it is, and where in it each dataset lies."""

    partial: Path
    layout: dict[str, DatasetLayout]
    writer: str
    rows: int


def create_table(job: Job, found: Tally | None, survivors: Survivors) -> Table:
    """Create the table at its exact size on rank 0; tell every rank where the rows go."""

    def create() -> Table:
        assert found is not None
        partial = job.request.out / names_of(job).partial
        layout = h5ad.create_table(partial, table_spec(job, found, survivors))
        return Table(partial, layout, choose_writer(job.world, job.request.writer), survivors.total)

    with job.timers.stage("create"):
        return agree(job.world, create)


def names_of(job: Job) -> Names:
    """What the run's files are called."""
    return Names(job.plan.config.export.filename)


def choose_writer(world: World, asked: str) -> str:
    """The writer asked for, or the first that works here.

    Raises
    ------
    UserError
        The writer asked for cannot work here.
    """
    alone = world.communicator() is None
    if asked == "mpi" and alone:
        raise UserError("--writer mpi needs mpiexec or srun; --writer posix writes the same table")
    if asked == "hdf5" and (alone or not parallel_hdf5()):
        raise UserError(
            "--writer hdf5 needs an h5py built with parallel HDF5, and mpiexec or srun; without "
            "them --writer auto writes the same table"
        )
    if asked != "auto":
        return asked
    if alone:
        return "posix"
    return "hdf5" if parallel_hdf5() else "mpi"


def parallel_hdf5() -> bool:
    """Whether h5py was built with parallel HDF5."""
    import h5py

    return bool(h5py.get_config().mpi)


def open_writer(job: Job, table: Table) -> Writer:
    """This rank's hand on the table."""
    sink: writers.Sink
    if table.writer == "hdf5":
        sink = writers.Hdf5Sink(table.partial, job.world.communicator())
    elif table.writer == "mpi":
        sink = writers.SharedFileSink(job.world.open_shared(str(table.partial)))
    else:
        sink = writers.PosixSink(table.partial)
    return Writer(table.layout, sink)


def mask_columns(plan: Plan, masks: MaskBatch) -> dict[str, Int64Array]:
    """The columns of obs that the masks give: regions and bounding boxes, as far as asked for."""
    columns: dict[str, Int64Array] = {}
    for s, name in enumerate(plan.sets):
        if s in plan.columns.regions:
            for c, channel in enumerate(plan.channel_names):
                columns[f"{prefix(name)}regions_{channel}"] = masks.regions[:, s, c]
        if s in plan.columns.bbox:
            box = masks.set_bbox[:, s]
            # In the image, where an object of a field is a crop of it.
            placed = np.where(box >= 0, box + np.tile(masks.bbox[:, :2], 2), -1)
            for k, side in enumerate(("minr", "minc", "maxr", "maxc")):
                columns[f"{prefix(name)}bbox_{side}"] = placed[:, k]
    return columns


def put_rows(
    writer: Writer,
    start: int,
    plan: Plan,
    masks: MaskBatch,
    rows: Rows,
    seen: ColumnCheck,
) -> int:
    """Write rows from ``start`` on; the number of values that left float32's range."""
    if not len(masks):
        return 0
    block, overflows = writers.to_table_floats(rows.X)
    writer.put("X", start, block)
    seen.add(block)
    values: dict[str, Any] = {"failed": rows.failed}
    values |= {m.column: masks.statistics[:, k] for k, m in enumerate(plan.statistics)}
    values |= {m.column: rows.gates[:, k] for k, m in enumerate(plan.gates)}
    values |= mask_columns(plan, masks)
    for name, column in values.items():
        writer.put(f"obs/{name}", start, column)
    writer.record(len(masks))
    return overflows


def table_spec(job: Job, found: Tally, survivors: Survivors) -> h5ad.TableSpec:
    """Everything about the table but the rows that the ranks will fill in."""
    plan, catalog = job.plan, job.catalog
    assert catalog is not None
    chosen = plan.config.filter
    dropping = chosen is not None and chosen.action == "drop"
    rows = found.object_keep if dropping else np.ones(len(found.object_keep), bool)
    image, label = found.object_image[rows], found.object_label[rows]
    names, codes = np.unique(image, return_inverse=True)
    known: dict[str, Any] = {"object": label}
    if chosen is not None and not dropping:
        known["discarded"] = ~found.object_keep[rows]
    known.update({name: values[image] for name, values in catalog.numbers.items()})
    categoricals = {
        "image": (codes.astype(np.int32), catalog.image_names(names)),
        "group": (catalog.group[image], catalog.groups),
        **{name: (codes[image], values) for name, (codes, values) in catalog.metadata.items()},
    }
    nothing = MaskBatch.empty(len(plan.sets), len(plan.channel_names))
    filled: dict[str, type] = {"failed": np.bool_}
    filled |= dict.fromkeys((m.column for m in [*plan.statistics, *plan.gates]), np.float64)
    filled |= dict.fromkeys(mask_columns(plan, nothing), np.int64)
    features = plan.columns.features
    return h5ad.TableSpec(
        n_rows=survivors.total,
        names=(image, label),
        categoricals=categoricals,
        known=known,
        filled=filled,
        spatial=found.centroid[rows],
        var_names=plan.columns.names,
        var={
            "feature": [f.name for f in features],
            "family": plan.columns.families,
            "mask_set": plan.columns.mask_sets,
            "channel": [f.channel for f in features],
            "unit": [f.unit for f in features],
            "definition": [f.definition for f in features],
        },
        uns={
            "run": json.dumps(provenance(job, survivors)),
            "config": job.request.config.read_text(encoding="utf-8"),
        },
    )


def provenance(job: Job, survivors: Survivors) -> dict[str, Any]:
    """What was run, on what, with what: for uns and run.json."""
    plan = job.plan
    return {
        "program": scip_mpi.__version__,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        "command": sys.argv,
        "config": job.request.config.read_text(encoding="utf-8"),
        "fingerprint": plan.fingerprint,
        "images": plan.images,
        "rows": survivors.total,
        "columns": len(plan.columns),
        "channels": plan.channel_names,
        "mask_sets": [s for s in plan.sets if s],
        "filter": None if survivors.verdict is None else survivors.verdict.description,
        "roles": [describe(r) for r in plan.roles],
        "layout": list(describe_layout(plan.layout)),
        "notes": plan.notes,
    }


def finish(
    job: Job, found: Tally | None, table: Table, survivors: Survivors, outcome: Outcome
) -> int:
    """Publish the table if every row is in it, with all that goes beside it; the exit code."""
    assert outcome.seen is not None
    n_nan, constant = outcome.seen.over_all(job.world.allreduce, job.world.allmax)
    told = job.world.gather((replace(outcome, seen=None), rank_facts(job, outcome)))

    def write() -> int:
        assert told is not None
        assert found is not None
        recorded = sum(o.rows for o, _ in told)
        if recorded != table.rows:
            raise RuntimeError(f"{recorded} of {table.rows} rows were written: not published")
        failures = sorted(
            {*found.failures, *(f for o, _ in told for f in o.failures)},
            key=lambda f: (f.index, f.stage),
        )
        facts = {
            "overflows": sum(o.overflows for o, _ in told),
            "writer": table.writer,
            "ranks": [facts for _, facts in told],
        }
        code = SOME_FAILED if failures and job.request.strict else DONE
        write_tables(job, found, failures)
        final = job.request.out / names_of(job).table
        h5ad.complete(table.partial, {"n_nan": n_nan, "constant": constant})
        writers.publish(table.partial, final)
        if job.plan.config.export.format == "parquet":
            parquet.export(final, job.request.out / names_of(job).parquet, job.plan.sets)
        write_run_json(job, survivors, failures, code, facts)
        leave(job)
        for remark in remarks(facts["device"] for _, facts in told):
            job.progress.say(f"note: {remark}")
        shape = f"{table.rows:,} cells x {len(job.plan.columns):,} features"
        job.progress.say(f"table: {final} ({shape})")
        if failures:
            job.progress.say(f"{len(failures):,} failed: {job.request.out / 'failures.csv'}")
        return code

    return agree(job.world, write)


def nothing_readable(job: Job, found: Tally | None) -> int:
    """Not one image could be read: no table, but the reason for each image."""

    def write() -> int:
        assert found is not None
        write_tables(job, found, found.failures)
        leave(job)
        first = found.failures[0].error if found.failures else "no reason given"
        sys.stderr.write(
            f"scip_mpi: none of {job.plan.images:,} images could be processed, see "
            f"{job.request.out / 'failures.csv'}. The first: {first}\n"
        )
        return FAILED

    return agree(job.world, write)


def give_up(job: Job, reason: str) -> int:
    """The run ended early: nothing is published, and the same command starts again."""

    def clean() -> int:
        (job.request.out / names_of(job).partial).unlink(missing_ok=True)
        leave(job)
        stopped = reason.startswith("signal")
        advice = "start the same command again" if stopped else "on_error: skip goes on without it"
        sys.stderr.write(f"scip_mpi: ended early ({reason}); no table was written: {advice}\n")
        return STOPPED if stopped else FAILED

    return agree(job.world, clean)


def write_tables(job: Job, found: Tally, failures: list[Failure]) -> None:
    """images.parquet, discarded.parquet and failures.csv."""
    catalog, out = job.catalog, job.request.out
    assert catalog is not None
    failed = {f.index for f in failures}
    groups = np.array([*catalog.groups, ""], object)
    images: dict[str, Any] = {
        "image": catalog.image_names(found.image),
        "group": groups[catalog.group[found.image]].tolist(),
        "found": np.maximum(found.found, 0),
        "kept": found.kept,
        "failed": np.isin(found.image, sorted(failed)),
    }
    for measured in ("saturated", "background", "focus"):
        for c, name in enumerate(job.plan.channel_names):
            images[f"{measured}_{name}"] = getattr(found, measured)[:, c]
    tables.write_parquet(out / "images.parquet", images)
    discarded: dict[str, Any] = {
        "image": catalog.image_names(found.gone_image),
        "object": found.gone_label,
        "reason": reasons(job.plan, found),
    }
    for k, statistic in enumerate(job.plan.statistics):
        discarded[statistic.column.removeprefix("filter_")] = found.gone_statistics[:, k]
    tables.write_parquet(out / "discarded.parquet", discarded)
    names = catalog.image_names([f.index for f in failures])
    rows = [(name, f.stage, f.error) for name, f in zip(names, failures, strict=True)]
    tables.write_failures(out / "failures.csv", rows)


def reasons(plan: Plan, found: Tally) -> list[str]:
    """Why the filter left each cell out: the rules that it does not meet."""
    if plan.config.filter is None:
        return []
    rules = plan.config.filter.leaves()
    labels = [rule_label(rule, plan) for rule in rules]
    of = [
        [plan.statistics.index(m) for m in filter_measurements(r, plan.sets, plan.channel_names)]
        for r in rules
    ]
    undefined = ~np.isfinite(found.gone_statistics)
    texts = []
    for broken, missing in zip(found.gone_broken, undefined, strict=True):
        texts.append(
            "; ".join(
                f"{label}: statistic undefined" if missing[columns].any() else label
                for label, columns, fails in zip(labels, of, broken, strict=True)
                if fails
            )
        )
    return texts


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


def rank_facts(job: Job, outcome: Outcome) -> dict[str, Any]:
    """What run.json says of a rank."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rank": job.world.rank,
        "node": job.world.node(),
        "roles": describe(job.plan.roles[job.world.rank]),
        "device": None if job.device is None else job.device.facts(),
        "rows": outcome.rows,
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "busy": job.timers.busy(),
        "stages": job.timers.summary(),
    }


def write_run_json(
    job: Job, survivors: Survivors, failures: list[Failure], code: int, facts: dict[str, Any]
) -> None:
    """OUT/run.json."""
    told = provenance(job, survivors) | {
        "exit_code": code,
        "failed_images": len({f.index for f in failures}),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(job.started)),
        "wall_s": round(time.time() - job.started, 3),
        "out": os.fspath(job.request.out),
        **facts,
    }
    (job.request.out / "run.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def leave(job: Job) -> None:
    """Give OUT back: the lock and what only an unfinished run needs are gone afterwards."""
    assert job.claim is not None
    job.claim.release()
