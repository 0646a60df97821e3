"""What the finished rows tell of each column: how many values are missing, and if all are equal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, Int64Array
from scip_mpi.statistics import ordered_bits

Reduce = Callable[[Int64Array], Int64Array]


class ColumnCheck:
    """Counts over the rows that a rank has written.

    Parameters
    ----------
    columns : int
        Columns of X.
    """

    def __init__(self, columns: int) -> None:
        self.nan = np.zeros(columns, np.int64)
        self.low = np.full(columns, np.inf, np.float32)
        self.high = np.full(columns, -np.inf, np.float32)

    def add(self, block: NDArray[np.float32]) -> None:
        """Take in rows of X as they stand in the table."""
        self.nan += np.isnan(block).sum(axis=0)
        self.low = np.fmin(self.low, np.fmin.reduce(block, axis=0, initial=np.inf))
        self.high = np.fmax(self.high, np.fmax.reduce(block, axis=0, initial=-np.inf))

    def merge(self, other: ColumnCheck) -> None:
        """Take in the counts over other rows."""
        self.nan += other.nan
        self.low = np.fmin(self.low, other.low)
        self.high = np.fmax(self.high, other.high)

    def over_all(self, total: Reduce, largest: Reduce) -> tuple[Int64Array, BoolArray]:
        """Missing values of each column, and whether its others are all equal. Collective.

        A column without any value is constant.

        Parameters
        ----------
        total, largest : callable
            Sum, and largest, of int64 arrays over the ranks.
        """
        high = largest(_comparable(self.high))
        low = -largest(-_comparable(self.low))
        return total(self.nan), high <= low


def _comparable(values: NDArray[np.float32]) -> Int64Array:
    """Whole numbers that compare as the values do, and whose negatives exist."""
    bits = ordered_bits(values.astype(np.float64))
    return (bits >> np.uint64(1)).astype(np.int64)
