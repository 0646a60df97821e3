"""Making a table's file whole, as rank 0 does block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import h5py

from scip_mpi.results.h5ad import ObsRows, TableSpec, create_table, write_categories, write_rows
from scip_mpi.results.writers import DatasetLayout


def make_file(
    path: Path, spec: TableSpec, rows: ObsRows, texts: Mapping[str, Sequence[str]], step: int = 3
) -> dict[str, DatasetLayout]:
    """The file with its rows of obs, and the categories whose number alone ``spec`` says."""
    layout = create_table(path, spec)
    with h5py.File(path, "r+") as file:
        for lo in range(0, spec.n_rows, step):
            part = slice(lo, lo + step)
            block = replace(
                rows,
                start=rows.start + lo,
                image=rows.image[part],
                label=rows.label[part],
                codes={name: codes[part] for name, codes in rows.codes.items()},
                noted={name: values[part] for name, values in rows.noted.items()},
                spatial=rows.spatial[part],
            )
            write_rows(file, block)
        for name, categories in texts.items():
            for lo in range(0, len(categories), step):
                write_categories(file, name, lo, categories[lo : lo + step])
    return layout
