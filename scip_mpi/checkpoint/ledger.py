"""The ledger of a run: ranges of images and how far each has come."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np

from scip_mpi.batches import Int64Array


class State(IntEnum):
    """How far a range has come."""

    TO_DO = 0
    ASSIGNED = 1
    MEASURED = 2
    WRITTEN = 3


@dataclass(slots=True)
class Entry:
    """Images (or rows) ``lo`` to ``hi``, their state, and the rank that has them.

    ``parts`` are the starts of the pieces that were reported by themselves, ``reported`` what they
    make up together; forgotten when the range is whole.
    """

    lo: int
    hi: int
    state: State = State.TO_DO
    rank: int = -1
    reported: int = 0
    parts: set[int] | None = None


class Ledger:
    """Ranges of images, each handed out until some rank has measured and written it.

    A report may come twice (a range given to a second rank because the first seemed lost): the
    first one counts, and the caller is told so.

    Parameters
    ----------
    bounds : sequence of int
        Bounds of the ranges.
    costs : sequence of number, optional
        Of each range between two bounds: the dearest is handed out first, so that it does not come
        last. In order by default.
    """

    def __init__(
        self, bounds: Int64Array | Sequence[int], costs: Sequence[float] | Int64Array | None = None
    ) -> None:
        edges = np.asarray(bounds, np.int64).tolist()
        self.entries = {lo: Entry(lo, hi) for lo, hi in pairwise(edges) if hi > lo}
        order = sorted(self.entries)
        self.costs: dict[int, float] = {}
        if costs is not None:
            self.costs = dict(zip(edges, (float(c) for c in costs), strict=False))
            order.sort(key=lambda lo: -self.costs[lo])
        self.to_do = deque(order)
        self.counts = {State.MEASURED: 0, State.WRITTEN: 0}

    @property
    def images(self) -> int:
        """Images in all ranges."""
        return sum(e.hi - e.lo for e in self.entries.values())

    def take(self, rank: int) -> Entry | None:
        """The next range to do, now assigned to a rank; None when none is left."""
        while self.to_do:
            entry = self.entries.get(self.to_do.popleft())
            if entry is not None and entry.state is State.TO_DO:
                entry.state, entry.rank = State.ASSIGNED, rank
                return entry
        return None

    def advance(self, lo: int, rank: int, state: State) -> bool:
        """Record that a rank has brought the range at ``lo`` to a state; False for a duplicate."""
        entry = self.entries[lo]
        if entry.state >= state:
            return False
        for reached in (State.MEASURED, State.WRITTEN):
            self.counts[reached] += entry.state < reached <= state
        entry.state, entry.rank = state, rank
        return True

    def advance_part(self, lo: int, start: int, size: int, rank: int, state: State) -> bool:
        """Record that a piece of the range at ``lo`` has come to a state; False for a duplicate.

        The range is there when all its pieces are. Pieces do not overlap.
        """
        entry = self.entries[lo]
        if entry.parts is None:
            entry.parts = set()
        if entry.state >= state or start in entry.parts:
            return False
        entry.parts.add(start)
        entry.reported += size
        if entry.reported == entry.hi - entry.lo:
            entry.parts = None
            self.advance(lo, entry.rank, state)
        return True

    def begun(self, lo: int, size: int, state: State) -> None:
        """Record that so much of the range at ``lo`` had come to a state before this start."""
        entry = self.entries[lo]
        entry.reported = size
        if size == entry.hi - entry.lo:
            self.advance(lo, entry.rank, state)

    def done(self, state: State) -> bool:
        """Whether every range has been measured, or written."""
        return self.counts[state] == len(self.entries)

    def put_back(self, lo: int) -> None:
        """Have a range that was assigned handed out again, before all others."""
        entry = self.entries[lo]
        if entry.state is not State.ASSIGNED:
            raise ValueError(f"images {lo} to {entry.hi} are with no rank")
        entry.state, entry.rank = State.TO_DO, -1
        self.to_do.appendleft(lo)

    def lose(self, rank: int) -> list[int]:
        """Put back what a lost rank had not written; returns the ranges' starts."""
        lost = [e for e in self.entries.values() if e.rank == rank and e.state is not State.WRITTEN]
        for entry in lost:
            if entry.state is not State.TO_DO:
                self.counts[State.MEASURED] -= entry.state is State.MEASURED
                entry.state, entry.rank = State.TO_DO, -1
                self.to_do.appendleft(entry.lo)
        return [e.lo for e in lost]

    def split(self, lo: int, at: int) -> None:
        """Cut a range that is still to do in two."""
        entry = self.entries[lo]
        if entry.state is not State.TO_DO or not entry.lo < at < entry.hi:
            raise ValueError(f"images {lo} to {entry.hi} cannot be split at {at}")
        self.entries[at] = Entry(at, entry.hi)
        entry.hi = at
        self.to_do.append(at)
