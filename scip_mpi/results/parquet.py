"""The table as Parquet, from the finished HDF5 file: the same float32 values, SCIP's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scip_mpi.columns import prefix
from scip_mpi.registry import OBS_WORDS

# Rows held at once, and of a row group: few enough for memory not to grow with the table.
BLOCK = 2000
# Rows of a file. What is told of each column of each block stays in memory until it is closed.
PART = 5 * BLOCK
# The first column.
FIRST = "obs_name"


def export(table: Path, folder: Path, sets: Sequence[str] = ()) -> None:
    """Write ``FOLDER/part-*.parquet``: features as they are, columns of obs with ``meta_``.

    Their names sort as their rows do.

    Parameters
    ----------
    table : Path
        The finished HDF5 file.
    folder : Path
        Made if it is not there.
    sets : sequence of str
        Names of the mask sets: as in SCIP, the regions and bounding box of each stand before its
        features. An empty name is that of whole images.
    """
    import pyarrow as pa

    with h5py.File(table) as file:
        X, obs = file["X"], file["obs"]
        names = file["var/_index"].asstr()[()].tolist()
        meta = list(obs.attrs["column-order"])
        types = {f"meta_{name}": column_type(pa, obs[name]) for name in meta}
        types |= dict.fromkeys(names, pa.float32())
        order = scip_order(meta, names, sets)
        schema = pa.schema([(FIRST, pa.string()), *((n, types[n]) for n in order)])
        place = {name: j for j, name in enumerate(names)}

        def block(part: slice) -> list[Any]:
            values = np.asfortranarray(X[part])
            columns = [pa.array(obs["_index"].asstr()[part])]
            for name in order:
                if name in place:
                    columns.append(pa.array(values[:, place[name]]))
                else:
                    columns.append(column_of(pa, obs[name.removeprefix("meta_")], part))
            return columns

        write_parts(folder, len(X), schema, block)


def write_parts(
    folder: Path, rows: int, schema: Any, block: Callable[[slice], Sequence[Any]]
) -> None:
    """Write a table block by block, into files of so many rows; an empty one into one file.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    rows : int
        Of the table.
    schema : pyarrow.Schema
    block : callable
        Gives the columns of some rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    texts = [field.name for field in schema if field.type == pa.string()]
    for first in range(0, max(rows, 1), PART):
        # Features do not repeat.
        with pq.ParquetWriter(
            folder / f"part-{first // PART:06d}.parquet", schema, use_dictionary=texts,
            write_statistics=False,
        ) as writer:  # fmt: skip
            for lo in range(first, min(first + PART, rows), BLOCK):
                columns = block(slice(lo, min(lo + BLOCK, rows)))
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def has_own_names(part: Path) -> bool:
    """Whether a file is of a table that `export` wrote."""
    import pyarrow.parquet as pq

    return bool(pq.read_schema(part).names[0] == FIRST)


def scip_order(meta: Sequence[str], names: Sequence[str], sets: Sequence[str]) -> list[str]:
    """Columns in SCIP's order: metadata, then what belongs to each mask set, then ``raw``."""
    ahead: dict[str, list[str]] = {s: [] for s in sets}
    general: list[str] = []
    for name in meta:
        of = [s for s in sets if name.startswith(tuple(f"{prefix(s)}{w}_" for w in OBS_WORDS))]
        (ahead[of[0]] if of else general).append(f"meta_{name}")
    starts = {f"feat_{prefix(s)}": s for s in sets if s}
    order = general + ahead.get("", [])
    for s in sets:
        if s:
            order += ahead[s] + [n for n in names if n.startswith(f"feat_{s}_")]
    return order + [n for n in names if not n.startswith(tuple(starts))]


def column_type(pa: Any, node: Any) -> Any:
    """The type of a column of obs."""
    if isinstance(node, h5py.Group):
        return pa.string()
    return pa.from_numpy_dtype(node.dtype)


def column_of(pa: Any, node: Any, part: slice) -> Any:
    """Some rows of a column of obs."""
    if not isinstance(node, h5py.Group):
        return pa.array(node[part])
    codes = node["codes"][part].astype(np.int64)
    present = codes >= 0
    if not present.any():
        return pa.nulls(len(codes), pa.string())
    # Images are categories in the order of the rows: a block of rows needs a small part of them,
    # and reading all of them for each block would cost the square of the images.
    least, most = int(codes[present].min()), int(codes[present].max())
    categories = pa.array(node["categories"].asstr()[least : most + 1], pa.string())
    return categories.take(pa.array(codes - least, mask=~present))
