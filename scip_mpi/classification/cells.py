"""The labelled cells' columns that a classifier can use, gathered from the table block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array
from scip_mpi.results.hygiene import ColumnCheck

# Values of the table held at once.
BLOCK_VALUES = 1 << 24
Tell = Callable[[int], None]


@dataclass(frozen=True)
class Screened:
    """What was looked at of the columns, over the labelled cells.

    Attributes
    ----------
    kept : ndarray of int64
        Columns of X, ascending.
    constant, missing, duplicate : int
        How many were dropped, and why; a column counts for its first reason.
    """

    kept: Int64Array
    constant: int
    missing: int
    duplicate: int


def blocks(file: h5py.File, rows: Int64Array) -> Iterator[tuple[slice, NDArray[np.float32]]]:
    """Rows of X, a block at a time, with the places in ``rows`` (ascending) that they are for.

    Infinite values are given as missing ones.
    """
    X = file["X"]
    step = max(1, BLOCK_VALUES // max(X.shape[1], 1))
    for lo in range(0, len(X), step):
        place = slice(*np.searchsorted(rows, (lo, lo + step)).tolist())
        if place.start == place.stop:
            continue
        mine = rows[place]
        first = int(mine[0])
        block = X[first : int(mine[-1]) + 1][mine - first]
        block[np.isinf(block)] = np.nan
        yield place, block


def screen(file: h5py.File, rows: Int64Array, most_missing: float, tell: Tell) -> Screened:
    """Find the columns worth learning from: neither constant nor mostly missing nor twice there.

    Two columns count as the same if hashes of 64 bits over all their values are.

    Parameters
    ----------
    file : h5py.File
        The table.
    rows : ndarray of int64
        Ascending.
    most_missing : float
        A column with a larger share of missing values is dropped.
    tell : callable
        Called with the number of rows seen since the last call.
    """
    columns = file["X"].shape[1]
    seen, marks = ColumnCheck(columns), np.zeros(columns, np.uint64)
    for place, block in blocks(file, rows):
        seen.add(block)
        marks += _marks(block, place.start)
        tell(len(block))
    missing = seen.nan > most_missing * len(rows)
    constant = (seen.high <= seen.low) & ~missing
    _, first = np.unique(marks, return_index=True)
    twice = np.ones(columns, bool)
    twice[first] = False
    twice &= ~(missing | constant)
    kept = np.flatnonzero(~(missing | constant | twice))
    return Screened(kept, int(constant.sum()), int(missing.sum()), int(twice.sum()))


def _marks(block: NDArray[np.float32], start: int) -> NDArray[np.uint64]:
    """A hash of each column that can be added up over blocks of rows."""
    number = np.arange(start + 1, start + 1 + len(block), dtype=np.uint64)
    mixed = block.view(np.uint32).astype(np.uint64)
    mixed += (number * np.uint64(0x9E3779B97F4A7C15))[:, None]
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed ^= mixed >> np.uint64(shift)
        mixed *= np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed.sum(axis=0, dtype=np.uint64)


def gather(
    file: h5py.File, rows: Int64Array, columns: Int64Array, most: int, scratch: Path, tell: Tell
) -> NDArray[np.float32]:
    """The chosen rows and columns, in memory up to ``most`` bytes, beyond them in a file.

    Parameters
    ----------
    file : h5py.File
    rows, columns : ndarray of int64
        Ascending.
    most : int
    scratch : Path
        An existing folder.
    tell : callable
    """
    shape = (len(rows), len(columns))
    values: Any
    if 4 * shape[0] * shape[1] <= most:
        values = np.empty(shape, np.float32)
    else:
        values = np.memmap(scratch / "cells", np.float32, "w+", shape=shape)
    for place, block in blocks(file, rows):
        values[place] = block[:, columns]
        tell(len(block))
    return values
