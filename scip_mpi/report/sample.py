"""Rows of a finished table drawn at random: all that the report shows of cells is of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, Int64Array

# Rows looked at, and bytes of X that are read for them at most.
ROWS = 20_000
BYTES = 1 << 29
# Columns of var that say what a column of X is.
FACTS = ("feature", "family", "mask_set", "channel", "unit", "definition")


@dataclass(frozen=True)
class Columns:
    """What the columns of X are: an array of texts, a value per column, for each of `FACTS`."""

    names: NDArray[Any]
    facts: dict[str, NDArray[Any]]
    n_nan: Int64Array
    constant: BoolArray

    def find(self, feature: str, mask_set: str) -> int | None:
        """The column of a feature in a mask set, if there is one."""
        there = (self.facts["feature"] == feature) & (self.facts["mask_set"] == mask_set)
        found = np.flatnonzero(there)
        return int(found[0]) if len(found) else None


@dataclass(frozen=True)
class Sample:
    """Rows of a table.

    Attributes
    ----------
    total : int
        Rows of the table.
    rows : ndarray of int64, shape (n,)
        Which of them these are, in ascending order.
    names : list of str
        Their obs_names.
    X : dict of int to ndarray of float32, shape (n,)
        The columns that were asked for.
    numbers : dict of str to ndarray
        Numeric columns of obs.
    texts : dict of str to (codes, categories)
        Columns of text of obs; the categories are those that occur, -1 is missing.
    columns : Columns
    """

    total: int
    rows: Int64Array
    names: list[str]
    X: dict[int, NDArray[np.float32]]
    numbers: dict[str, NDArray[Any]]
    texts: dict[str, tuple[Int64Array, list[str]]]
    columns: Columns

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def cells(self) -> Int64Array:
        """Image, by its place in the catalog, and label of each: names end in ``<image>_<label>``.

        Shape (n, 2).
        """
        parts = [name.split("_")[-2:] for name in self.names]
        return np.array(parts, np.int64).reshape(-1, 2)

    def text(self, name: str, row: int) -> str:
        """A value of a column of text."""
        codes, categories = self.texts[name]
        return categories[codes[row]] if codes[row] >= 0 else ""


def read_columns(file: h5py.File) -> Columns:
    """What stands in var."""
    var = file["var"]
    names = np.array(var["_index"].asstr()[()].tolist(), object)
    facts = {}
    for name in FACTS:
        node = var[name]
        facts[name] = np.array(node["categories"].asstr()[()].tolist(), object)[node["codes"][()]]
    return Columns(names, facts, var["n_nan"][()], var["constant"][()])


def draw(total: int, count: int) -> Int64Array:
    """So many places below ``total`` at random, ascending; the same ones each time."""
    if total <= count:
        return np.arange(total)
    return np.sort(np.random.default_rng(0).choice(total, count, replace=False))


def read_sample(
    table: Path, wanted: Sequence[int], columns: Columns, count: int = ROWS, most: int = BYTES
) -> Sample:
    """Read rows of a finished table.

    Parameters
    ----------
    table : Path
    wanted : sequence of int
        Columns of X.
    columns : Columns
    count : int
        Rows; fewer where those of X are so long that more than ``most`` bytes would be read.
    most : int
    """
    with h5py.File(table, locking=False) as file:
        total, width = file["X"].shape
        rows = draw(total, max(1, min(count, most // (4 * max(width, 1)))))
        obs = file["obs"]
        numbers: dict[str, NDArray[Any]] = {}
        texts: dict[str, tuple[Int64Array, list[str]]] = {}
        for name in obs.attrs["column-order"]:
            node = obs[name]
            if isinstance(node, h5py.Group) and "codes" in node:
                texts[name] = read_texts(node, rows)
            elif isinstance(node, h5py.Dataset) and node.dtype.kind in "iufb":
                numbers[name] = points(node, rows)
        names = [str(name) for name in points(obs["_index"], rows)]
        X = read_x(file["X"], rows, np.asarray(wanted, np.int64))
    held = {int(c): X[:, k] for k, c in enumerate(wanted)}
    return Sample(total, rows, names, held, numbers, texts, columns)


def read_texts(node: h5py.Group, rows: Int64Array) -> tuple[Int64Array, list[str]]:
    """Codes of a column of text, and only the categories that occur: images may be millions."""
    codes = points(node["codes"], rows).astype(np.int64)
    present, placed = np.unique(codes, return_inverse=True)
    missing = int((present < 0).any())
    categories = [str(text) for text in points(node["categories"], present[missing:])]
    return placed - missing, categories


def points(dataset: h5py.Dataset, places: Int64Array) -> NDArray[Any]:
    """Some values of a one-dimensional dataset; of texts, a `str` each."""
    if len(places) == len(dataset):
        found = dataset[()]
    elif not len(places):
        found = np.empty(0, dataset.dtype)
    else:
        # h5py's own lists of places take a time that grows with their square.
        space = dataset.id.get_space()
        space.select_elements(places.reshape(-1, 1))
        found = np.empty(len(places), dataset.dtype)
        dataset.id.read(h5py.h5s.create_simple(found.shape), space, found)
    if h5py.check_string_dtype(dataset.dtype) is not None:
        texts = [v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in found]
        found = np.array([*texts, None], object)[:-1]
    return found


def read_x(X: h5py.Dataset, rows: Int64Array, wanted: Int64Array) -> NDArray[np.float32]:
    """Some columns of some rows of X, in Fortran order; a row at a time is in memory."""
    out = np.empty((len(rows), len(wanted)), np.float32, order="F")
    if not (len(rows) and len(wanted)):
        return out
    offset = X.id.get_offset() if X.chunks is None else None
    if offset is not None:
        # As they stand in the file: h5py takes a tenth of a millisecond for each.
        line = np.empty(X.shape[1], X.dtype)
        with open(X.file.filename, "rb", buffering=0) as file:
            for k, row in enumerate(rows.tolist()):
                file.seek(offset + row * line.nbytes)
                if file.readinto(line.data) != line.nbytes:
                    raise OSError(f"{X.file.filename} ends before row {row} of X")
                out[k] = line[wanted]
        return out
    step = 1 if X.chunks is None else X.chunks[0]
    for block in np.unique(rows // step).tolist():
        lo = block * step
        mine = np.flatnonzero(rows // step == block)
        out[mine] = X[lo : lo + step][rows[mine] - lo][:, wanted]
    return out
