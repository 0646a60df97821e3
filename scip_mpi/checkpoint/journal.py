"""The journals of an unfinished run: a file per rank and start, and one record each by rank 0.

A start never writes to a file of an earlier one, so that a restart may have other ranks and a file
whose end was cut off stays as it is.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi import disk
from scip_mpi.checkpoint.hands import Held, look_at_hands
from scip_mpi.checkpoint.records import HEAD, Kind, Record, padded, scan

_NAME = re.compile(r"journal-(\d+)-(\d+)")


def journal_path(folder: Path, start: int, rank: int) -> Path:
    """The journal that a rank writes in the run's ``start``-th start."""
    return folder / f"journal-{start:04d}-{rank:05d}"


class Journal:
    """A rank's own journal. The file is made with its first record.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = -1
        self.end = 0
        self.synced = 0
        self.moment = time.monotonic()

    def append(self, kind: Kind, key: int, payload: Any) -> Record:
        """Write a record; on the disk, safe from a power cut, after `sync`.

        Raises
        ------
        OSError
            It could not be written; what is there of it will be passed over.
        """
        if self.file < 0:
            self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            disk.settle([self.path.parent])
        data = memoryview(payload).cast("B")
        record = Record(self.path, kind, key, self.end + HEAD, data.nbytes, zlib.crc32(data))
        disk.write_at(self.file, record.head(), self.end)
        disk.write_at(self.file, data, record.offset)
        self.end += padded(data.nbytes)
        return record

    def sync(self, every: float = 0.0) -> None:
        """Bring the records to the disk, unless that was done within so many seconds."""
        if self.end > self.synced and time.monotonic() - self.moment >= every:
            disk.sync(self.file)
            self.synced, self.moment = self.end, time.monotonic()

    def close(self) -> None:
        """Let go of the file."""
        if self.file >= 0:
            self.sync()
            os.close(self.file)
            self.file = -1


def write_single(path: Path, kind: Kind, key: int, payload: Any) -> None:
    """Write a file of one record, which is there either whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    journal = Journal(partial)
    try:
        journal.append(kind, key, payload)
    finally:
        journal.close()
    disk.replace(partial, path)


def read_single(path: Path, kind: Kind) -> tuple[int, NDArray[np.uint8]] | None:
    """Key and payload of a file of one record; None if there is none, or it is damaged."""
    if not path.is_file():
        return None
    records, _ = scan(path)
    if len(records) != 1 or records[0].kind is not kind:
        return None
    payload = records[0].read()
    return None if payload is None else (records[0].key, payload)


@dataclass
class Found:
    """What the journals of earlier starts hold.

    Attributes
    ----------
    starts : int
        How many there were.
    measured : dict of int to Record
        By the chunk's first image.
    written : list of Record
    fatal : list of Record
        An image each that kills the process that works on it.
    held : list of Held
        What the ranks had in hand.
    damaged : list of Path
        Files of which something could not be read.
    """

    starts: int = 0
    measured: dict[int, Record] = field(default_factory=dict)
    written: list[Record] = field(default_factory=list)
    fatal: list[Record] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    damaged: list[Path] = field(default_factory=list)


def look(folder: Path) -> Found:
    """Look through all journals in a folder; the payloads are not read."""
    found = Found()
    for path in sorted(folder.glob("journal-*")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        found.starts = max(found.starts, int(match[1]) + 1)
        records, damaged = scan(path)
        if damaged:
            found.damaged.append(path)
        for record in records:
            if record.kind is Kind.MEASURED:
                # A later start measured it only as the earlier record was damaged.
                found.measured[record.key] = record
            elif record.kind is Kind.WRITTEN:
                found.written.append(record)
            elif record.kind is Kind.FATAL:
                found.fatal.append(record)
    found.held = look_at_hands(folder)
    found.starts = max([found.starts, *(h.start + 1 for h in found.held)])
    return found
