"""Columns of obs that come later than the table, which is whole at every moment.

HDF5 writes into a file in place, and one that is broken off may leave nothing to read. So columns
are added to a copy, which then takes the table's name; on file systems that can share bytes between
files (XFS, Btrfs, NFS 4.2) the copy costs neither time nor space.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi import disk
from scip_mpi.errors import UserError
from scip_mpi.results.h5ad import TEXT, empty_categorical, encode, reserve
from scip_mpi.results.writers import canonical

# Numbers, or codes and their categories.
Column = NDArray[Any] | tuple[NDArray[Any], Sequence[str]]


def add_columns(
    table: Path, kind: str, columns: Mapping[str, Column], facts: Mapping[str, Any]
) -> None:
    """Add columns to obs in place of those that the same kind of command added before.

    Parameters
    ----------
    table : Path
        A finished HDF5 file.
    kind : str
        The command's name under uns/scip_mpi, where its columns and ``facts`` are noted.
    columns : mapping of str to Column
        A value per row, or a code per row, -1 for none, and the categories.
    facts : mapping of str to Any
        Plain values.

    Raises
    ------
    UserError
        obs has a column of such a name from elsewhere, or another command is adding to the table.
    """
    with changed(table) as file:
        obs, ours = file["obs"], file["uns/scip_mpi"]
        check_free(file, kind, columns)
        before = added_by(file, kind)
        order = [name for name in obs.attrs["column-order"] if name not in before]
        for name in before:
            del obs[name]
        rows = len(obs["_index"])
        for name, column in columns.items():
            if isinstance(column, tuple):
                empty_categorical(obs, name, rows, column[1])[...] = column[0]
            else:
                reserve(obs, name, (rows,), column.dtype)
                obs[name][...] = canonical(column)
        names = np.array([*order, *columns], object)
        obs.attrs.create("column-order", names, dtype=TEXT)
        if kind in ours:
            del ours[kind]
        text = json.dumps({"columns": list(columns), **facts})
        encode(ours.create_dataset(kind, data=text, dtype=TEXT), "string", "0.2.0")


def check_free(file: h5py.File, kind: str, names: Mapping[str, Any] | Sequence[str]) -> None:
    """Refuse names that obs has from elsewhere.

    Raises
    ------
    UserError
        There is one.
    """
    others = set(file["obs"]) - set(added_by(file, kind))
    taken = [name for name in names if name in others]
    if taken:
        raise UserError(
            f"{file.filename}: obs has a column {taken[0]!r} already, which is not from an earlier "
            "command of this kind; call that metadata otherwise, or remove it"
        )


def added_by(file: h5py.File, kind: str) -> list[str]:
    """Columns of obs that an earlier command of this kind added."""
    note = file["uns/scip_mpi"].get(kind)
    return [] if note is None else list(json.loads(note.asstr()[()])["columns"])


@contextmanager
def changed(table: Path) -> Iterator[h5py.File]:
    """The table's copy, to be changed; it takes the table's place at the end, or not at all.

    Raises
    ------
    UserError
        The folder cannot be written, or another command is adding to the table.
    """
    copy = table.with_name(f"{table.name}.adding")
    try:
        held = os.open(copy, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"{table.parent} cannot be written: {error.strerror}") from error
    try:
        _hold(held, copy)
        try:
            _fill(held, table)
            # The file is ours by the lock above, which another of the same process would not pass.
            with h5py.File(copy, "r+", libver="v110", locking=False) as file:
                yield file
            disk.replace(copy, table)
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
    finally:
        os.close(held)


def _hold(held: int, copy: Path) -> None:
    """Keep the copy to this process; what a dead one left is free."""
    busy = f"{copy.parent} is being added to by another command; start again when it has ended"
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError(busy) from error
    # The other command may have ended just now, and given its copy the table's name.
    if not copy.exists() or not os.path.samestat(os.fstat(held), copy.stat()):
        raise UserError(busy)


def _fill(held: int, table: Path) -> None:
    os.ftruncate(held, 0)
    source = os.open(table, os.O_RDONLY)
    try:
        os.fchmod(held, stat.S_IMODE(os.fstat(source).st_mode))
        disk.duplicate(source, held)
    finally:
        os.close(source)
