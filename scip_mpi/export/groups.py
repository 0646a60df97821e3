"""Rows of a table by the values of some columns of obs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import h5py
import numpy as np

from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError
from scip_mpi.registry import suggestion


@dataclass(frozen=True)
class Groups:
    """Rows that have the same values.

    Attributes
    ----------
    columns : list of str
        Of obs.
    values : list of tuple of str
        What the rows of each group have in those; ascending. Empty text is a missing value.
    order : ndarray of int64
        All rows, by group and within it ascending.
    bounds : ndarray of int64
        Where in ``order`` each group starts, and the end.
    """

    columns: list[str]
    values: list[tuple[str, ...]]
    order: Int64Array
    bounds: Int64Array

    def rows(self, k: int) -> Int64Array:
        """Rows of a group, ascending."""
        return self.order[self.bounds[k] : self.bounds[k + 1]]


def codes_of(file: h5py.File, name: str) -> tuple[Int64Array, list[str]]:
    """A column of obs as codes into its values, which ascend: texts as texts, numbers as numbers.

    Raises
    ------
    UserError
        There is no such column.
    """
    obs = file["obs"]
    known = list(obs.attrs["column-order"])
    if name not in known:
        raise UserError(
            f"obs has no column {name!r}{suggestion(name, known)}; it has {', '.join(known)}"
        )
    node = obs[name]
    if not isinstance(node, h5py.Group):
        values, codes = np.unique(node[()], return_inverse=True)
        return codes.astype(np.int64), [_number(v) for v in values.tolist()]
    texts = np.append(node["categories"].asstr()[()].astype(object), "")
    used, codes = np.unique(node["codes"][()].astype(np.int64) % len(texts), return_inverse=True)
    order = np.argsort(texts[used].astype(str), kind="stable")
    rank = np.argsort(order, kind="stable")
    return rank[codes], [str(texts[used[k]]) for k in order]


def group_rows(file: h5py.File, columns: Sequence[str]) -> Groups:
    """Rows by the values of one or more columns of obs, the first column being the outermost.

    Raises
    ------
    UserError
        A column is not there.
    """
    rows = len(file["X"])
    code = np.zeros(rows, np.int64)
    found: list[tuple[Int64Array, list[str]]] = []
    for name in columns:
        own, values = codes_of(file, name)
        # Only combinations that occur: the product of many columns' values may be huge.
        pairs, code = np.unique(code * max(len(values), 1) + own, return_inverse=True)
        found.append((pairs, values))
    # A text of each column for each group, from the last column to the first.
    place = np.arange(len(found[-1][0]))
    texts: list[list[str]] = []
    for pairs, values in reversed(found):
        outer, inner = np.divmod(pairs[place], max(len(values), 1))
        texts.insert(0, [values[k] for k in inner.tolist()])
        place = outer
    order = np.argsort(code, kind="stable")
    bounds = np.append(0, np.cumsum(np.bincount(code, minlength=len(found[-1][0]))))
    return Groups(list(columns), list(zip(*texts, strict=True)), order, bounds)


def _number(value: float | int | bool) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
