"""What a finished run left in its OUT, found again."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from scip_mpi.errors import UserError
from scip_mpi.results.folder import PRIVATE, Names

# What is read of a run.json.
WANTED = (
    "program", "versions", "config", "fingerprint", "images", "rows", "columns", "channels",
    "mask_sets", "filter", "failed_images", "overflows",
)  # fmt: skip
PLACES = ("cwd", "paths")


@dataclass(frozen=True)
class Part:
    """A finished OUT: its folder as it was named, its files' names, and its run.json."""

    out: Path
    names: Names
    told: dict[str, Any]

    @property
    def source(self) -> str:
        """What the column ``source`` calls it."""
        return os.fspath(self.out)

    @property
    def table(self) -> Path:
        """The HDF5 file."""
        return self.out / self.names.table


def open_part(out: Path) -> Part:
    """What a finished run left.

    Raises
    ------
    UserError
        There is no finished run.
    """
    if not out.is_dir():
        raise UserError(f"OUT {out} is not there; give the folders that runs were told with -o")
    if (out / PRIVATE).is_dir() or any(out.glob("*.h5ad.partial")):
        raise UserError(
            f"OUT {out} holds an unfinished run, or one is writing there: finish it first, with "
            "the command that began it"
        )
    tables = [path for path in sorted(out.glob("*.h5ad")) if is_ours(path)]
    if len(tables) != 1:
        what = "no table of a run" if not tables else f"{len(tables)} tables"
        why = ""
        if not tables and (out / "failures.csv").is_file():
            why = "; if all its images failed, failures.csv there says why, and it can be left out"
        raise UserError(f"OUT {out} holds {what}{why}")
    try:
        told = json.loads((out / "run.json").read_text(encoding="utf-8"))
        # Where the images are, merged runs and those of older versions do not say.
        told = {key: told[key] for key in WANTED} | {key: told.get(key) for key in PLACES}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"OUT {out} holds no run.json of a finished run ({error})") from error
    return Part(out, Names(tables[0].name.removesuffix(".h5ad")), told)


def is_ours(path: Path) -> bool:
    """Whether a file is a table that this program wrote.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    try:
        with h5py.File(path, locking=False) as file:
            return "uns/scip_mpi" in file
    except OSError as error:
        raise UserError(f"{path} cannot be read as HDF5: {error}") from error
