"""Files of an export: found whole or not at all, and never over what is there unless asked to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scip_mpi import disk
from scip_mpi.errors import UserError


@contextmanager
def fresh(path: Path, overwrite: bool) -> Iterator[Path]:
    """A name to write to; the file gets its own when all is written.

    Raises
    ------
    UserError
        There is a file of this name, and it may not be replaced; or the folder cannot be made.
    """
    if path.exists() and not overwrite:
        raise UserError(f"{path} is there already; --overwrite replaces it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent} cannot be made: {error.strerror}") from error
    partial = path.with_name(f"partial-{path.name}")
    try:
        yield partial
        disk.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
