"""Large TIFF files, of which only what is wanted is read: their directories, then chosen pages.

Read whole, a field of view would be in memory twice, channels that nobody wants included.
"""

from __future__ import annotations

import mmap
import os
import struct

import numpy as np

from scip_mpi.batches import UInt8Array

# Bytes of the field types that directories refer to places with: SHORT, LONG and LONG8.
_UNITS = {3: 2, 4: 4, 16: 8}
# More directories, or more tags of one, are not of plain files.
_MOST = 1 << 16
_MOST_TAGS = 1 << 12


class LargeFile:
    """A file's bytes, as far as they were read; zeros, which take no memory, elsewhere.

    Parameters
    ----------
    handle : int
        The open file.
    size : int
        Its bytes.
    """

    def __init__(self, handle: int, size: int) -> None:
        self.handle = handle
        self.data: UInt8Array = np.frombuffer(mmap.mmap(-1, size), np.uint8)
        self._read_directories(size)

    def read(self, offset: int, out: UInt8Array) -> bool:
        """Fill an array with the file's bytes from an offset on; False if it has fewer."""
        view, got = memoryview(out), 0
        while got < len(view):
            more = os.preadv(self.handle, [view[got:]], offset + got)
            if not more:
                return False
            got += more
        return True

    def _fetch(self, at: int, count: int) -> bytes:
        """Bytes of the file, now among the data; none if they do not lie in the file."""
        if at < 0 or at + count > len(self.data) or not self.read(at, self.data[at : at + count]):
            return b""
        return self.data[at : at + count].tobytes()

    def _read_directories(self, size: int) -> None:
        """Read all directories and what they refer to, but pixels.

        What is wrong with them is for `scip_mpi.loaders.plain_tiff.parse` to see.
        """
        head = self._fetch(0, min(size, 16)).ljust(16, b"\0")
        order = ">" if head[:2] == b"MM" else "<"
        big = struct.unpack(order + "H", head[2:4])[0] == 43
        word, number, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
        wide, few = struct.calcsize(order + word), struct.calcsize(order + number)
        (at,) = struct.unpack_from(order + word, head, 8 if big else 4)
        seen: set[int] = set()
        while at and at not in seen and len(seen) < _MOST:
            seen.add(at)
            counted = self._fetch(at, few)
            tags = struct.unpack(order + number, counted)[0] if counted else _MOST_TAGS + 1
            entries = self._fetch(at + few, tags * entry + wide) if tags <= _MOST_TAGS else b""
            if not entries:
                return
            for start in range(0, tags * entry, entry):
                kind, count = struct.unpack_from(f"{order}H{word}", entries, start + 2)
                if _UNITS.get(kind, 0) * count > wide:
                    (where,) = struct.unpack_from(order + word, entries, start + 4 + wide)
                    self._fetch(where, _UNITS[kind] * count)
            (at,) = struct.unpack_from(order + word, entries, tags * entry)
