"""The whole table as CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import h5py

from scip_mpi.export.files import fresh
from scip_mpi.results import parquet


def write_csv(
    file: h5py.File,
    sets: Sequence[str],
    path: Path,
    overwrite: bool,
    tell: Callable[[int], None],
) -> None:
    """Write a row per cell, with the columns and names of the Parquet export.

    Missing values are empty. Numbers have as many digits as it takes to tell them from their
    neighbours.

    Parameters
    ----------
    file : h5py.File
        The table.
    sets : sequence of str
        Its mask sets; an empty name for whole images.
    path : Path
    overwrite : bool
    tell : callable
        Called with the number of rows written since the last call.
    """
    import pyarrow.csv

    chosen, count = parquet.columns(file, sets), len(file["X"])
    with (
        fresh(path, overwrite) as partial,
        pyarrow.csv.CSVWriter(partial, chosen.schema) as writer,
    ):
        for lo in range(0, count, parquet.BLOCK):
            part = slice(lo, min(lo + parquet.BLOCK, count))
            writer.write_table(parquet.rows(file, chosen, part))
            tell(part.stop - part.start)
