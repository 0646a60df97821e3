"""Ranges of rows that are finished."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from scip_mpi.batches import Int64Array


class Spans:
    """Ranges of whole numbers that do not overlap, in order.

    Parameters
    ----------
    ranges : iterable of (int, int)
        First number of each, and the one behind its last.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self.bounds: Int64Array = np.array(sorted(ranges), np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return int((self.bounds[:, 1] - self.bounds[:, 0]).sum())

    def outside(self, lo: int, hi: int) -> Iterator[tuple[int, int]]:
        """The ranges between ``lo`` and ``hi`` that are not in these."""
        for start, stop in self._inside(lo, hi):
            if lo < start:
                yield lo, start
            lo = stop
        if lo < hi:
            yield lo, hi

    def count(self, lo: int, hi: int) -> int:
        """How many numbers from ``lo`` to ``hi`` are in these."""
        return sum(min(stop, hi) - max(start, lo) for start, stop in self._inside(lo, hi))

    def _inside(self, lo: int, hi: int) -> Iterator[tuple[int, int]]:
        first = int(np.searchsorted(self.bounds[:, 1], lo, "right"))
        last = int(np.searchsorted(self.bounds[:, 0], hi, "left"))
        yield from self.bounds[first:last].tolist()
