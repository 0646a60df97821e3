"""What rank 0 writes down of all images and objects, block by block: obs and the tables beside it.

The values of X and what comes with them are not among it: each rank writes its own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, FloatArray, Int64Array, UInt8Array
from scip_mpi.chunks import cut
from scip_mpi.holdings import Holdings, Survivors
from scip_mpi.loaders.contract import Catalog, Failure
from scip_mpi.loaders.texts import Texts
from scip_mpi.measurements import filter_measurements
from scip_mpi.plan import Plan
from scip_mpi.results.folder import PRIVATE
from scip_mpi.results.h5ad import ObsRows, write_categories, write_rows
from scip_mpi.results.tables import ParquetRows, mark
from scip_mpi.stages import rule_label
from scip_mpi.tallies import Tally, merge, tally

# Images and rows of a block: some 10 MB, of which rank 0 holds a few at a time. Each costs it some
# 3 ms beside what its images cost.
BLOCK = 40_000
# As many blocks as this, unless they would be shorter than some images and rows.
BLOCKS = 50
LEAST_BLOCK = 4_000
TABLES = ("images.parquet", "discarded.parquet")
REPEATED = ("group", "reason")
PER_CHANNEL = ("saturated", "background", "focus")


def block_bounds(plan: Plan, survivors: Survivors) -> Int64Array:
    """Bounds of the blocks of chunks, counted in chunks; the same on every rank."""
    costs = np.diff(plan.bounds) + np.diff(survivors.bounds)
    return cut(costs, block_size(int(costs.sum())))


def block_size(total: int) -> int:
    """Images and rows of a block, where there are so many in all."""
    return min(max(total // BLOCKS, LEAST_BLOCK), BLOCK)


def tell(plan: Plan, holdings: Holdings, survivors: Survivors, lo: int, hi: int) -> bytes:
    """What a rank knows of the chunks ``lo`` to ``hi``, as a message; empty for nothing."""
    own = tally(holdings, survivors, plan.bounds[lo:hi].tolist())
    return b"" if own is None else own.to_message()


class Books:
    """The files that grow block by block while the rows of X are computed.

    Parameters
    ----------
    plan, catalog, survivors
    out : Path
    table : Path, optional
        The table, if there is one: without a readable image there is none.

    Attributes
    ----------
    failures : list of Failure
        Of the first pass, in all blocks written so far.
    """

    def __init__(
        self, plan: Plan, catalog: Catalog, survivors: Survivors, out: Path, table: Path | None
    ) -> None:
        self.plan = plan
        self.catalog = catalog
        self.survivors = survivors
        self.out = out
        self.blocks = block_bounds(plan, survivors)
        self.failures: list[Failure] = []
        # The code of no group, -1, takes the last.
        self.groups = Texts.of([*catalog.groups, ""])
        self.files = {name: ParquetRows(out / PRIVATE / name, REPEATED) for name in TABLES}
        self.table = None if table is None else h5py.File(table, "r+")

    def write(self, block: int, told: Sequence[UInt8Array]) -> None:
        """Enter a block, of which every rank has told what it knows."""
        images = self.plan.bounds[self.blocks[block : block + 2]].tolist()
        found = merge([body for body in told if len(body)], *images)
        self.failures += found.failures
        names = Texts.of(self.catalog.image_names(found.image)).printable()
        if self.table is not None:
            chunk = int(self.blocks[block])
            first_row = int(self.survivors.bounds[chunk])
            first_image = int(self.survivors.image_bounds[chunk])
            rows, shown, place = with_row(self.plan, found)
            write_rows(self.table, self._obs(found, rows, first_row, first_image + place))
            write_categories(self.table, "image", first_image, taken(names, found.image, shown))
        self.files["images.parquet"].write(self._images(found, names))
        self.files["discarded.parquet"].write(self._discarded(found, names))

    def close(self) -> None:
        """Finish the files, which nobody sees yet."""
        for rows in self.files.values():
            rows.close()
        if self.table is not None:
            self.table.close()

    def publish(self, late: set[int]) -> None:
        """Put the tables where the user finds them.

        Parameters
        ----------
        late : set of int
            Images that failed after their block was written.
        """
        if late:
            mark(self.out / PRIVATE / "images.parquet", "failed", sorted(late))
        for name in TABLES:
            os.replace(self.out / PRIVATE / name, self.out / name)

    def _obs(self, found: Tally, rows: BoolArray, start: int, place: Int64Array) -> ObsRows:
        catalog = self.catalog
        image, label = found.object_image[rows], found.object_label[rows]
        chosen = self.plan.config.filter
        noted: dict[str, Any] = {"object": label}
        if chosen is not None and chosen.action != "drop":
            noted["discarded"] = ~found.object_keep[rows]
        noted |= {name: values[image] for name, values in catalog.numbers.items()}
        codes: dict[str, NDArray[Any]] = {"image": place, "group": catalog.group[image]}
        codes |= {name: known[image] for name, (known, _) in catalog.metadata.items()}
        return ObsRows(start, image, label, codes, noted, found.centroid[rows])

    def _images(self, found: Tally, names: Texts) -> dict[str, Any]:
        columns: dict[str, Any] = {
            "image": names,
            "group": self.groups.take(self.catalog.group[found.image].astype(np.int64)),
            "found": np.maximum(found.found, 0),
            "kept": found.kept,
            "failed": np.isin(found.image, [f.index for f in found.failures]),
        }
        of_channels = [f"{m}_{name}" for m in PER_CHANNEL for name in self.plan.channel_names]
        return columns | dict(zip(of_channels, found.measured, strict=True))

    def _discarded(self, found: Tally, names: Texts) -> dict[str, Any]:
        statistics, broken = found.why(len(self.plan.statistics))
        columns: dict[str, Any] = {
            "image": taken(names, found.image, found.gone[0]),
            "object": found.gone[1],
            "reason": reasons(self.plan, statistics, broken),
        }
        for statistic, values in zip(self.plan.statistics, statistics, strict=True):
            columns[statistic.column.removeprefix("filter_")] = values
        return columns


def with_row(plan: Plan, found: Tally) -> tuple[BoolArray, Int64Array, Int64Array]:
    """Which objects have a row; the images that have any, and which of these each row is of."""
    chosen = plan.config.filter
    rows = np.ones(found.objects.shape[1], bool)
    if chosen is not None and chosen.action == "drop":
        rows = found.object_keep
    image = found.object_image[rows]
    first = np.diff(image, prepend=-1) > 0
    return rows, image[first], np.cumsum(first) - 1


def taken(names: Texts, of: Int64Array, images: Int64Array) -> Texts:
    """The names of ``images`` among those ``of`` others, which ascend."""
    return names if np.array_equal(of, images) else names.take(np.searchsorted(of, images))


def reasons(plan: Plan, statistics: FloatArray, broken: BoolArray) -> Texts:
    """Why the filter left each cell out: the rules that it does not meet.

    Parameters
    ----------
    statistics : ndarray of float64, shape (K, g)
    broken : ndarray of bool, shape (R, g)
    """
    if plan.config.filter is None:
        return Texts.of([])
    rules = plan.config.filter.leaves()
    labels = [rule_label(rule, plan) for rule in rules]
    undefined = ~np.isfinite(statistics)
    # Of each rule: met, broken, or broken as there is nothing to go by.
    state = broken.astype(np.int8)
    for k, rule in enumerate(rules):
        measured = filter_measurements(rule, plan.sets, plan.channel_names)
        state[k] += broken[k] & undefined[[plan.statistics.index(m) for m in measured]].any(axis=0)
    kinds, kind = np.unique(state, axis=1, return_inverse=True)
    words = ("", "{}", "{}: statistic undefined")
    texts = [
        "; ".join(words[s].format(label) for s, label in zip(states, labels, strict=True) if s)
        for states in kinds.T
    ]
    return Texts.of(texts).take(kind)
