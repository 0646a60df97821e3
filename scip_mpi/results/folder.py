"""OUT: who may write there, and what may be replaced."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scip_mpi.errors import UserError
from scip_mpi.results import illumination, labels

PRIVATE = ".scip_mpi"
# In PRIVATE: what the unfinished run is. With it the run can be gone on with.
RUN = "run"
# In PRIVATE: where in its table each dataset lies.
TABLE = "table"
# What a run writes, whatever its table is called.
PARTS = "part-*.parquet"
BESIDE = (
    "images.parquet",
    "discarded.parquet",
    "failures.csv",
    "run.json",
    "channel_boundaries.csv",
    "report.html",
)
# What commands add to a finished run; of no use beside another table.
LATER = ("classification.html", "classification.json", "model.json")


@dataclass(frozen=True)
class Names:
    """Names of the files of a table, by the config's ``export.filename``."""

    filename: str = "features"

    @property
    def table(self) -> str:
        """The HDF5 file of a finished run."""
        return f"{self.filename}.h5ad"

    @property
    def partial(self) -> str:
        """The HDF5 file while rows are missing."""
        return f"{self.filename}.h5ad.partial"

    @property
    def fresh(self) -> str:
        """The HDF5 file before it has any rows."""
        return f"{self.filename}.h5ad.fresh"

    @property
    def adding(self) -> str:
        """A copy of the HDF5 file that gets more columns of obs."""
        return f"{self.filename}.h5ad.adding"

    @property
    def parquet(self) -> str:
        """The folder of the Parquet export."""
        return f"{self.filename}.parquet"


FEATURES = Names()


@dataclass(frozen=True)
class Claim:
    """OUT, held by this process until released.

    ``locked`` is False on a file system without locks, where nothing tells another run.
    ``unfinished`` is True if an earlier run left here what it can be gone on with.
    """

    out: Path
    lock: int
    locked: bool = True
    unfinished: bool = False

    def release(self) -> None:
        """Let go, and remove what only an unfinished run needs."""
        empty(self.out / PRIVATE)
        shutil.rmtree(self.out / PRIVATE)
        os.close(self.lock)

    def keep(self) -> None:
        """Let go of a run that somebody may go on with."""
        os.close(self.lock)


def empty(private: Path) -> None:
    """Remove a checkpoint: what says that there is one goes last."""
    for path in private.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ("lock", RUN):
            path.unlink()
    (private / RUN).unlink(missing_ok=True)


def claim(out: Path, overwrite: bool, names: Names = FEATURES, resumes: bool = False) -> Claim:
    """Take hold of OUT for a run.

    Parameters
    ----------
    out : Path
        Made if it is not there; files in it that are not ours are never touched.
    overwrite : bool
        Whether results of an earlier run, finished or not, may be removed.
    names : Names
        What this run will write.
    resumes : bool
        Whether an unfinished run there, if it can be gone on with, is left as it is.

    Raises
    ------
    UserError
        OUT cannot be written, is in use by a run, or holds results, or files of our names that
        are not ours, which ``overwrite`` does not remove either.
    """
    tables = [names.table, names.partial, names.fresh, names.adding, names.parquet]
    tables += [*BESIDE, *LATER]
    ours = [*tables, labels.FOLDER, illumination.FOLDER]
    patterns = {labels.FOLDER: labels.PATTERNS, illumination.FOLDER: (illumination.PATTERN,)}
    begun = os.path.isdir(out / PRIVATE)
    lock, locked = _lock(out)
    try:
        # Only now: another run may have ended here while the lock was waited for.
        held = [name for name in ours if os.path.lexists(out / name)]
        if (out / PRIVATE / RUN).is_file() and not overwrite:
            if not resumes:
                raise UserError(_refusal(out, [names.partial], names))
            return Claim(out, lock, locked, unfinished=True)
        if held:
            if not (begun or written_by_us(out, names)):
                raise UserError(
                    f"OUT {out} holds {', '.join(held)}, which no run of scip_mpi wrote there; "
                    "give another folder with -o"
                )
            if not overwrite:
                raise UserError(_refusal(out, held, names))
            for name in held:
                path = out / name
                if path.is_dir() and not path.is_symlink():
                    _remove_parts(path, patterns.get(name, (PARTS,)))
                else:
                    path.unlink()
        empty(out / PRIVATE)
    except BaseException:
        if not begun:
            shutil.rmtree(out / PRIVATE)
        os.close(lock)
        raise
    return Claim(out, lock, locked)


def _lock(out: Path) -> tuple[int, bool]:
    """The lock file, held; stale locks of dead processes are no locks."""
    made: int | None = None
    locked = True
    try:
        (out / PRIVATE).mkdir(parents=True, exist_ok=True)
        made = os.open(out / PRIVATE / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.lockf(made, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        if made is None:
            raise UserError(f"OUT {out} cannot be written: {error.strerror}") from error
        os.close(made)
        raise UserError(
            f"OUT {out} is in use by another run; wait for it, or give another folder with -o"
        ) from error
    except OSError as error:
        if made is None:
            raise UserError(f"OUT {out} cannot be written: {error.strerror}") from error
        locked = False
    if not _is_at(made, out / PRIVATE / "lock"):
        # The run that held it has ended meanwhile and taken the file away.
        os.close(made)
        raise UserError(f"OUT {out} was in use by another run until now; start again")
    return made, locked


def _is_at(descriptor: int, path: Path) -> bool:
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())


def written_by_us(out: Path, names: Names) -> bool:
    """Whether something in OUT shows that a run of this program wrote it."""
    import h5py

    table, told, failures = out / names.table, out / "run.json", out / "failures.csv"
    if table.is_file() and h5py.is_hdf5(table):
        with h5py.File(table, locking=False) as file:
            if "uns/scip_mpi" in file:
                return True
    if told.is_file():
        try:
            facts = json.loads(told.read_text(encoding="utf-8"))
        except ValueError:
            facts = None
        if isinstance(facts, dict) and "fingerprint" in facts:
            return True
    if failures.is_file():
        with failures.open("rb") as handle:
            return handle.readline(100).strip() == b"image,stage,error"
    return False


def _refusal(out: Path, held: list[str], names: Names) -> str:
    if names.table in held:
        return f"OUT {out} holds a finished run ({names.table}); --overwrite replaces it"
    what = "an unfinished run" if names.partial in held else f"results ({', '.join(held)})"
    return f"OUT {out} holds {what}; --overwrite removes it and starts anew"


def _remove_parts(folder: Path, patterns: Sequence[str]) -> None:
    """Remove what a run wrote in a folder, and the folder if nothing else is in it."""
    for part in [part for pattern in patterns for part in folder.glob(pattern)]:
        if part.is_dir() and not part.is_symlink():
            shutil.rmtree(part)
        else:
            part.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
