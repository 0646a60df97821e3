"""``export``: what was asked for of a finished run, beside its table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

from scip_mpi.errors import UserError
from scip_mpi.export.aggregate import write_aggregate
from scip_mpi.export.cells import reopen
from scip_mpi.export.crops import select, write_crops
from scip_mpi.export.fcs import choose, write_fcs
from scip_mpi.export.text import write_csv
from scip_mpi.libraries import require
from scip_mpi.progress import Progress, open_progress
from scip_mpi.results.finished import Part, open_part

FOLDER = "export"


@dataclass(frozen=True)
class Request:
    """What was asked for; names as on the command line."""

    out: Path
    paths: tuple[str, ...] = ()
    fcs: bool = False
    csv: bool = False
    aggregate: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    by: tuple[str, ...] = ("group",)
    crops: bool = False
    size: int = 64
    where: tuple[str, ...] = ()
    cells: Path | None = None
    folder: Path | None = None
    overwrite: bool = False
    quiet: bool = False


def export(request: Request) -> Iterator[str]:
    """Write what was asked for; a line for each.

    Raises
    ------
    UserError
        OUT is no finished run, nothing was asked for, or it does not fit the table.
    """
    if not (request.fcs or request.csv or request.aggregate or request.crops):
        raise UserError("say what to export: --csv, --fcs, --crops or --aggregate COLUMN,...")
    if request.fcs:
        require("export --fcs", "fcs", ("flowio",))
    part = open_part(request.out)
    folder = request.folder or request.out / FOLDER
    progress = open_progress(request.quiet)
    try:
        with h5py.File(part.table, locking=False) as file:
            rows = len(file["X"])
            if request.csv:
                path = folder / f"{part.names.filename}.csv"
                progress.start("csv", rows, "cells")
                sets = part.told["mask_sets"] or [""]
                write_csv(file, sets, path, request.overwrite, progress.advance)
                progress.finish()
                yield f"csv: {path} ({rows:,} cells)"
            if request.fcs:
                columns = choose(file, request.columns)
                progress.start("fcs", rows, "cells")
                paths, missing = write_fcs(
                    file, columns, request.by, folder / "fcs", request.overwrite, progress.advance
                )
                progress.finish()
                yield (
                    f"fcs: {folder / 'fcs'} ({len(paths):,} files, {len(columns) + 2:,} parameters)"
                )
                if missing:
                    yield f"note: {missing:,} missing values are 0 there"
            if request.crops:
                yield from _crops(request, folder, part, file, progress)
            for names in request.aggregate:
                yield from _aggregate(request, folder, file, names.split(","), progress)
    finally:
        progress.close()


def _crops(
    request: Request, folder: Path, part: Part, file: h5py.File, progress: Progress
) -> Iterator[str]:
    rows = select(file, request.where, request.cells)
    source = reopen(part, request.paths)
    path = folder / "crops.h5"
    progress.start("crops", len(rows), "cells")
    missing = write_crops(
        file, source, rows, request.size, path, request.overwrite, progress.advance
    )
    progress.finish()
    yield from (f"note: {note}" for note in source.notes)
    yield f"crops: {path} ({len(rows):,} cells)"
    if missing:
        yield f"note: {missing:,} cells were not found in their images"


def _aggregate(
    request: Request, folder: Path, file: h5py.File, columns: Sequence[str], progress: Progress
) -> Iterator[str]:
    names = [name.strip() for name in columns]
    path = folder / f"aggregate_{'_'.join(names)}.csv"
    progress.start("aggregate", len(file["X"]), "cells")
    groups = write_aggregate(file, names, path, request.overwrite, progress.advance)
    progress.finish()
    yield f"aggregate: {path} ({groups:,} rows)"
