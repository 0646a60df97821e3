"""The table as Parquet, from the finished HDF5 file: the same float32 values, SCIP's names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scip_mpi.columns import prefix
from scip_mpi.registry import OBS_WORDS
from scip_mpi.results.tables import arrow_column

# Rows held at once, and of a row group: few enough for memory not to grow with the table.
BLOCK = 2000
# Bytes of a file's columns, about: so many files are written at the same time as there are cores
# to spare.
PART = 128 << 20
# A thread holds a block twice; more of them only wait for Python's lock.
THREADS = 16
# The first column.
FIRST = "obs_name"


@dataclass(frozen=True)
class Columns:
    """Columns of a table beside each other: ``obs_name``, those of obs with ``meta_``, features.

    Attributes
    ----------
    order : list of str
        All but the first.
    schema : pyarrow.Schema
    place : dict of str to int
        Which column of X a feature is.
    """

    order: list[str]
    schema: Any
    place: dict[str, int]


def columns(file: h5py.File, sets: Sequence[str] = ()) -> Columns:
    """The columns of a table in SCIP's order; ``sets`` as for `export`."""
    import pyarrow as pa

    obs = file["obs"]
    names = file["var/_index"].asstr()[()].tolist()
    meta = list(obs.attrs["column-order"])
    types = {f"meta_{name}": column_type(pa, obs[name]) for name in meta}
    types |= dict.fromkeys(names, pa.float32())
    order = scip_order(meta, names, sets)
    schema = pa.schema([(FIRST, pa.string()), *((n, types[n]) for n in order)])
    return Columns(order, schema, {name: j for j, name in enumerate(names)})


def rows(file: h5py.File, chosen: Columns, part: slice) -> Any:
    """A block of rows as an Arrow table."""
    import pyarrow as pa

    obs = file["obs"]
    block = np.asfortranarray(file["X"][part])
    arrays = [arrow_column(obs["_index"].asstr()[part].tolist())]
    for name in chosen.order:
        if name in chosen.place:
            arrays.append(arrow_column(block[:, chosen.place[name]]))
        else:
            arrays.append(column_of(pa, obs[name.removeprefix("meta_")], part))
    return pa.Table.from_arrays(arrays, schema=chosen.schema)


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
    with h5py.File(table) as file:
        chosen = columns(file, sets)
        write_parts(
            folder, len(file["X"]), chosen.schema, lambda part: rows(file, chosen, part), threads
        )


def write_parts(
    folder: Path, count: int, schema: Any, block: Callable[[slice], Any], threads: int = 1
) -> None:
    """Write a table block by block, into files of some `PART` bytes; an empty one into one file.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    count : int
        Rows of the table.
    schema : pyarrow.Schema
    block : callable
        Gives some rows as an Arrow table.
    threads : int
        Files written at the same time, at most.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    # Features do not repeat.
    texts = [field.name for field in schema if field.type == pa.string()]
    each = BLOCK * max(1, PART // (BLOCK * np.dtype(np.float32).itemsize * len(schema)))

    def write(k: int) -> None:
        path = folder / f"part-{k:06d}.parquet"
        with pq.ParquetWriter(path, schema, use_dictionary=texts, write_statistics=False) as writer:
            last = min((k + 1) * each, count)
            for lo in range(k * each, last, BLOCK):
                writer.write_table(block(slice(lo, min(lo + BLOCK, last))))

    with ThreadPoolExecutor(min(threads, THREADS)) as pool:
        for done in [pool.submit(write, k) for k in range(max(1, -(-count // each)))]:
            done.result()


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
