"""Which images share an illumination function, and of what size they must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, Int64Array
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog, Failure, ImageInfo

# Images of a group that are looked at, before it is taken to have none that can be read.
PROBES = 20


@dataclass(frozen=True)
class IlluminationGroups:
    """Groups of images; those of one group mostly follow each other in the catalog.

    Attributes
    ----------
    names : list of str
    shapes : ndarray of int64, shape (G, 2)
        Rows and columns of each group's images; 0 of a group without any image that can be read.
    starts, codes : ndarray of int64, shape (R,)
        First image of each run of images of one group, and the group.
    """

    names: list[str]
    shapes: Int64Array
    starts: Int64Array
    codes: Int64Array

    def of(self, index: Int64Array) -> Int64Array:
        """Groups of images, by their places in the catalog."""
        return self.codes[np.searchsorted(self.starts, index, side="right") - 1]

    def fitting(self, batch: ImageBatch) -> tuple[ImageBatch, list[Failure]]:
        """The images of a batch that are of their group's size, and what is wrong with others."""
        if not len(batch):
            return batch, []
        groups = self.of(batch.index)
        fits = (batch.shapes[:, 1:] == self.shapes[groups]).all(axis=1)
        if fits.all():
            return batch, []
        failures = []
        for i in np.flatnonzero(~fits).tolist():
            name, (rows, columns) = self.names[groups[i]], self.shapes[groups[i]].tolist()
            found = " x ".join(str(n) for n in batch.shapes[i, 1:])
            failures.append(
                Failure(
                    int(batch.index[i]),
                    "illumination",
                    f"the image has {found} pixels, the first of {name!r} that could be read "
                    f"{rows} x {columns}: illumination_correction needs images of one size",
                )
            )
        rows = np.flatnonzero(fits)
        kept = [batch.image(i) for i in rows.tolist()]
        return ImageBatch.from_images(kept, batch.index[rows], batch.pixels.dtype), failures


def group_images(
    catalog: Catalog, key: str, probe: Callable[[tuple[str, ...], int], ImageInfo]
) -> IlluminationGroups:
    """Groups by a column of the images' metadata, or by ``group``.

    Parameters
    ----------
    catalog : Catalog
    key : str
    probe : callable
        The loader's.

    Raises
    ------
    UserError
        There is no such column.
    """
    codes, names = _column(catalog, key)
    starts = np.flatnonzero(np.diff(codes, prepend=-1)).astype(np.int64)
    ends, of_run = np.append(starts[1:], len(codes)), codes[starts].astype(np.int64)
    shapes = np.zeros((len(names), 2), np.int64)
    order = np.argsort(of_run, kind="stable")
    first = np.searchsorted(of_run[order], np.arange(len(names) + 1))
    for g in range(len(names)):
        runs = order[first[g] : first[g + 1]].tolist()
        for i in islice((i for r in runs for i in range(starts[r], ends[r])), PROBES):
            own = catalog.references(i, i + 1).alone()
            try:
                shapes[g] = probe(own.sources[0], int(own.within[0])).shape[1:]
                break
            except UserError:
                # It will stand among the failures; the next one may tell.
                continue
    return IlluminationGroups(names, shapes, starts, of_run)


def _column(catalog: Catalog, key: str) -> tuple[NDArray[Any], list[str]]:
    """Codes and names of a column's values; what is missing is a value of its own."""
    if key == "group":
        return catalog.group, list(catalog.groups)
    if key in catalog.metadata:
        codes, values = catalog.metadata[key]
        # Only those that some image has, and -1 for what is missing.
        counts = np.bincount(codes + 1, minlength=len(values) + 1)
        used = np.flatnonzero(counts)
        names = ["missing" if k == 0 else str(values[k - 1]) for k in used.tolist()]
        return (np.cumsum(counts > 0) - 1)[codes + 1], names
    if key in catalog.numbers:
        numbers, places = np.unique(catalog.numbers[key], return_inverse=True)
        return places, [f"{number:g}" for number in numbers.tolist()]
    known = ", ".join(["group", *catalog.metadata, *catalog.numbers])
    raise UserError(
        f"illumination_correction.key: the images have no metadata column {key!r}; there are: "
        f"{known}"
    )
