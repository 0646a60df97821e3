"""The table as an HDF5 file in AnnData's layout, made at its exact size before its first row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.results.writers import DatasetLayout, canonical

# Rows of names formatted at once.
BLOCK = 100_000
# Large datasets start at a page of the file system.
PAGE = 4096
# Columns of var that are known when all rows are written.
SEEN = {"n_nan": np.int64, "constant": np.bool_}
TEXT = h5py.string_dtype("utf-8")


@dataclass(frozen=True)
class TableSpec:
    """Everything about the table but the rows that the ranks will fill in.

    Attributes
    ----------
    n_rows : int
    names : (image, label), ndarrays of int64, shape (n_rows,)
        obs_names are ``<image>_<label>``.
    categoricals : dict of str to (codes, categories)
        Columns of obs; code -1 is missing.
    known : dict of str to ndarray
        Numeric columns of obs, known already.
    filled : dict of str to type
        Numeric columns of obs that the ranks fill with the rows.
    spatial : ndarray of float64, shape (n_rows, 2)
        obsm/spatial.
    var_names : sequence of str
    var : dict of str to sequence of str
        Columns of var.
    uns : str
        JSON, for uns/scip_mpi/run; ``config`` in it also stands by itself.
    """

    n_rows: int
    names: tuple[Int64Array, Int64Array]
    categoricals: Mapping[str, tuple[NDArray[Any], Sequence[str]]]
    known: Mapping[str, NDArray[Any]]
    filled: Mapping[str, type]
    spatial: FloatArray
    var_names: Sequence[str]
    var: Mapping[str, Sequence[str]]
    uns: Mapping[str, str]


def create_table(path: Path, spec: TableSpec) -> dict[str, DatasetLayout]:
    """Create the file with everything but the ranks' values, and close it.

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
        obs = frame(file, "obs", [*spec.categoricals, *spec.known, *spec.filled])
        _write_names(obs, spec.names)
        for name, (codes, categories) in spec.categoricals.items():
            _categorical(obs, name, codes, categories)
        for name, values in spec.known.items():
            encode(obs.create_dataset(name, data=canonical(np.asarray(values))), "array", "0.2.0")
        for name, dtype in spec.filled.items():
            layout[f"obs/{name}"] = reserve(obs, name, (spec.n_rows,), dtype)
        var = frame(file, "var", [*spec.var, *SEEN])
        _strings(var, "_index", spec.var_names)
        for name, texts in spec.var.items():
            _categorical(var, name, *_codes(texts))
        for name, dtype in SEEN.items():
            encode(var.create_dataset(name, (len(spec.var_names),), dtype), "array", "0.2.0")
        for name in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
            encode(file.create_group(name), "dict", "0.1.0")
        encode(
            file["obsm"].create_dataset("spatial", data=canonical(spec.spatial)), "array", "0.2.0"
        )
        write_uns(file, spec.uns)
    return layout


def write_uns(file: h5py.File, texts: Mapping[str, str]) -> None:
    """Texts under uns/scip_mpi, by which a table is known as ours."""
    uns = file["uns"].create_group("scip_mpi")
    encode(uns, "dict", "0.1.0")
    for name, text in texts.items():
        encode(uns.create_dataset(name, data=text, dtype=TEXT), "string", "0.2.0")


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
    data = np.array([_clean(t) for t in texts], object)
    encode(group.create_dataset(name, data=data, dtype=TEXT), "string-array", "0.2.0")


def _write_names(obs: h5py.Group, names: tuple[Int64Array, Int64Array]) -> None:
    image, label = names
    index = obs.create_dataset("_index", (len(image),), TEXT)
    encode(index, "string-array", "0.2.0")
    for lo in range(0, len(image), BLOCK):
        pairs = zip(image[lo : lo + BLOCK], label[lo : lo + BLOCK], strict=True)
        index[lo : lo + BLOCK] = np.array([f"{i}_{k}" for i, k in pairs], object)


def _categorical(
    group: h5py.Group, name: str, codes: NDArray[Any], categories: Sequence[str]
) -> None:
    empty_categorical(group, name, len(codes), categories)[...] = codes


def empty_categorical(
    group: h5py.Group, name: str, rows: int, categories: Sequence[str]
) -> h5py.Dataset:
    """A column of text whose codes, into the categories, are still to be filled in."""
    node = group.create_group(name)
    encode(node, "categorical", "0.2.0")
    node.attrs["ordered"] = False
    small = np.int8 if len(categories) < 128 else np.int32
    codes = node.create_dataset("codes", (rows,), small)
    encode(codes, "array", "0.2.0")
    _strings(node, "categories", categories)
    return codes


def _codes(texts: Sequence[str]) -> tuple[NDArray[Any], list[str]]:
    categories, codes = np.unique(np.array(texts, object).astype(str), return_inverse=True)
    return codes, categories.tolist()


def reserve(group: h5py.Group, name: str, shape: tuple[int, ...], dtype: type) -> DatasetLayout:
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


def _clean(text: str) -> str:
    """Text that UTF-8 holds: bytes of file names that are none are written as escapes."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
