"""Records in a file that is only ever appended to, each with what tells whether it is whole.

A record is a head of 48 bytes, its payload, and zeros up to a multiple of 8: the head is a magic
number, kind, checksum of the payload, the record's own place in the file, length of the payload, a
key, and the checksum of all this. A process may end, or the power fail, in any write; a disk may
give back something else than was written. So nothing is believed without its checksum, and behind
what is damaged the next head is looked for: as a head names its own place, no copy of one elsewhere
passes for it.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

MAGIC = b"scipmpi\x01"
_FACTS = struct.Struct("<8sIIqqq")
_CHECK = struct.Struct("<II")
HEAD = _FACTS.size + _CHECK.size
# Bytes looked at once for the next head behind a damaged one.
_STRIDE = 1 << 20


class Kind(IntEnum):
    """What a record holds."""

    RUN = 1  # what the run is: all that decides its table
    TABLE = 2  # where in the unfinished table each dataset lies
    MEASURED = 3  # a chunk after the first pass; the key is its first image
    WRITTEN = 4  # rows that are on the disk; the key is the table's generation
    FATAL = 5  # an image that kills the process that works on it; the key is its place


@dataclass(frozen=True)
class Record:
    """Where a record's payload lies, and what it must add up to."""

    path: Path
    kind: Kind
    key: int
    offset: int
    size: int
    checksum: int

    def head(self) -> bytes:
        """What stands before the payload."""
        place = self.offset - HEAD
        facts = _FACTS.pack(MAGIC, self.kind, self.checksum, place, self.size, self.key)
        return facts + _CHECK.pack(zlib.crc32(facts), 0)

    def read(self) -> NDArray[np.uint8] | None:
        """The payload; None if it is damaged."""
        try:
            payload = read_part(self.path, self.offset, self.size)
        except OSError:
            return None
        return payload if zlib.crc32(payload.data) == self.checksum else None


def read_part(path: Path, offset: int, size: int) -> NDArray[np.uint8]:
    """Bytes of a file, fewer where it ends."""
    file = os.open(path, os.O_RDONLY)
    try:
        return np.frombuffer(_read(file, offset, size), np.uint8)
    finally:
        os.close(file)


def padded(size: int) -> int:
    """Bytes of a record whose payload has ``size``."""
    return HEAD + size + -size % 8


def scan(path: Path) -> tuple[list[Record], bool]:
    """Records of a file whose heads are whole, and whether anything between them is damaged.

    A record that the file's end cuts off is left out, and is no damage: its writing never ended.
    """
    found: list[Record] = []
    damaged = False
    file = os.open(path, os.O_RDONLY)
    try:
        end = os.fstat(file).st_size
        place = 0
        while place + HEAD <= end:
            record = _record(path, _read(file, place, HEAD), place)
            if record is None:
                following = next(_heads(file, path, place + 8, end), None)
                if following is None:
                    damaged |= any(_read(file, place, min(end - place, _STRIDE)))
                    break
                damaged, place = True, following
            elif record.offset + record.size > end:
                break
            else:
                found.append(record)
                place += padded(record.size)
    finally:
        os.close(file)
    return found, damaged


def _heads(file: int, path: Path, start: int, end: int) -> Iterator[int]:
    """Places of whole heads from ``start`` on."""
    for lo in range(start, end, _STRIDE):
        # A head may lie across two strides.
        part = _read(file, lo, min(_STRIDE + HEAD, end - lo))
        at = part.find(MAGIC)
        while 0 <= at < _STRIDE:
            if _record(path, part[at : at + HEAD], lo + at) is not None:
                yield lo + at
            at = part.find(MAGIC, at + 1)


def _record(path: Path, head: bytes, place: int) -> Record | None:
    if len(head) < HEAD:
        return None
    magic, kind, checksum, own, size, key = _FACTS.unpack_from(head)
    whole = _CHECK.unpack_from(head, _FACTS.size) == (zlib.crc32(head[: _FACTS.size]), 0)
    if magic != MAGIC or own != place or size < 0 or not whole or kind not in set(Kind):
        return None
    return Record(path, Kind(kind), key, place + HEAD, size, checksum)


def _read(file: int, offset: int, size: int) -> bytes:
    parts = []
    while size > 0:
        part = os.pread(file, size, offset)
        if not part:
            break
        parts.append(part)
        offset, size = offset + len(part), size - len(part)
    return b"".join(parts)
