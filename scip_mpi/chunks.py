"""Cutting work into pieces of like cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array


def cut(costs: NDArray[np.int64], target: int) -> Int64Array:
    """Bounds of consecutive runs whose costs add up to about ``target`` each.

    Every run holds at least one item; an item dearer than the target is a run of its own unless
    it ends one.

    Returns
    -------
    ndarray of int64
        0, ..., n, strictly increasing; [0] for no items.
    """
    n = len(costs)
    if n == 0:
        return np.zeros(1, np.int64)
    ends = np.cumsum(np.asarray(costs, np.int64))
    which = (ends - 1) // max(target, 1)
    first = np.flatnonzero(np.diff(which)) + 1
    return np.concatenate([[0], first, [n]]).astype(np.int64)
