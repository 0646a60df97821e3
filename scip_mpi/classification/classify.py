"""``classify``: labels, columns, cross-validation, a model, and what all rows are by it."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

import scip_mpi
from scip_mpi import disk
from scip_mpi.batches import BoolArray, Int64Array
from scip_mpi.classification import applying, boosting, page
from scip_mpi.classification.boosting import Cells, Effort, Settings
from scip_mpi.classification.cells import Screened, gather, screen
from scip_mpi.classification.importance import importance
from scip_mpi.classification.labels import Labels, read_labels
from scip_mpi.classification.model import Model, columns_of, save
from scip_mpi.classification.scores import confusion, summary
from scip_mpi.classification.subsets import parse_channels, subset
from scip_mpi.classification.tuning import tune
from scip_mpi.classification.validation import Validated, check_classes, cross_validate, hold_out
from scip_mpi.errors import UserError
from scip_mpi.memory import machine_memory
from scip_mpi.progress import Progress, open_progress
from scip_mpi.registry import suggestion
from scip_mpi.report.links import link_pages
from scip_mpi.results.additions import add_columns, check_free
from scip_mpi.results.finished import Part, open_part

# What it writes into OUT.
MODEL, FIGURES, PAGE = "model.json", "classification.json", "classification.html"
# Seeds of folds that choose settings are none of those that judge them.
TUNING_SEED = 1_000_000


@dataclass(frozen=True)
class Request:
    """What was asked for; names as on the command line.

    ``tune`` is in seconds, ``memory`` in bytes; None for what suits the machine.
    """

    out: Path
    labels: Path
    label: str | None = None
    group_by: str | None = None
    folds: int = 5
    repeats: int = 10
    hold_out: str | None = None
    channels: tuple[str, ...] = ()
    tune: float | None = None
    max_missing: float = 0.5
    drop_rare: bool = False
    seed: int = 0
    threads: int = 1
    jobs: int | None = None
    memory: int | None = None
    scratch: Path | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Task:
    """The cells to learn from, and where they stand in the table."""

    cells: Cells
    rows: Int64Array
    screened: Screened
    learn: Int64Array
    held: Int64Array


def classify(request: Request) -> dict[str, Any]:
    """Learn what kinds of cells the rows of a finished table are.

    Returns
    -------
    dict
        All figures, as OUT/classification.json has them.

    Raises
    ------
    UserError
        OUT is no finished run, or labels or options do not fit it.
    """
    if request.tune is not None and request.hold_out is None:
        raise UserError(
            "--tune chooses settings by the cells that cross-validation judges them with; give "
            "--hold-out 0.2 (or COLUMN=VALUE) too, for a figure from cells that chose nothing"
        )
    begun = time.monotonic()
    part = open_part(request.out)
    progress = open_progress(request.quiet)
    try:
        with (
            h5py.File(part.table, locking=False) as file,
            scratch_folder(request.scratch or request.out) as scratch,
        ):
            for words in request.channels:
                parse_channels(words, part.told["channels"])
            told = work(request, part, file, scratch, progress)
        told["wall_s"] = round(time.monotonic() - begun, 3)
        write_text(part.out / FIGURES, json.dumps(told, indent=1) + "\n")
        write_text(part.out / PAGE, page.page(told, (part.out / "report.html").is_file()))
        link_pages(part.out)
    finally:
        progress.close()
    return told


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A new folder that is gone afterwards.

    Raises
    ------
    UserError
        It cannot be made.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix=".classify-", dir=parent)
    except OSError as error:
        raise UserError(f"{parent} cannot be written: {error.strerror}") from error
    with folder as name:
        yield Path(name)


def work(
    request: Request, part: Part, file: h5py.File, scratch: Path, progress: Progress
) -> dict[str, Any]:
    """Everything but the files beside the table: the figures; model and columns are written."""
    labels = read_labels(file, request.labels, request.label)
    task = prepare(request, labels, file, scratch, progress)
    cells = task.cells
    check_free(file, applying.KIND, applying.column_names(cells.classes))
    how = boosting.effort(
        len(task.learn), len(task.screened.kept), request.memory or machine_memory() // 2,
        request.jobs or len(os.sched_getaffinity(0)), request.threads, scratch,
    )  # fmt: skip
    settings, trials = choose(request, task, how, progress)
    found = validate(request, task, settings, None, "folds", how, progress)
    subsets = [
        compare(request, task, settings, words, part, file, how, progress)
        for words in request.channels
    ]
    progress.start("model", 1, "models")
    settings = Settings(**{**asdict(settings), "rounds": found.rounds, "patience": 0})
    final = boosting.fit(cells, task.learn, None, settings, request.seed, how)
    progress.finish()
    names, meaning = columns_of(file)
    used = task.screened.kept
    told: dict[str, Any] = {
        "program": scip_mpi.__version__,
        "versions": {"xgboost": boosting.xgboost.__version__, "numpy": np.__version__},
        "out": os.fspath(request.out),
        "labels": os.fspath(request.labels),
        "rows": len(file["X"]),
        "cells": len(cells.codes),
        "classes": cells.classes,
        "notes": labels.notes,
        "columns": {"of": len(names), "used": len(used), "constant": task.screened.constant,
                    "missing": task.screened.missing, "duplicate": task.screened.duplicate},
        "folds": request.folds, "repeats": request.repeats, "seed": request.seed,
        "threads": request.threads, "group_by": request.group_by,
        "external": how.external is not None,
        "settings": asdict(settings), "tuning": trials,
        "validation": summary(found.matrices, cells.classes),
        "subsets": subsets,
        "held_out": judge(request, final, task),
        "importance": importance(final, file, used),
    }  # fmt: skip
    save(part.out / MODEL, Model(final, cells.classes, names, meaning, used, part.told["config"]))
    columns = predictions(final, labels, task, found, file, progress)
    add_columns(part.table, applying.KIND, columns, {"model": MODEL, "classes": cells.classes})
    return told


def prepare(
    request: Request, labels: Labels, file: h5py.File, scratch: Path, progress: Progress
) -> Task:
    """The labelled cells with the columns that serve, and who of them is held out."""
    keep, classes, notes = frequent(labels, file["obs/failed"][()], request)
    labels.notes.extend(notes)
    rows = np.flatnonzero(keep)
    codes = np.unique(labels.codes[rows], return_inverse=True)[1]

    def column(name: str) -> NDArray[Any]:
        return column_of(file, labels, name)[rows]

    groups = None
    if request.group_by is not None:
        groups = np.unique(column(request.group_by), return_inverse=True)[1]
    progress.start("columns", 2 * len(rows), "cells")
    screened = screen(file, rows, request.max_missing, progress.advance)
    if not len(screened.kept):
        raise UserError("no column of the table tells the labelled cells apart: all are constant")
    most = (request.memory or machine_memory() // 2) // 4
    values = gather(file, rows, screened.kept, most, scratch, progress.advance)
    progress.finish()
    cells = Cells(values, codes, classes, groups)
    learn, held = np.arange(len(rows)), np.empty(0, np.int64)
    if request.hold_out is not None:
        learn, held = hold_out(cells, request.hold_out, column, request.seed)
    check_classes(cells, learn, request.folds)
    return Task(cells, rows, screened, learn, held)


def frequent(
    labels: Labels, failed: BoolArray, request: Request
) -> tuple[BoolArray, list[str], list[str]]:
    """Rows to learn from, their classes, and what was left out.

    Rows of images that failed are, and with ``drop_rare`` classes of fewer cells than folds.
    """
    keep = (labels.codes >= 0) & ~failed
    notes = []
    if (failed & (labels.codes >= 0)).any():
        notes.append(
            f"{(failed & (labels.codes >= 0)).sum():,} labelled cells are of failed images"
        )
    counts = np.bincount(labels.codes[keep], minlength=len(labels.classes))
    rare = (counts < request.folds) & (counts > 0) & request.drop_rare
    keep &= ~np.append(rare, False)[labels.codes]
    for k in np.flatnonzero(rare):
        notes.append(f"class {labels.classes[k]!r} was left out: it has {counts[k]} cells only")
    classes = [c for c, n, out in zip(labels.classes, counts, rare, strict=True) if n and not out]
    if not keep.any():
        raise UserError(f"{request.labels}: no labelled cell is left to learn from")
    return keep, classes, notes


def column_of(file: h5py.File, labels: Labels, name: str) -> NDArray[Any]:
    """What each row has in a column of obs, or else of the labels' CSV, as text.

    Raises
    ------
    UserError
        There is none of this name.
    """
    obs = file["obs"]
    if name in obs.attrs["column-order"]:
        node = obs[name]
        if not isinstance(node, h5py.Group):
            return node[()].astype(str)
        return np.append(node["categories"].asstr()[()], "")[node["codes"][()]].astype(str)
    if name in labels.columns:
        return np.append(labels.columns[name], "")[labels.row].astype(str)
    known = [*obs.attrs["column-order"], *labels.columns]
    raise UserError(
        f"there is no column {name!r} in obs or in the labels{suggestion(name, known)}; there are "
        f"{', '.join(known)}"
    )


def choose(
    request: Request, task: Task, how: Effort, progress: Progress
) -> tuple[Settings, list[dict[str, Any]]]:
    """Settings of the trees: the usual ones, or the best that there was time to try."""
    if request.tune is None:
        return Settings(), []
    seed = TUNING_SEED + request.seed
    tried = tune(
        task.cells, task.learn, Settings(), request.folds, seed, request.tune, how, progress.say
    )
    return tried.best, tried.trials


def validate(
    request: Request,
    task: Task,
    settings: Settings,
    columns: Int64Array | None,
    stage: str,
    how: Effort,
    progress: Progress,
) -> Validated:
    """Repeated cross-validation of the cells to learn from."""
    progress.start(stage, request.folds * request.repeats, "models")
    seeds = range(request.seed, request.seed + request.repeats)
    found = cross_validate(
        task.cells, task.learn, columns, settings, request.folds, list(seeds), how, progress.advance
    )
    progress.finish()
    return found


def compare(
    request: Request,
    task: Task,
    settings: Settings,
    words: str,
    part: Part,
    file: h5py.File,
    how: Effort,
    progress: Progress,
) -> dict[str, Any]:
    """The same cross-validation, on the same folds, with the columns of some channels only."""
    chosen = subset(file, part, parse_channels(words, part.told["channels"]))
    columns = np.flatnonzero(chosen.columns[task.screened.kept])
    if not len(columns):
        raise UserError(f"--channels {words}: no column that serves is of these channels alone")
    found = validate(request, task, settings, columns, words, how, progress)
    return {
        "channels": chosen.channels,
        "columns": len(columns),
        "note": chosen.note,
        **summary(found.matrices, task.cells.classes),
    }


def judge(request: Request, final: Any, task: Task) -> dict[str, Any] | None:
    """How the model tells the cells that were held out."""
    if not len(task.held):
        return None
    k = len(task.cells.classes)
    found = boosting.told(final, task.cells, task.held, None).argmax(axis=1)
    matrix = confusion(task.cells.codes[task.held], found, k)
    return {"by": request.hold_out, "cells": len(task.held)} | summary(
        matrix[None], task.cells.classes
    )


def predictions(
    final: Any, labels: Labels, task: Task, found: Validated, file: h5py.File, progress: Progress
) -> dict[str, Any]:
    """Columns of obs: cells learnt from are told by the models that had not seen them."""
    classes = task.cells.classes
    progress.start("predict", len(file["X"]), "cells")
    used = task.screened.kept
    all_rows = applying.apply(final, len(classes), file, used, progress.advance)
    progress.finish()
    learnt = task.rows[task.learn]
    all_rows[learnt] = found.probabilities
    by = np.where(np.isnan(all_rows).any(axis=1), -1, 0)
    by[learnt] = 1
    return {
        applying.GIVEN: (labels.codes, labels.classes),
        **applying.as_columns(all_rows, classes),
        applying.BY: (by, [applying.MODEL, applying.VALIDATION]),
    }


def write_text(path: Path, text: str) -> None:
    """A file that is found whole or not at all."""
    partial = path.with_name(f"partial-{path.name}")
    partial.write_text(text, encoding="utf-8")
    disk.replace(partial, path)


def lines(told: dict[str, Any]) -> list[str]:
    """The figures in short, for a terminal."""
    columns, found = told["columns"], told["validation"]
    dropped = ", ".join(
        f"{columns[k]:,} {word}"
        for k, word in (("constant", "constant"), ("missing", "mostly missing"),
                        ("duplicate", "there twice"))
    )  # fmt: skip
    out = [f"note: {note}" for note in told["notes"]]
    out += [
        f"{told['cells']:,} labelled cells of {len(told['classes'])} classes; "
        f"{columns['used']:,} of {columns['of']:,} columns ({dropped})",
        f"balanced accuracy {figure(found['balanced_accuracy'])}, accuracy "
        f"{figure(found['accuracy'])}: {told['repeats']} x {told['folds']} folds"
        + (f", groups by {told['group_by']}" if told["group_by"] else ""),
    ]
    width = max(len(name) for name in (*told["classes"], "class"))
    out.append(f"  {'class':{width}}  {'cells':>7}  {'recall':>15}  {'precision':>15}")
    out += [
        f"  {c['class']:{width}}  {c['cells']:>7,}  {figure(c['recall']):>15}  "
        f"{figure(c['precision']):>15}"
        for c in found["classes"]
    ]
    if told["held_out"]:
        held = told["held_out"]
        out.append(
            f"held out ({held['by']}, {held['cells']:,} cells): balanced accuracy "
            f"{figure(held['balanced_accuracy'])}, accuracy {figure(held['accuracy'])}"
        )
    out += [
        f"{','.join(s['channels'])} alone ({s['columns']:,} columns): balanced accuracy "
        f"{figure(s['balanced_accuracy'])}" + (f"; {s['note']}" if s["note"] else "")
        for s in told["subsets"]
    ]
    out.append(f"page: {Path(told['out']) / PAGE}")
    return out


def figure(value: dict[str, Any]) -> str:
    """A mean and its spread: 0.781 +- 0.006."""
    if value["mean"] is None:
        return "-"
    return f"{value['mean']:.3f}" + ("" if value["sd"] is None else f" +- {value['sd']:.3f}")
