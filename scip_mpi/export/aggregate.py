"""A row per group of cells, a well say: median, mean, MAD and count of each column."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.export.files import fresh
from scip_mpi.export.groups import group_rows

# Values held at once.
VALUES = 1 << 24
STATISTICS = ("median", "mean", "mad", "count")


def write_aggregate(
    file: h5py.File,
    columns: Sequence[str],
    path: Path,
    overwrite: bool,
    tell: Callable[[int], None],
) -> int:
    """Write a CSV of groups: their values, ``cells``, and ``<statistic>_<column>`` of each column.

    Missing and infinite values are left out of all statistics; ``count`` says how many were not. A
    group without any has empty fields. ``mad`` is the median distance from the median, as it is
    (times 1.4826 it estimates a standard deviation).

    Parameters
    ----------
    file : h5py.File
        The table.
    columns : sequence of str
        Columns of obs that make the groups.
    path : Path
    overwrite : bool
    tell : callable
        Called with the number of rows read since the last call.

    Returns
    -------
    int
        Groups.
    """
    groups = group_rows(file, columns)
    names = file["var/_index"].asstr()[()].tolist()
    head = [*columns, "cells", *(f"{s}_{name}" for s in STATISTICS for name in names)]
    with (
        fresh(path, overwrite) as partial,
        partial.open("w", newline="", encoding="utf-8") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(head)
        for k, values in enumerate(groups.values):
            rows = groups.rows(k)
            parts = [statistics(block) for block in blocks(file, rows, len(names))]
            found = np.concatenate(parts, axis=1) if parts else np.empty((len(STATISTICS), 0))
            texts = ["" if np.isnan(v) else repr(float(v)) for v in found[:3].reshape(-1)]
            writer.writerow([*values, len(rows), *texts, *found[3].astype(int).tolist()])
            tell(len(rows))
    return len(groups.values)


def blocks(file: h5py.File, rows: Int64Array, columns: int) -> Iterator[NDArray[np.float32]]:
    """The rows of a group, so many columns at a time as may be held."""
    step = max(1, VALUES // max(len(rows), 1))
    for lo in range(0, columns, step):
        block = np.empty((len(rows), min(step, columns - lo)), np.float32)
        for at, part in runs(rows):
            block[at] = file["X"][part, lo : lo + step]
        yield block


def runs(rows: Int64Array) -> Iterator[tuple[slice, slice]]:
    """Rows that follow each other: where they are among these rows, and in the table."""
    edges = np.flatnonzero(np.diff(rows) != 1) + 1
    for lo, hi in zip([0, *edges.tolist()], [*edges.tolist(), len(rows)], strict=True):
        if hi > lo:
            yield slice(lo, hi), slice(int(rows[lo]), int(rows[hi - 1]) + 1)


def statistics(block: NDArray[np.float32]) -> FloatArray:
    """Median, mean, MAD and count of each column, shape (4, columns)."""
    values = np.where(np.isfinite(block), block, np.nan).astype(np.float64)
    count = (~np.isnan(values)).sum(axis=0)
    middle = _median(values, count)
    total = np.nansum(values, axis=0)
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return np.stack([middle, mean, _median(np.abs(values - middle), count), count])


def _median(values: FloatArray, count: NDArray[Any]) -> FloatArray:
    """Median of the values of each column that are not NaN; NaN of none."""
    if not len(values):
        return np.full(values.shape[1], np.nan)
    # NaN sorts behind all numbers.
    ordered = np.sort(values, axis=0)
    last = np.maximum(count - 1, 0)
    low, high = (
        np.take_along_axis(ordered, k[np.newaxis], axis=0)[0] for k in (last // 2, (last + 1) // 2)
    )
    return (low + high) / 2
