"""Illumination functions as files: an array and a picture of each group, and the list of groups."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scip_mpi import disk
from scip_mpi.batches import FloatArray
from scip_mpi.errors import UserError
from scip_mpi.results.tables import write_csv

FOLDER = "illumination"
LIST = "illumination_groups.csv"
# Names of the files, as far as a pattern can tell them from others'.
PATTERN = "illumination_*"


def write_functions(folder: Path, names: Sequence[str], functions: Sequence[FloatArray]) -> None:
    """Write ``illumination_<number>_<group>.npy`` (float64) and ``.tif`` (float32), and the list.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    names : sequence of str
        The groups.
    functions : sequence of ndarray of float64, shape (C, H, W)
        None is written of a group without any image that could be read.
    """
    import tifffile

    folder.mkdir(exist_ok=True)
    rows = []
    for k, (name, function) in enumerate(zip(names, functions, strict=True)):
        if not function.size:
            continue
        stem = f"illumination_{k:03d}_{re.sub(r'[^A-Za-z0-9.-]+', '-', name)[:80]}"
        np.save(folder / f"{stem}.npy", function)
        tifffile.imwrite(
            folder / f"{stem}.tif",
            function.astype(np.float32),
            photometric="minisblack",
            metadata={"axes": "CYX"},
        )
        rows.append({"group": name, "file": f"{stem}.npy"})
    write_csv(folder / LIST, rows)
    disk.settle([*folder.glob(PATTERN), folder])


def read_functions(
    path: str, names: Sequence[str], shapes: Sequence[tuple[int, int, int]]
) -> list[FloatArray]:
    """Functions of all groups, from a folder that `write_functions` wrote, or one array for all.

    Raises
    ------
    UserError
        What is there cannot be read, lacks a group, is of another shape than the images, or holds
        what images cannot be divided by.
    """
    where = "illumination_correction.settings.precomputed"
    place = Path(path)
    files = _listed(place, where) if place.is_dir() else dict.fromkeys(names, place)
    found, known = [], dict[Path, FloatArray]()
    for name, shape in zip(names, shapes, strict=True):
        if not shape[1] * shape[2]:
            # A group without an image that can be read needs none.
            found.append(np.ones(shape))
            continue
        if name not in files:
            raise UserError(f"{where}: {place / LIST} has no group {name!r}")
        file = files[name]
        if file not in known:
            known[file] = _array(file, where)
        function = known[file]
        if function.shape != shape:
            raise UserError(
                f"{where}: {file} is of shape {function.shape}, the images of {name!r} are "
                f"{shape} (channels, rows, columns)"
            )
        found.append(function)
    return found


def _listed(folder: Path, where: str) -> dict[str, Path]:
    try:
        with (folder / LIST).open(encoding="utf-8", newline="") as file:
            return {row["group"]: folder / row["file"] for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError) as error:
        raise UserError(
            f"{where}: {folder} is no folder of illumination functions: {LIST} cannot be read "
            f"({error!r})"
        ) from None


def _array(file: Path, where: str) -> FloatArray:
    try:
        found = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(
            f"{where}: {file} cannot be read as an array (.npy): {error}; what SCIP exported is a "
            "pickle, which runs as a program when it is read: save its arrays by numpy.save"
        ) from None
    if not isinstance(found, np.ndarray) or found.ndim != 3 or found.dtype.kind not in "iuf":
        raise UserError(f"{where}: {file} is no array of (channels, rows, columns)")
    function = found.astype(np.float64)
    if not (np.isfinite(function) & (function > 0)).all():
        raise UserError(f"{where}: {file} holds values that are not above 0")
    return function
