"""The table as Parquet, from the finished HDF5 file: the same float32 values, SCIP's names."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scip_mpi.columns import prefix
from scip_mpi.registry import OBS_WORDS
from scip_mpi.results.tables import arrow_column

# Rows held at once, and of a row group: few enough for memory not to grow with the table.
BLOCK = 2000
# Bytes of features in a file, about: so many files are written at the same time as there are cores
# to spare.
PART = 128 << 20
# A thread holds a block twice; more of them only wait for Python's lock.
THREADS = 16


def export(table: Path, folder: Path, sets: Sequence[str] = (), threads: int = 1) -> None:
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
    threads : int
        Files written at the same time, at most; they are the same for any number.
    """
    import pyarrow as pa

    with h5py.File(table) as file:
        X, obs = file["X"], file["obs"]
        names = file["var/_index"].asstr()[()].tolist()
        meta = list(obs.attrs["column-order"])
        types = {f"meta_{name}": _type(pa, obs[name]) for name in meta}
        types |= dict.fromkeys(names, pa.float32())
        order = scip_order(meta, names, sets)
        schema = pa.schema([("obs_name", pa.string()), *((n, types[n]) for n in order)])
        folder.mkdir(exist_ok=True)
        rows = BLOCK * max(1, PART // (BLOCK * X.dtype.itemsize * max(1, len(names))))
        parts = [slice(lo, min(lo + rows, len(X))) for lo in range(0, max(len(X), 1), rows)]

        def write(k: int) -> None:
            _write_part(file, parts[k], names, schema, folder / f"part-{k:06d}.parquet")

        with ThreadPoolExecutor(min(threads, THREADS)) as pool:
            for done in [pool.submit(write, k) for k in range(len(parts))]:
                done.result()


def _write_part(
    file: h5py.File, part: slice, names: Sequence[str], schema: Any, path: Path
) -> None:
    """One file: some rows of the table, block by block."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    X, obs = file["X"], file["obs"]
    place = {name: j for j, name in enumerate(names)}
    # Features do not repeat.
    texts = [field.name for field in schema if field.type == pa.string()]
    with pq.ParquetWriter(path, schema, use_dictionary=texts, write_statistics=False) as writer:
        for lo in range(part.start, part.stop, BLOCK):
            rows = slice(lo, min(lo + BLOCK, part.stop))
            block = np.asfortranarray(X[rows])
            columns = [arrow_column(obs["_index"].asstr()[rows].tolist())]
            for name in schema.names[1:]:
                if name in place:
                    columns.append(arrow_column(block[:, place[name]]))
                else:
                    columns.append(_column(pa, obs[name.removeprefix("meta_")], rows))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


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


def _type(pa: Any, node: Any) -> Any:
    if isinstance(node, h5py.Group):
        return pa.string()
    return pa.from_numpy_dtype(node.dtype)


def _column(pa: Any, node: Any, part: slice) -> Any:
    if not isinstance(node, h5py.Group):
        return arrow_column(node[part])
    codes = node["codes"][part].astype(np.int64)
    present = codes >= 0
    if not present.any():
        return pa.nulls(len(codes), pa.string())
    # Images are categories in the order of the rows: a block of rows needs a small part of them,
    # and reading all of them for each block would cost the square of the images.
    least, most = int(codes[present].min()), int(codes[present].max())
    categories = arrow_column(node["categories"].asstr()[least : most + 1].tolist())
    valid = pa.py_buffer(np.packbits(present, bitorder="little"))
    places = [valid, pa.py_buffer(np.maximum(codes - least, 0))]
    return categories.take(pa.Array.from_buffers(pa.int64(), len(codes), places))
