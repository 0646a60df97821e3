"""``predict``: a model applied to the table of another run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from scip_mpi.classification import applying
from scip_mpi.classification.model import check_columns, load
from scip_mpi.progress import open_progress
from scip_mpi.results.additions import add_columns, check_free
from scip_mpi.results.finished import open_part


@dataclass(frozen=True)
class Predicted:
    """How many rows were told to be of each class, and what should be known of it."""

    counts: dict[str, int]
    missing: int
    notes: list[str]


def predict(out: Path, path: Path, quiet: bool = False) -> Predicted:
    """Write a model's predictions into obs of a finished table.

    Parameters
    ----------
    out : Path
        The finished run.
    path : Path
        The model.
    quiet : bool

    Raises
    ------
    UserError
        The model cannot be read, or was learnt from other columns than the table has.
    """
    part, model = open_part(out), load(path)
    progress = open_progress(quiet)
    try:
        with h5py.File(part.table, locking=False) as file:
            check_columns(model, file, out)
            check_free(file, applying.KIND, applying.column_names(model.classes))
            progress.start("predict", len(file["X"]), "cells")
            found = applying.apply(
                model.booster, len(model.classes), file, model.used, progress.advance
            )
            progress.finish()
        columns = applying.as_columns(found, model.classes)
        facts = {"model": os.fspath(path), "classes": model.classes}
        add_columns(part.table, applying.KIND, columns, facts)
    finally:
        progress.close()
    codes = applying.predicted(found)
    counts = np.bincount(codes[codes >= 0], minlength=len(model.classes)).tolist()
    notes = []
    if model.config != part.told["config"]:
        notes.append("the config of this run is not word for word that of the model's run")
    return Predicted(dict(zip(model.classes, counts, strict=True)), int((codes < 0).sum()), notes)
