"""What each rank has in hand: the images it is at now, for a restart to find what it died of.

A file per rank and start, of one slot that is written over: so much is known of a process that is
gone, however it ended, at the cost of a small write to the page cache. Behind the slot stands what
the process had to say of a crash of its own, if it could say something.
"""

from __future__ import annotations

import faulthandler
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scip_mpi import disk
from scip_mpi.batches import Int64Array
from scip_mpi.devices import DeviceLost
from scip_mpi.errors import RanksLost

_NAME = re.compile(r"hand-(\d+)-(\d+)")
_FACTS = struct.Struct("<8sqq")
_CHECK = struct.Struct("<I")
MAGIC = b"scipmpi\x02"
# Where the trace of a crash begins.
SLOT = 64
# Starts that end with an image in hand before it is suspected, if no rank has crashed by itself.
DEATHS = 2

# Images ``lo`` to ``hi``.
Span = tuple[int, int]


def hand_path(folder: Path, start: int, rank: int) -> Path:
    """Where a rank notes what it has in hand in the run's ``start``-th start."""
    return folder / f"hand-{start:04d}-{rank:05d}"


class Hand:
    """What a rank has in hand. The file is made with the first thing it takes.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = -1
        self.traces = False
        self.spans: list[Span] = []

    @contextmanager
    def at(self, lo: int, hi: int) -> Iterator[None]:
        """Be at images ``lo`` to ``hi``; what this rank was at before waits.

        After an error they stay in hand, as the run is over; but for errors that are none of
        theirs, after which this process goes on.
        """
        self.spans.append((lo, hi))
        self._note()
        try:
            yield
        except (DeviceLost, RanksLost):
            self._leave()
            raise
        self._leave()

    def trace_crashes(self) -> None:
        """Have a crash of this process (SIGSEGV and its like, not a kill) noted behind the slot."""
        self._open()
        os.lseek(self.file, SLOT, os.SEEK_SET)
        faulthandler.enable(self.file, all_threads=False)
        self.traces = True

    def close(self) -> None:
        """Let go of the file."""
        if self.traces:
            faulthandler.disable()
            self.traces = False
        if self.file >= 0:
            os.close(self.file)
            self.file = -1

    def _open(self) -> None:
        if self.file < 0:
            self.file = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)

    def _leave(self) -> None:
        self.spans.pop()
        self._note()

    def _note(self) -> None:
        self._open()
        lo, hi = self.spans[-1] if self.spans else (-1, -1)
        facts = _FACTS.pack(MAGIC, lo, hi)
        disk.write_at(self.file, facts + _CHECK.pack(zlib.crc32(facts)), 0)


@dataclass(frozen=True)
class Held:
    """What a rank had in hand when it ended: no images, or ``lo`` to ``hi``.

    ``crash`` says how it ended by itself; "" where it was ended, or ended in order.
    """

    path: Path
    start: int
    rank: int
    lo: int
    hi: int
    crash: str


def look_at_hands(folder: Path) -> list[Held]:
    """What the ranks of all earlier starts had in hand; a damaged slot says nothing."""
    found = []
    for path in sorted(folder.glob("hand-*")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        raw = path.read_bytes()
        facts, check = raw[: _FACTS.size], raw[_FACTS.size : _FACTS.size + _CHECK.size]
        lo = hi = -1
        if check == _CHECK.pack(zlib.crc32(facts)) and facts.startswith(MAGIC):
            _, lo, hi = _FACTS.unpack(facts)
        said = raw[SLOT:].decode(errors="replace").partition("\n")[0]
        crash = said.removeprefix("Fatal Python error: ").strip()
        found.append(Held(path, int(match[1]), int(match[2]), lo, hi, crash))
    return found


def suspects(held: Sequence[Held]) -> Int64Array:
    """Images that may be what ranks died of, in order.

    Those that a rank had in hand that crashed by itself, and those that were in hand when more than
    one start ended: who is killed, by whomever, has something in hand, so that once says nothing.
    To be suspected costs an image a trial, and nothing else.
    """
    at = [(h, np.arange(h.lo, h.hi)) for h in held if h.lo < h.hi]
    crashed = [images for h, images in at if h.crash]
    once = np.concatenate(
        [np.empty((0, 2), np.int64)]
        + [np.column_stack([np.full(len(images), h.start), images]) for h, images in at]
    )
    images, starts = np.unique(np.unique(once, axis=0)[:, 1], return_counts=True)
    return np.unique(np.concatenate([images[starts >= DEATHS], *crashed]).astype(np.int64))
