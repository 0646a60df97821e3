"""The table as Parquet, from the finished HDF5 file: the same float32 values, SCIP's names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
    types = {f"meta_{name}": _type(pa, obs[name]) for name in meta}
    types |= dict.fromkeys(names, pa.float32())
    order = scip_order(meta, names, sets)
    schema = pa.schema([("obs_name", pa.string()), *((n, types[n]) for n in order)])
    return Columns(order, schema, {name: j for j, name in enumerate(names)})


def rows(file: h5py.File, chosen: Columns, part: slice) -> Any:
    """A block of rows as an Arrow table."""
    import pyarrow as pa

    obs = file["obs"]
    block = np.asfortranarray(file["X"][part])
    arrays = [pa.array(obs["_index"].asstr()[part])]
    for name in chosen.order:
        if name in chosen.place:
            arrays.append(pa.array(block[:, chosen.place[name]]))
        else:
            arrays.append(_column(pa, obs[name.removeprefix("meta_")], part))
    return pa.Table.from_arrays(arrays, schema=chosen.schema)


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
    import pyarrow.parquet as pq

    with h5py.File(table) as file:
        chosen, count = columns(file, sets), len(file["X"])
        folder.mkdir(exist_ok=True)
        texts = [field.name for field in chosen.schema if field.type == pa.string()]
        for first in range(0, max(count, 1), PART):
            # Features do not repeat.
            with pq.ParquetWriter(
                folder / f"part-{first // PART:06d}.parquet", chosen.schema, use_dictionary=texts,
                write_statistics=False,
            ) as writer:  # fmt: skip
                for lo in range(first, min(first + PART, count), BLOCK):
                    part = slice(lo, min(lo + BLOCK, count))
                    writer.write_table(rows(file, chosen, part))


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
