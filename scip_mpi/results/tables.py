"""The tables beside the table: images, discarded cells, failures."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scip_mpi.results.writers import canonical


class ParquetRows:
    """A Parquet file written block by block: columns of arrays, or of lists of text.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.writer: Any = None

    def write(self, columns: Mapping[str, Any]) -> None:
        """Add rows; all blocks have the same columns, and empty ones keep their type."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrays = {}
        for name, values in columns.items():
            if isinstance(values, np.ndarray):
                arrays[name] = pa.array(canonical(values))
            else:
                arrays[name] = pa.array(list(map(printable, values)), pa.string())
        table = pa.table(arrays)
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, table.schema)
        self.writer.write_table(table)

    def close(self) -> None:
        """Finish the file."""
        if self.writer is not None:
            self.writer.close()


def mark(path: Path, column: str, rows: Sequence[int]) -> None:
    """Set a column of truth values of a finished Parquet file to true in some rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    changed, start = path.with_suffix(".changed"), 0
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        k = schema.get_field_index(column)
        with pq.ParquetWriter(changed, schema) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group)
                values = table[column].to_numpy(zero_copy_only=False).copy()
                inside = np.asarray(rows, np.int64) - start
                values[inside[(inside >= 0) & (inside < len(values))]] = True
                writer.write_table(table.set_column(k, schema.field(k), pa.array(values)))
                start += len(values)
    os.replace(changed, path)


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
