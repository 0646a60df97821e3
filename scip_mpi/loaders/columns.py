"""Columns of tables as text, and as categoricals or numbers."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.errors import UserError
from scip_mpi.loaders.gather import MESSAGE
from scip_mpi.loaders.listing import shown
from scip_mpi.loaders.naming import refuse_columns
from scip_mpi.loaders.patterns import factorize
from scip_mpi.loaders.texts import Categorical

WHOLE_NUMBER = re.compile("-?(0|[1-9][0-9]{0,99})")
# A number that does not start with a needless zero, as codes such as 01 do; nan is a missing one.
_NUMBER = re.compile(r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?|nan", re.I)


def read_columns(path: str) -> dict[str, list[str | None]]:
    """Columns of a CSV or Parquet file as text; empty cells are None.

    A column without a name, such as the row numbers that programs write, is left out.

    Raises
    ------
    UserError
        It cannot be read, or a column occurs twice.
    """
    try:
        names, columns = _parquet(path) if path.lower().endswith(".parquet") else _csv(path)
    except UnicodeDecodeError:
        raise UserError(f"{shown(path)} is not in UTF-8: save it as CSV UTF-8") from None
    except Exception as error:  # whatever a broken file makes the readers raise
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:MESSAGE]
        raise UserError(f"{shown(path)} cannot be read as a table: {reason}") from None
    for i, name in enumerate(names):
        if name and name in names[:i]:
            raise UserError(f"{shown(path)} has two columns called {name!r}: rename one")
    return {n: c for n, c in zip(names, columns, strict=True) if n}


def _csv(path: str) -> tuple[list[str], list[list[str | None]]]:
    import pandas as pd

    # The header is read as a row: pandas would rename a repeated name, and take the first column
    # of rows longer than the header for their labels.
    frame = pd.read_csv(
        path,
        header=None,
        dtype=str,
        keep_default_na=False,
        skipinitialspace=True,
        encoding="utf-8-sig",
    )
    columns = [[None if pd.isna(v) or not v else v for v in frame[k]] for k in frame]
    return [str(c[0] or "").strip() for c in columns], [c[1:] for c in columns]


def _parquet(path: str) -> tuple[list[str], list[list[str | None]]]:
    import pyarrow.parquet as pq

    with open(path, "rb") as stream:
        table = pq.read_table(stream)
    names = ["" if n.startswith("__index_level_") else n for n in table.column_names]
    columns = [c.to_pylist() for c in table.columns]
    return names, [[_text(v) for v in c] for c in columns]


def _text(value: Any) -> str | None:
    """A cell as text; None if there is nothing in it."""
    nothing = value is None or value == "" or value != value
    return None if nothing else str(value)


def metadata_of(
    columns: Mapping[str, list[str | None]], used: Collection[str], path: str
) -> dict[str, list[str | None]]:
    """The columns that are not ``used``, without CellProfiler's prefix.

    Raises
    ------
    UserError
        Two have one name, or a name cannot stand in the results.
    """
    found: dict[str, list[str | None]] = {}
    for name, column in columns.items():
        if name in used:
            continue
        short = name.removeprefix("Metadata_")
        if short in found:
            raise UserError(f"{shown(path)} has columns {short} and Metadata_{short}: rename one")
        found[short] = column
    refuse_columns(found, f"{shown(path)}: a column")
    return found


def columns_of(
    values: dict[str, list[str | None]],
) -> tuple[dict[str, Categorical], dict[str, NDArray[Any]]]:
    """Columns of text as categoricals, columns of numbers as numbers."""
    texts: dict[str, Categorical] = {}
    numbers: dict[str, NDArray[Any]] = {}
    for name, column in values.items():
        as_numbers = _numbers(column)
        if as_numbers is None:
            texts[name] = factorize(column)
        else:
            numbers[name] = as_numbers
    return texts, numbers


def _numbers(column: list[str | None]) -> NDArray[Any] | None:
    """A column's numbers; None if it holds text, such as 01, that a number would not keep."""
    given = [v for v in column if v is not None]
    if not given or not all(map(_NUMBER.fullmatch, given)):
        return None
    whole = [int(v) for v in given if WHOLE_NUMBER.fullmatch(v)]
    if len(whole) == len(column) and all(abs(v) < 2**63 for v in whole):
        return np.array(whole, np.int64)
    if any(abs(v) > 2**53 for v in whole):
        return None
    return np.array([np.nan if v is None else float(v) for v in column], np.float64)
