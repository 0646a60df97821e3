"""The tables beside the table: images, discarded cells, failures."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.loaders.texts import Texts, printable

# Values that Parquet is handed at once.
BATCH = 1 << 16


class ParquetRows:
    """A Parquet file written block by block: columns of arrays, or of texts.

    Parameters
    ----------
    path : Path
    repeated : sequence of str
        Columns of texts that stand in many rows.
    """

    def __init__(self, path: Path, repeated: Sequence[str] = ()) -> None:
        self.path = path
        self.repeated = list(repeated)
        self.writer: Any = None

    def write(self, columns: Mapping[str, Any]) -> None:
        """Add rows; all blocks have the same columns, and empty ones keep their type.

        Floats are written as they are: `scip_mpi.results.writers.canonical` comes before.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        arrays = [arrow_column(values) for values in columns.values()]
        if self.writer is None:
            kinds = zip(columns, arrays, strict=True)
            schema = pa.schema([pa.field(name, a.type, nullable=False) for name, a in kinds])
            # Measured values do not repeat: to look for what does, and for the largest of each
            # block, costs four times as much as to write them.
            self.writer = pq.ParquetWriter(
                self.path,
                schema,
                use_dictionary=self.repeated,
                write_statistics=False,
                write_batch_size=BATCH,
            )
        self.writer.write_table(pa.Table.from_arrays(arrays, schema=self.writer.schema))

    def close(self) -> None:
        """Finish the file."""
        if self.writer is not None:
            self.writer.close()


def arrow_column(values: NDArray[Any] | Sequence[str]) -> Any:
    """A column for Arrow, from its buffers: ``pa.array`` would first load pandas."""
    import pyarrow as pa

    if not isinstance(values, np.ndarray):
        texts = Texts.of(values).printable()
        edges = np.zeros(len(texts) + 1, np.int32)
        edges[1:] = texts.ends
        return pa.StringArray.from_buffers(
            len(texts), pa.py_buffer(edges), pa.py_buffer(texts.blob)
        )
    kind = pa.from_numpy_dtype(values.dtype)
    if values.dtype == np.bool_:
        held = np.packbits(values, bitorder="little")
    else:
        held = np.ascontiguousarray(values)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(held)])


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
