"""The model file: XGBoost's own JSON, with what is needed to apply it to another table."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xgboost

from scip_mpi import disk
from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError

# The attribute of XGBoost's file that holds our part.
ATTRIBUTE = "scip_mpi"
# Columns of var that say what a column is, beside its name.
MEANING = ("unit", "definition")


@dataclass(frozen=True)
class Model:
    """A model that can be applied to a table.

    Attributes
    ----------
    booster : xgboost.Booster
    classes : list of str
    columns : list of str
        All columns of the table that it was learnt from.
    meaning : list of str
        The unit and definition of each.
    used : ndarray of int64
        Which of the columns it takes.
    config : str
        The config of the run.
    """

    booster: xgboost.Booster
    classes: list[str]
    columns: list[str]
    meaning: list[str]
    used: Int64Array
    config: str


def columns_of(file: h5py.File) -> tuple[list[str], list[str]]:
    """Names of a table's columns, and the unit and definition of each."""
    var = file["var"]
    texts = [
        var[name]["categories"].asstr()[()][var[name]["codes"][()]].tolist() for name in MEANING
    ]
    return var["_index"].asstr()[()].tolist(), ["; ".join(t) for t in zip(*texts, strict=True)]


def save(path: Path, model: Model) -> None:
    """Write the model: found whole, or not at all."""
    told = {
        "classes": model.classes,
        "columns": model.columns,
        "meaning": sorted(set(model.meaning)),
        "used": model.used.tolist(),
        "config": model.config,
    }
    place = {text: k for k, text in enumerate(told["meaning"])}
    told["meanings"] = [place[text] for text in model.meaning]
    model.booster.set_attr(**{ATTRIBUTE: json.dumps(told)})
    partial = path.with_name(f"partial-{path.name}")
    model.booster.save_model(partial)
    disk.replace(partial, path)


def load(path: Path) -> Model:
    """Read a model.

    Raises
    ------
    UserError
        The file cannot be read, or is no model that `save` wrote.
    """
    if not path.is_file():
        raise UserError(f"MODEL {path} is not there: classify writes OUT/model.json")
    try:
        # XGBoost takes what does not look like JSON for another format, and may crash on it.
        json.loads(path.read_text(encoding="utf-8"))
        booster = xgboost.Booster(model_file=path)
        told: dict[str, Any] = json.loads(booster.attr(ATTRIBUTE) or "null")
        texts = [told["meaning"][k] for k in told["meanings"]]
        used = np.array(told["used"], np.int64)
        return Model(booster, told["classes"], told["columns"], texts, used, told["config"])
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        xgboost.core.XGBoostError,
    ) as error:
        # XGBoost's own errors end with a trace of its calls.
        lines = str(error).partition("Stack trace")[0].strip().splitlines()
        why = lines[-1] if lines else type(error).__name__
        raise UserError(f"MODEL {path} is no model that classify wrote: {why}") from error


def check_columns(model: Model, file: h5py.File, out: Path) -> None:
    """Refuse a table whose columns are not those that the model was learnt from.

    Raises
    ------
    UserError
        With the first difference.
    """
    names, meaning = columns_of(file)
    advice = "A model can be applied to tables of the same config only"
    if len(names) != len(model.columns):
        raise UserError(
            f"OUT {out} has {len(names):,} columns, and the model was learnt from "
            f"{len(model.columns):,}. {advice}"
        )
    pairs = zip(names, meaning, model.columns, model.meaning, strict=True)
    for k, (name, text, wanted, as_learnt) in enumerate(pairs):
        if name != wanted:
            raise UserError(
                f"column {k} of OUT {out} is {name}, and the model was learnt with {wanted} there. "
                f"{advice}"
            )
        if text != as_learnt:
            raise UserError(
                f"column {name} of OUT {out} is another than the model was learnt from: {text!r}, "
                f"not {as_learnt!r}. {advice}"
            )
