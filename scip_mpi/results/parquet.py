"""The table as Parquet, from the finished HDF5 file: the same float32 values, SCIP's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

# Values of X held at once.
BLOCK_VALUES = 1 << 25


def export(table: Path, folder: Path) -> None:
    """Write ``FOLDER/part-0.parquet``: features as they are, columns of obs with ``meta_``."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with h5py.File(table) as file:
        X, obs = file["X"], file["obs"]
        names = file["var/_index"].asstr()[()].tolist()
        meta = list(obs.attrs["column-order"])
        schema = pa.schema(
            [pa.field("obs_name", pa.string())]
            + [pa.field(f"meta_{name}", _type(pa, obs[name])) for name in meta]
            + [pa.field(name, pa.float32()) for name in names]
        )
        folder.mkdir(exist_ok=True)
        rows = max(1, BLOCK_VALUES // max(len(names), 1))
        with pq.ParquetWriter(folder / "part-0.parquet", schema) as writer:
            for lo in range(0, len(X), rows):
                part = slice(lo, min(lo + rows, len(X)))
                columns = [pa.array(obs["_index"].asstr()[part])]
                columns += [_column(pa, obs[name], part) for name in meta]
                block = np.asfortranarray(X[part])
                columns += [pa.array(block[:, j]) for j in range(len(names))]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _type(pa: Any, node: Any) -> Any:
    if isinstance(node, h5py.Group):
        return pa.string()
    return pa.from_numpy_dtype(node.dtype)


def _column(pa: Any, node: Any, part: slice) -> Any:
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
