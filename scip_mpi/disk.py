"""Writing to disks: all of a buffer, at its place, and down to where a power cut leaves it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# Bytes copied at once.
STRIDE = 1 << 24
# What a system says that cannot copy from file to file by itself.
SHARES_NOTHING = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM)


def write_at(file: int, buffer: Any, offset: int) -> int:
    """Write all of a buffer at a byte offset; returns where it ends.

    Raises
    ------
    OSError
        No space, or the like; part of it may have been written.
    """
    data = memoryview(buffer).cast("B")
    while data:
        written = os.pwrite(file, data, offset)
        data, offset = data[written:], offset + written
    return offset


def sync(file: int) -> None:
    """Bring what was written to an open file, by anyone on this node, to the disk."""
    os.fdatasync(file)


def settle(paths: Iterable[Path]) -> None:
    """Bring finished files to the disk, and the names in a folder where one is given."""
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


def replace(path: Path, final: Path) -> None:
    """Give a complete file its name, so that it is found either whole or not at all."""
    settle([path])
    os.replace(path, final)
    settle([final.parent])


def copy(source: int, target: int, start: int, stop: int) -> None:
    """Copy bytes of an open file to the same place of another, but for large holes."""
    while start < stop:
        data = _data_from(source, start, stop)
        if data - start > STRIDE:
            start = data
        else:
            part = os.pread(source, min(stop - start, STRIDE), start)
            start = write_at(target, part, start)


def duplicate(source: int, target: int) -> None:
    """Copy an open file into an empty one; where the file system can, they share the bytes."""
    size, done = os.fstat(source).st_size, 0
    while done < size:
        try:
            copied = os.copy_file_range(source, target, size - done, done, done)
        except OSError as error:
            if error.errno not in SHARES_NOTHING:
                raise
            copied = 0
        if not copied:
            copy(source, target, done, size)
            os.ftruncate(target, size)
            return
        done += copied


def _data_from(source: int, start: int, stop: int) -> int:
    """Where the next bytes are that are no hole."""
    try:
        return min(os.lseek(source, start, os.SEEK_DATA), stop)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return stop
        raise
