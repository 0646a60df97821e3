"""The table as an HDF5 file in AnnData's layout, made at its exact size before its first row."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi import disk
from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.checkpoint.spans import Spans
from scip_mpi.loaders.numerals import spelled
from scip_mpi.loaders.texts import Texts, printable
from scip_mpi.results.strings import write_texts
from scip_mpi.results.writers import DatasetLayout, canonical

# Large datasets start at a page of the file system.
PAGE = 4096
# Columns of var that are known when all rows are written.
SEEN = {"n_nan": np.int64, "constant": np.bool_}
TEXT = h5py.string_dtype("utf-8")


@dataclass(frozen=True)
class TableSpec:
    """Everything about the table but its rows.

    Attributes
    ----------
    n_rows : int
    categoricals : dict of str to sequence of str, or int
        Columns of obs that are codes, and their categories; or how many there will be, where these
        come with the rows.
    noted : dict of str to type
        Numeric columns of obs that come with the rows, by `write_rows`.
    filled : dict of str to type
        Numeric columns of obs that the ranks fill, as X.
    var_names : sequence of str
    var : dict of str to sequence of str
        Columns of var.
    uns : dict of str to str
        Texts, for uns/scip_mpi.
    """

    n_rows: int
    categoricals: Mapping[str, Sequence[str] | int]
    noted: Mapping[str, type | np.dtype[Any]]
    filled: Mapping[str, type]
    var_names: Sequence[str]
    var: Mapping[str, Sequence[str]]
    uns: Mapping[str, str]


@dataclass(frozen=True)
class ObsRows:
    """Rows of obs from ``start`` on, as far as they are not the ranks' to fill.

    Attributes
    ----------
    start : int
    image, label : ndarray of int64, shape (n,)
        obs_names are ``<image>_<label>``.
    codes : dict of str to ndarray
        Of the categoricals; -1 is missing.
    noted : dict of str to ndarray
    spatial : ndarray of float64, shape (n, 2)
        obsm/spatial.
    """

    start: int
    image: Int64Array
    label: Int64Array
    codes: Mapping[str, NDArray[Any]]
    noted: Mapping[str, NDArray[Any]]
    spatial: FloatArray


def create_table(path: Path, spec: TableSpec) -> dict[str, DatasetLayout]:
    """Create the file with everything but its rows, and close it.

    Returns
    -------
    dict of str to DatasetLayout
        Where in the file each dataset lies that the ranks fill: ``X`` and ``obs/<column>``.
    """
    layout: dict[str, DatasetLayout] = {}
    with h5py.File(
        path, "w", libver="v110", alignment_threshold=PAGE, alignment_interval=PAGE
    ) as file:
        encode(file, "anndata", "0.1.0")
        layout["X"] = reserve(file, "X", (spec.n_rows, len(spec.var_names)), np.float32)
        obs = frame(file, "obs", [*spec.categoricals, *spec.noted, *spec.filled])
        encode(obs.create_dataset("_index", (spec.n_rows,), TEXT), "string-array", "0.2.0")
        for name, categories in spec.categoricals.items():
            empty_categorical(obs, name, spec.n_rows, categories)
        for name, dtype in spec.noted.items():
            reserve(obs, name, (spec.n_rows,), dtype)
        for name, dtype in spec.filled.items():
            layout[f"obs/{name}"] = reserve(obs, name, (spec.n_rows,), dtype)
        var = frame(file, "var", [*spec.var, *SEEN])
        _strings(var, "_index", spec.var_names)
        for name, texts in spec.var.items():
            codes, categories = _codes(texts)
            empty_categorical(var, name, len(texts), categories)[...] = codes
        for name, dtype in SEEN.items():
            encode(var.create_dataset(name, (len(spec.var_names),), dtype), "array", "0.2.0")
        for name in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
            encode(file.create_group(name), "dict", "0.1.0")
        reserve(file["obsm"], "spatial", (spec.n_rows, 2), np.float64)
        write_uns(file, spec.uns)
    return layout


def renew(partial: Path, fresh: Path, layout: Mapping[str, DatasetLayout]) -> None:
    """Give a table whose writing was broken off the form of a new one; its rows stay.

    HDF5 may have been in the middle of anything when its process ended. So all but the datasets
    that the ranks fill becomes what it is in the new file, which is removed then.

    Parameters
    ----------
    partial, fresh : Path
        The table, and the new file, of the same layout.
    layout : mapping of str to DatasetLayout
        As `create_table` returns it.
    """
    kept = [(d.place(0), d.place(d.shape[0])) for d in layout.values() if d.offset >= 0]
    source, target = os.open(fresh, os.O_RDONLY), os.open(partial, os.O_RDWR)
    try:
        end = os.fstat(source).st_size
        for start, stop in Spans(kept).outside(0, end):
            disk.copy(source, target, start, stop)
        os.ftruncate(target, end)
    finally:
        os.close(source)
        os.close(target)
    fresh.unlink()


def write_uns(file: h5py.File, texts: Mapping[str, str]) -> None:
    """Texts under uns/scip_mpi, by which a table is known as ours."""
    uns = file["uns"].create_group("scip_mpi")
    encode(uns, "dict", "0.1.0")
    for name, text in texts.items():
        encode(uns.create_dataset(name, data=text, dtype=TEXT), "string", "0.2.0")


def write_rows(file: h5py.File, rows: ObsRows) -> None:
    """Write rows of obs. Ranks may fill their datasets of the same file meanwhile."""
    obs, part = file["obs"], slice(rows.start, rows.start + len(rows.image))
    write_texts(obs["_index"], rows.start, spelled(rows.image, "_", rows.label))
    for name, codes in rows.codes.items():
        obs[name]["codes"][part] = codes
    for name, values in rows.noted.items():
        obs[name][part] = canonical(np.asarray(values))
    file["obsm"]["spatial"][part] = canonical(rows.spatial)


def write_categories(file: h5py.File, column: str, start: int, texts: Sequence[str]) -> None:
    """Write categories of a column of obs whose number alone was known."""
    write_texts(file["obs"][column]["categories"], start, Texts.of(texts))


def complete(path: Path, seen: Mapping[str, NDArray[Any]]) -> None:
    """Fill in the columns of var that only the finished rows tell, before the table is published.

    Parameters
    ----------
    path : Path
        The file, which no rank has open any more.
    seen : mapping of str to ndarray, shape (columns,)
        All of `SEEN`.
    """
    with h5py.File(path, "r+") as file:
        for name in SEEN:
            file["var"][name][...] = seen[name]


def encode(node: Any, kind: str, version: str) -> None:
    """Say what a group or dataset is, in AnnData's terms."""
    node.attrs["encoding-type"] = kind
    node.attrs["encoding-version"] = version


def frame(file: h5py.File, name: str, columns: list[str]) -> h5py.Group:
    """A group that will hold a table's columns, which are named in order."""
    group = file.create_group(name)
    encode(group, "dataframe", "0.2.0")
    group.attrs["_index"] = "_index"
    group.attrs.create("column-order", np.array(columns, object), dtype=TEXT)
    return group


def _strings(group: h5py.Group, name: str, texts: Sequence[str]) -> None:
    data = np.array([printable(t) for t in texts], object)
    encode(group.create_dataset(name, data=data, dtype=TEXT), "string-array", "0.2.0")


def empty_categorical(
    group: h5py.Group, name: str, rows: int, categories: Sequence[str] | int
) -> h5py.Dataset:
    """A column of text whose codes, into the categories, are still to be filled in.

    Its categories too, where only their number is given.
    """
    node = group.create_group(name)
    encode(node, "categorical", "0.2.0")
    node.attrs["ordered"] = False
    count = categories if isinstance(categories, int) else len(categories)
    reserve(node, "codes", (rows,), np.int8 if count < 128 else np.int32)
    if isinstance(categories, int):
        encode(node.create_dataset("categories", (count,), TEXT), "string-array", "0.2.0")
    else:
        _strings(node, "categories", categories)
    return node["codes"]


def _codes(texts: Sequence[str]) -> tuple[NDArray[Any], list[str]]:
    categories, codes = np.unique(np.array(texts, object).astype(str), return_inverse=True)
    return codes, categories.tolist()


def reserve(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: type | np.dtype[Any]
) -> DatasetLayout:
    """A contiguous dataset whose place in the file is fixed now, and that nothing fills twice."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.CONTIGUOUS)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    # NumPy's own bool becomes the enumeration that h5py and anndata read back as bool.
    kind = h5py.h5t.py_create(np.dtype(dtype), logical=True)
    space = h5py.h5s.create_simple(shape)
    dataset = h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space, plist))
    encode(dataset, "array", "0.2.0")
    # An empty dataset has no place in the file.
    offset = dataset.id.get_offset()
    return DatasetLayout(dataset.name.lstrip("/"), -1 if offset is None else offset,
                         np.dtype(dtype).str, shape)  # fmt: skip
