"""A model's predictions for all rows of a table, as columns of obs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import h5py
import numpy as np
import xgboost
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array
from scip_mpi.classification.cells import blocks
from scip_mpi.errors import UserError
from scip_mpi.results.additions import Column

# What the columns are noted under in the table, and what they are called.
KIND = "classification"
GIVEN, PREDICTED, BY = "class_given", "class_predicted", "class_predicted_by"
# Who told a row.
MODEL, VALIDATION = "model", "cross-validation"


def column_names(classes: Sequence[str]) -> list[str]:
    """All columns of obs that a classification adds.

    Raises
    ------
    UserError
        Two classes would have the same column.
    """
    found: dict[str, str] = {}
    for name in classes:
        other = found.setdefault(probability(name), name)
        if other != name:
            raise UserError(f"classes {other!r} and {name!r} would share the column of obs "
                            f"{probability(name)!r}: rename one of them")  # fmt: skip
    return [GIVEN, PREDICTED, BY, *found]


def probability(name: str) -> str:
    """The column of a class's probabilities; HDF5 takes a slash for a folder."""
    return f"class_probability_{name.replace('/', '_')}"


def apply(
    booster: xgboost.Booster,
    classes: int,
    file: h5py.File,
    columns: Int64Array,
    tell: Callable[[int], None],
) -> NDArray[np.float32]:
    """Probabilities of every row, shape (rows, classes); NaN where its image failed."""
    rows = len(file["X"])
    found = np.full((rows, classes), np.nan, np.float32)
    failed = file["obs/failed"]
    for place, block in blocks(file, np.arange(rows)):
        fine = ~failed[place]
        mine = np.ascontiguousarray(block[fine][:, columns])
        if len(mine):
            found[place][fine] = booster.inplace_predict(mine, missing=np.nan)
        tell(len(block))
    return found


def predicted(found: NDArray[Any]) -> NDArray[np.int64]:
    """The likeliest class of each row; -1 where nothing is known."""
    known = ~np.isnan(found).any(axis=1)
    codes = np.full(len(found), -1, np.int64)
    codes[known] = found[known].argmax(axis=1)
    return codes


def as_columns(found: NDArray[np.float32], classes: Sequence[str]) -> dict[str, Column]:
    """Predictions and probabilities as columns of obs."""
    told: dict[str, Column] = {PREDICTED: (predicted(found), list(classes))}
    for k, name in enumerate(classes):
        told[probability(name)] = np.ascontiguousarray(found[:, k])
    return told
