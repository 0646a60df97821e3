"""Crops and masks of cells in one HDF5 file, all of one size, for deep learning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi.again import Source
from scip_mpi.batches import BoolArray, Int64Array
from scip_mpi.errors import UserError
from scip_mpi.export.cells import cells, images_and_labels
from scip_mpi.export.files import fresh
from scip_mpi.export.groups import codes_of
from scip_mpi.results.h5ad import TEXT


def select(file: h5py.File, conditions: Sequence[str], listed: Path | None) -> Int64Array:
    """Rows that have all of some values in obs, and whose names are listed, if a list is given.

    Parameters
    ----------
    file : h5py.File
        The table.
    conditions : sequence of str
        ``COLUMN=VALUE``; several of one column are alternatives.
    listed : Path, optional
        A text with an obs_name in each line.

    Raises
    ------
    UserError
        A condition makes no sense, the list cannot be read, or no cell is left.
    """
    fits = np.ones(len(file["X"]), bool)
    wanted: dict[str, set[str]] = {}
    for condition in conditions:
        name, equals, value = condition.partition("=")
        if not equals:
            raise UserError(f"--where {condition} is not COLUMN=VALUE")
        wanted.setdefault(name, set()).add(value)
    for name, values in wanted.items():
        codes, known = codes_of(file, name)
        lacking = values - set(known)
        if lacking:
            raise UserError(
                f"--where {name}={min(lacking)}: no cell has it; {name} is {', '.join(known[:12])}"
            )
        fits &= np.array([value in values for value in known], bool)[codes]
    if listed is not None:
        fits &= _listed(file, listed)
    rows = np.flatnonzero(fits)
    if not len(rows):
        raise UserError("no cell is chosen by --where and --cells together")
    return rows


def _listed(file: h5py.File, path: Path) -> BoolArray:
    import pandas as pd

    try:
        names = path.read_text(encoding="utf-8").split()
    except (OSError, ValueError) as error:
        raise UserError(f"--cells {path} cannot be read: {error}") from error
    places = pd.Index(file["obs/_index"].asstr()[()]).get_indexer(pd.Index(names, dtype=object))
    lacking = [name for name, at in zip(names, places, strict=True) if at < 0]
    if lacking:
        raise UserError(f"--cells {path}: the table has no cell {lacking[0]!r} in its obs_names")
    found = np.zeros(len(file["X"]), bool)
    found[places] = True
    return found


def write_crops(
    file: h5py.File,
    source: Source,
    rows: Int64Array,
    size: int,
    path: Path,
    overwrite: bool,
    tell: Callable[[int], None],
) -> int:
    """Write the crops and masks of some cells.

    ``pixels`` (n, C, size, size) as the features saw them (corrected, not normalised), ``masks``
    (n, sets, C, size, size) 0 or 1; smaller crops stand in the middle of zeros, of larger ones the
    middle is taken; ``shape`` (n, 2) is what they were. ``obs_names`` and ``row`` say which cells
    they are, in the order of the table, ``found`` whether their images could still be read.

    Parameters
    ----------
    file : h5py.File
        The table.
    source : Source
    rows : ndarray of int64
        Ascending.
    size : int
    path : Path
    overwrite : bool
    tell : callable
        Called with the number of cells written since the last call.

    Returns
    -------
    int
        Cells whose image could not be read.
    """
    image, label = images_and_labels(file)
    plan = source.plan
    channels, sets = len(plan.channel_names), len(plan.sets)
    dtype = source.stages.corrected_type(plan.dtype)
    missing = 0
    with fresh(path, overwrite) as partial, h5py.File(partial, "w") as out:
        out.attrs["channels"] = plan.channel_names
        out.attrs["mask_sets"] = plan.sets
        names = file["obs/_index"].asstr()[()][rows]
        out.create_dataset("obs_names", data=names.astype(object), dtype=TEXT)
        out["row"] = rows
        shape = out.create_dataset("shape", (len(rows), 2), np.int64)
        known = out.create_dataset("found", (len(rows),), np.bool_)
        # A cell is a chunk: they are taken in any order.
        pixels, masks = (
            out.create_dataset(name, (len(rows), *of, size, size), kind,
                               chunks=(1, *of, size, size), compression="lzf")
            for name, of, kind in (("pixels", (channels,), dtype), ("masks", (sets, channels),
                                                                    np.dtype(np.uint8)))
        )  # fmt: skip
        for places, found in cells(source, image[rows], label[rows]):
            for at, cell in zip(places.tolist(), found, strict=True):
                known[at] = cell is not None
                if cell is None:
                    missing += 1
                    continue
                shape[at] = cell.pixels.shape[1:]
                pixels[at] = centred(cell.pixels, size)
                masks[at] = centred(cell.masks, size)
            tell(len(places))
    return missing


def centred(planes: NDArray[Any], size: int) -> NDArray[Any]:
    """The middle of planes (..., H, W) in a square, zeros around what is smaller."""
    out = np.zeros((*planes.shape[:-2], size, size), planes.dtype)
    into, of = zip(*(_overlap(length, size) for length in planes.shape[-2:]), strict=True)
    out[..., into[0], into[1]] = planes[..., of[0], of[1]]
    return out


def _overlap(length: int, size: int) -> tuple[slice, slice]:
    """Where the middle of a side lies in a square's, and in itself."""
    count = min(length, size)
    into, of = (size - count) // 2, (length - count) // 2
    return slice(into, into + count), slice(of, of + count)
