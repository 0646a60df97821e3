"""The table while it is filled: its columns, who writes it how, and the rows of a batch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from scip_mpi import disk
from scip_mpi.batches import Int64Array, MaskBatch
from scip_mpi.checkpoint.journal import read_single, write_single
from scip_mpi.checkpoint.records import Kind, Record
from scip_mpi.columns import prefix
from scip_mpi.errors import UserError
from scip_mpi.holdings import Survivors
from scip_mpi.job import Job, agree
from scip_mpi.parallel.world import World
from scip_mpi.plan import Plan
from scip_mpi.provenance import provenance
from scip_mpi.results import h5ad, writers
from scip_mpi.results.folder import PRIVATE, TABLE, Names
from scip_mpi.results.hygiene import ColumnCheck
from scip_mpi.results.writers import DatasetLayout, Writer
from scip_mpi.rows import Rows


@dataclass(frozen=True)
class Table:
    """The table that the ranks fill: where it is, and where in it each dataset lies.

    ``generation`` is another where a run had to begin another table; ``recorded`` is where it is
    written down which rows earlier starts have written.
    """

    partial: Path
    layout: dict[str, DatasetLayout]
    writer: str
    rows: int
    generation: int = 0
    recorded: list[Record] = field(default_factory=list)


def names_of(job: Job) -> Names:
    """What the run's files are called."""
    return Names(job.plan.config.export.filename)


def create_table(job: Job, survivors: Survivors) -> Table:
    """Create the table at its exact size on rank 0; tell every rank where the rows go."""

    def create() -> Table:
        out = job.request.out
        partial, noted = out / names_of(job).partial, out / PRIVATE / TABLE
        # Made anew beside the one that is there: a process may have ended while it wrote that.
        fresh = out / names_of(job).fresh
        layout = h5ad.create_table(fresh, table_spec(job, survivors))
        told = np.frombuffer(json.dumps([asdict(d) for d in layout.values()]).encode(), np.uint8)
        writer = choose_writer(job.world, job.request.writer)
        held = read_single(noted, Kind.TABLE)
        if held is not None and bytes(held[1]) == bytes(told) and holds(partial, layout):
            h5ad.renew(partial, fresh, layout)
            written = [] if job.found is None else job.found.written
            mine = [record for record in written if record.key == held[0]]
            return Table(partial, layout, writer, survivors.total, held[0], mine)
        # What was written of another table counts no more, before this one takes its place.
        noted.unlink(missing_ok=True)
        disk.settle([noted.parent])
        disk.replace(fresh, partial)
        generation = 0 if job.found is None else job.found.starts
        if job.recorder.mode != "off":
            write_single(noted, Kind.TABLE, generation, told)
        return Table(partial, layout, writer, survivors.total, generation)

    with job.timers.stage("create"):
        return agree(job.world, create)


def holds(partial: Path, layout: Mapping[str, DatasetLayout]) -> bool:
    """Whether the file of an earlier start is there, and long enough for all rows."""
    last = max((d.place(d.shape[0]) for d in layout.values() if d.offset >= 0), default=0)
    return partial.is_file() and partial.stat().st_size >= last


def table_spec(job: Job, survivors: Survivors) -> h5ad.TableSpec:
    """Everything about the table but its rows."""
    plan, catalog = job.plan, job.catalog
    assert catalog is not None
    chosen = plan.config.filter
    noted: dict[str, Any] = {"object": np.int64}
    if chosen is not None and chosen.action != "drop":
        noted["discarded"] = np.bool_
    noted |= {name: values.dtype for name, values in catalog.numbers.items()}
    nothing = MaskBatch.empty(len(plan.sets), len(plan.channel_names))
    filled: dict[str, type] = {"failed": np.bool_}
    filled |= dict.fromkeys((m.column for m in [*plan.statistics, *plan.gates]), np.float64)
    filled |= dict.fromkeys(mask_columns(plan, nothing), np.int64)
    features = plan.columns.features
    return h5ad.TableSpec(
        n_rows=survivors.total,
        categoricals={
            "image": int(survivors.image_bounds[-1]),
            "group": catalog.groups,
            **{name: categories for name, (_, categories) in catalog.metadata.items()},
        },
        noted=noted,
        filled=filled,
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
    if world.survives and asked in ("mpi", "hdf5"):
        raise UserError(
            f"--writer {asked} cannot outlive the death of a rank (mpiexec --with-ft); --writer "
            "auto writes the same table"
        )
    if asked != "auto":
        return asked
    if alone or world.survives:
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
    return overflows
