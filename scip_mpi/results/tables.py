"""The tables beside the table: images, discarded cells, failures."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scip_mpi.results.writers import canonical


def write_parquet(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns of arrays, or of lists of text, as one Parquet file; empty ones keep their type."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray):
            arrays[name] = pa.array(canonical(values))
        else:
            arrays[name] = pa.array(list(map(printable, values)), pa.string())
    pq.write_table(pa.table(arrays), path)


def write_failures(path: Path, rows: Sequence[tuple[str, str, str]]) -> None:
    """Image, stage and error of every image that could not be processed, as CSV."""
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(["image", "stage", "error"])
        writer.writerows([printable(text) for text in row] for row in rows)


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows with the same keys each, as CSV with a header."""
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({k: printable(v) if isinstance(v, str) else v for k, v in row.items()})


def printable(text: str) -> str:
    """Text that UTF-8 holds: bytes of file names that are none are written as escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
