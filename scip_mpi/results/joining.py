"""Tables of several runs joined, one below the other, in blocks of rows.

All of a finished table but its rows is the same in each: columns, types and layout. So the joined
table is made from what stands in the files, not from what a run once knew.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError
from scip_mpi.results.h5ad import (
    PAGE,
    SEEN,
    TEXT,
    empty_categorical,
    encode,
    frame,
    reserve,
    write_uns,
)
from scip_mpi.results.hygiene import ColumnCheck

# The column that says which run a row is from.
SOURCE = "source"
# Values held at once, and rows of columns.
BLOCK_VALUES = 1 << 23
BLOCK_ROWS = 100_000

Tell = Callable[[int], None]


def first_difference(first: h5py.File, other: h5py.File) -> str | None:
    """The first column in which two tables differ, in words; None if their columns are the same."""
    for columns, where in ((_features, "X"), (_metadata, "obs")):
        mine, yours = columns(first), columns(other)
        for k, pair in enumerate(zip_longest(mine, yours, fillvalue="no column")):
            if pair[0] != pair[1]:
                return f"column {k} of {where} is {pair[0]} there and {pair[1]} here"
    names = _features(first)
    for kind in first["var"].attrs["column-order"]:
        if kind in SEEN:
            continue
        mine, yours = _texts(first["var"][kind]), _texts(other["var"][kind])
        for name, a, b in zip(names, mine, yours, strict=True):
            if a != b:
                return f"the {kind} of column {name} is {a!r} there and {b!r} here"
    return None


def join_tables(
    tables: Sequence[Path], sources: Sequence[str], target: Path, uns: dict[str, str], tell: Tell
) -> int:
    """Write the tables' rows into one file, in the order given.

    Parameters
    ----------
    tables : sequence of Path
        Finished tables with the same columns.
    sources : sequence of str
        What the column `SOURCE` of obs calls each.
    target : Path
        The new file. ``obs_names`` get the place of their table in front: ``<k>_<name>``.
    uns : dict of str to str
        Texts for uns/scip_mpi.
    tell : callable
        Called with the number of rows written since the last call.

    Returns
    -------
    int
        Rows of the joined table.
    """
    starts, texts = _survey(tables)
    with h5py.File(
        target, "w", libver="v110", alignment_threshold=PAGE, alignment_interval=PAGE
    ) as out:
        with h5py.File(tables[0], locking=False) as first:
            _lay_out(out, first, starts[-1], texts | {SOURCE: _arrow(sources)})
        write_uns(out, uns)
        seen = ColumnCheck(out["X"].shape[1])
        for k, table in enumerate(tables):
            with h5py.File(table, locking=False) as own:
                _copy_x(own, out, starts[k], seen, tell)
                _copy_beside(own, out, starts[k], k, texts)
        for name, values in zip(SEEN, seen.over_all(_same, _same), strict=True):
            out["var"][name][...] = values
    return starts[-1]


def join_parquet(files: Sequence[Path], sources: Sequence[str], target: Path) -> None:
    """The rows of Parquet files of the same columns, with `SOURCE` as the first column.

    Raises
    ------
    UserError
        The columns of a file are not those of the first.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pq.read_schema(files[0])
    joined = pa.schema([(SOURCE, pa.string()), *((f.name, f.type) for f in schema)])
    with pq.ParquetWriter(target, joined) as writer:
        for path, source in zip(files, sources, strict=True):
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(schema):
                    names = set(file.schema_arrow.names) ^ set(schema.names)
                    raise UserError(f"{path} has other columns than {files[0]}: {sorted(names)}")
                for batch in file.iter_batches(BLOCK_ROWS):
                    here = pa.array([source] * len(batch), pa.string())
                    writer.write_batch(
                        pa.RecordBatch.from_arrays([here, *batch.columns], schema=joined)
                    )


def join_csv(files: Sequence[Path], sources: Sequence[str], target: Path) -> None:
    """The rows of CSV files of the same columns, with `SOURCE` as the last column.

    Raises
    ------
    UserError
        The header of a file is not that of the first.
    """
    with target.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        head: list[str] | None = None
        for path, source in zip(files, sources, strict=True):
            with path.open(newline="", encoding="utf-8") as own:
                rows = csv.reader(own)
                header = next(rows, [])
                if head is None:
                    head = header
                    writer.writerow([*head, SOURCE])
                elif header != head:
                    raise UserError(f"{path} has other columns than {files[0]}")
                writer.writerows([*row, source] for row in rows)


def _features(file: h5py.File) -> list[str]:
    names: list[str] = file["var/_index"].asstr()[()].tolist()
    return names


def _metadata(file: h5py.File) -> list[str]:
    """Columns of obs, each with its kind."""
    obs = file["obs"]
    kinds = {n: "text" if isinstance(obs[n], h5py.Group) else obs[n].dtype for n in obs}
    return [f"{name} ({kinds[name]})" for name in obs.attrs["column-order"]]


def _texts(node: h5py.Group) -> list[str]:
    """A column of text of var."""
    texts: list[str] = node["categories"].asstr()[()][node["codes"][()]].tolist()
    return texts


def _arrow(texts: Any) -> Any:
    """Texts as Arrow holds them, without an object for each: images may be as many as the rows."""
    import pyarrow as pa

    return pa.array(texts, pa.string())


def _survey(tables: Sequence[Path]) -> tuple[list[int], dict[str, Any]]:
    """Where each table's rows start, and the end; the categories that any has, of each column.

    A category that several tables have is one category; new ones come behind the others.
    """
    import pyarrow as pa

    starts, texts = [0], dict[str, Any]()
    for path in tables:
        with h5py.File(path, locking=False) as file:
            starts.append(starts[-1] + len(file["X"]))
            for name, node in file["obs"].items():
                if isinstance(node, h5py.Group):
                    own = _arrow(node["categories"].asstr()[()])
                    both = [texts[name], own] if name in texts else [own]
                    texts[name] = pa.chunked_array(both, pa.string()).unique()
    return starts, texts


def _lay_out(out: h5py.File, first: h5py.File, rows: int, texts: dict[str, Any]) -> None:
    """Everything but the rows, like the first table but longer."""
    encode(out, "anndata", "0.1.0")
    reserve(out, "X", (rows, first["X"].shape[1]), np.float32)
    obs = frame(out, "obs", [*first["obs"].attrs["column-order"], SOURCE])
    encode(obs.create_dataset("_index", (rows,), TEXT), "string-array", "0.2.0")
    for name in obs.attrs["column-order"]:
        if name in texts:
            empty_categorical(obs, name, rows, texts[name].to_pylist())
        else:
            reserve(obs, name, (rows,), first["obs"][name].dtype)
    first.copy("var", out)
    for name in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
        encode(out.create_group(name), "dict", "0.1.0")
    for name, node in first["obsm"].items():
        reserve(out["obsm"], name, (rows, *node.shape[1:]), node.dtype)


def _copy_x(own: h5py.File, out: h5py.File, start: int, seen: ColumnCheck, tell: Tell) -> None:
    rows, columns = own["X"].shape
    for part, place in _blocks(rows, max(1, BLOCK_VALUES // max(columns, 1)), start):
        block = own["X"][part]
        out["X"][place] = block
        seen.add(block)
        tell(len(block))


def _copy_beside(own: h5py.File, out: h5py.File, start: int, k: int, texts: dict[str, Any]) -> None:
    """The rows of obs and obsm of table ``k``."""
    import pyarrow.compute as pc

    obs, joined = own["obs"], out["obs"]
    # Code -1, a missing value, takes the last place, which is -1 again.
    places = {
        name: np.append(pc.index_in(_arrow(obs[name]["categories"].asstr()[()]), union), -1)
        for name, union in texts.items()
    }
    names = obs["_index"].asstr()
    for part, place in _blocks(len(own["X"]), BLOCK_ROWS, start):
        joined["_index"][place] = np.array([f"{k}_{name}" for name in names[part]], object)
        for name in obs.attrs["column-order"]:
            if name in texts:
                joined[name]["codes"][place] = places[name][obs[name]["codes"][part]]
            else:
                joined[name][place] = obs[name][part]
        joined[SOURCE]["codes"][place] = k
        for name, node in own["obsm"].items():
            out["obsm"][name][place] = node[part]


def _blocks(rows: int, size: int, start: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of a table's rows: where they are in it, and in the joined table."""
    for lo in range(0, rows, size):
        hi = min(lo + size, rows)
        yield slice(lo, hi), slice(start + lo, start + hi)


def _same(values: Int64Array) -> Int64Array:
    return values
