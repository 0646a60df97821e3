"""Columns of metadata put together from those of several shards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.loaders.texts import Categorical, compact


def filled(parts: list[NDArray[Any]], n: int) -> NDArray[Any]:
    """A column of numbers that the last shards lack."""
    missing = -1 if parts[-1].dtype.kind == "i" else np.nan
    rest = np.full(n - sum(map(len, parts)), missing, parts[-1].dtype)
    return np.concatenate([*parts, rest])


class MergedColumn:
    """A column of texts, put together from those of shards; one that lacks it has none there."""

    def __init__(self) -> None:
        self.lookup: dict[str, int] = {}
        self.parts: list[NDArray[np.int32]] = []
        self.rows = 0

    def add(self, column: Categorical, before: int) -> None:
        """Add the column of a shard that ``before`` images stand before."""
        place = [self.lookup.setdefault(v, len(self.lookup)) for v in column[1]]
        self.parts.append(np.full(before - self.rows, -1, np.int32))
        self.parts.append(np.array([*place, -1], np.int32)[column[0]])
        self.rows = before + len(column[0])

    def finish(self, n: int) -> Categorical:
        """Codes of all ``n`` images into the sorted values."""
        values = sorted(self.lookup)
        place = np.full(len(values) + 1, -1, np.int32)
        place[[self.lookup[v] for v in values]] = np.arange(len(values))
        rest = np.full(n - self.rows, -1, np.int32)
        return place[np.concatenate([*self.parts, rest])], compact(values)
