"""What rank 0 writes down of all images and objects, block by block: obs and the tables beside it.

The values of X and what comes with them are not among it: each rank writes its own.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.chunks import cut
from scip_mpi.holdings import Holdings, Survivors, Tally, merge, tally
from scip_mpi.loaders.contract import Catalog, Failure
from scip_mpi.measurements import filter_measurements
from scip_mpi.plan import Plan
from scip_mpi.results.folder import PRIVATE
from scip_mpi.results.h5ad import ObsRows, write_categories, write_rows
from scip_mpi.results.tables import ParquetRows, mark
from scip_mpi.stages import rule_label

# Images and rows of a block: some 10 MB, of which rank 0 holds a few at a time.
BLOCK = 20_000
TABLES = ("images.parquet", "discarded.parquet")
PER_CHANNEL = ("saturated", "background", "focus")


def block_bounds(plan: Plan, survivors: Survivors) -> Int64Array:
    """Bounds of the blocks of chunks, counted in chunks; the same on every rank."""
    return cut(np.diff(plan.bounds) + np.diff(survivors.bounds), BLOCK)


def tell(plan: Plan, holdings: Holdings, survivors: Survivors, lo: int, hi: int) -> bytes:
    """What a rank knows of the chunks ``lo`` to ``hi``, as a message."""
    own = tally(holdings, survivors, int(plan.bounds[lo]), int(plan.bounds[hi]))
    return pickle.dumps(own, protocol=5)


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
        self.groups = np.array([*catalog.groups, ""], object)
        self.files = {name: ParquetRows(out / PRIVATE / name) for name in TABLES}
        self.table = None if table is None else h5py.File(table, "r+")

    def write(self, block: int, told: Sequence[UInt8Array]) -> None:
        """Enter a block, of which every rank has told what it knows."""
        own = [pickle.loads(body.data) for body in told]
        found = merge([t for t in own if t is not None])
        self.failures += found.failures
        if self.table is not None:
            chunk = int(self.blocks[block])
            start = int(self.survivors.bounds[chunk])
            write_rows(self.table, self._obs(found, start, int(self.survivors.image_bounds[chunk])))
            images = np.unique(found.object_image[self._with_row(found)])
            names = self.catalog.image_names(images)
            write_categories(self.table, "image", int(self.survivors.image_bounds[chunk]), names)
        self.files["images.parquet"].write(self._images(found))
        self.files["discarded.parquet"].write(self._discarded(found))

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

    def _with_row(self, found: Tally) -> Any:
        chosen = self.plan.config.filter
        if chosen is not None and chosen.action == "drop":
            return found.object_keep
        return np.ones(len(found.object_keep), bool)

    def _obs(self, found: Tally, start: int, first_image: int) -> ObsRows:
        catalog, rows = self.catalog, self._with_row(found)
        image, label = found.object_image[rows], found.object_label[rows]
        _, place = np.unique(image, return_inverse=True)
        chosen = self.plan.config.filter
        noted: dict[str, Any] = {"object": label}
        if chosen is not None and chosen.action != "drop":
            noted["discarded"] = ~found.object_keep[rows]
        noted |= {name: values[image] for name, values in catalog.numbers.items()}
        codes = {"image": first_image + place, "group": catalog.group[image]}
        codes |= {name: known[image] for name, (known, _) in catalog.metadata.items()}
        return ObsRows(start, image, label, codes, noted, found.centroid[rows])

    def _images(self, found: Tally) -> dict[str, Any]:
        failed = [f.index for f in found.failures]
        columns: dict[str, Any] = {
            "image": self.catalog.image_names(found.image),
            "group": self.groups[self.catalog.group[found.image]].tolist(),
            "found": np.maximum(found.found, 0),
            "kept": found.kept,
            "failed": np.isin(found.image, failed),
        }
        for measured in PER_CHANNEL:
            for c, name in enumerate(self.plan.channel_names):
                columns[f"{measured}_{name}"] = getattr(found, measured)[:, c]
        return columns

    def _discarded(self, found: Tally) -> dict[str, Any]:
        columns: dict[str, Any] = {
            "image": self.catalog.image_names(found.gone_image),
            "object": found.gone_label,
            "reason": reasons(self.plan, found),
        }
        for k, statistic in enumerate(self.plan.statistics):
            columns[statistic.column.removeprefix("filter_")] = found.gone_statistics[:, k]
        return columns


def reasons(plan: Plan, found: Tally) -> list[str]:
    """Why the filter left each cell out: the rules that it does not meet."""
    if plan.config.filter is None:
        return []
    rules = plan.config.filter.leaves()
    labels = [rule_label(rule, plan) for rule in rules]
    of = [
        [plan.statistics.index(m) for m in filter_measurements(r, plan.sets, plan.channel_names)]
        for r in rules
    ]
    undefined = ~np.isfinite(found.gone_statistics)
    texts = []
    for broken, missing in zip(found.gone_broken, undefined, strict=True):
        texts.append(
            "; ".join(
                f"{label}: statistic undefined" if missing[columns].any() else label
                for label, columns, fails in zip(labels, of, broken, strict=True)
                if fails
            )
        )
    return texts
