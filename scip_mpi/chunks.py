"""Cutting work into pieces of like cost."""

from __future__ import annotations

import numpy as np
from numba import njit
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


def shrinking(costs: NDArray[np.int64], share: int, least: int, most: int) -> Int64Array:
    """Bounds of consecutive runs that get shorter towards the end, so that all workers end alike.

    Each run's cost is about that of all that is left divided by ``share``, between ``least`` and
    ``most``: guided self-scheduling.

    Parameters
    ----------
    costs : ndarray of int64, shape (n,)
        Of each item, positive.
    share : int
        A few times the number of workers leaves each of them some runs of every length.
    least, most : int
        Limits of a run's cost; every run holds at least one item.

    Returns
    -------
    ndarray of int64
        0, ..., n, strictly increasing; [0] for no items.

    References
    ----------
    Polychronopoulos and Kuck, "Guided self-scheduling", IEEE Trans. Computers C-36(12), 1987.
    """
    return _shrink(np.cumsum(np.asarray(costs, np.int64)), share, least, most)


@njit(cache=True, nogil=True, error_model="numpy")
def _shrink(ends, share, least, most):
    """`shrinking`, given the sums of all costs up to and with each item."""
    n = len(ends)
    bounds = np.zeros(n + 1, np.int64)
    runs, done = 0, 0
    while bounds[runs] < n:
        first = bounds[runs]
        target = max(min((ends[-1] - done) // share, most), least)
        # The item that reaches the target belongs to the run that is closer to it.
        k = first
        while k < n and ends[k] < done + target:
            k += 1
        if first < k < n and ends[k] - done - target > done + target - ends[k - 1]:
            k -= 1
        runs += 1
        bounds[runs] = min(k, n - 1) + 1
        done = ends[bounds[runs] - 1]
    return bounds[: runs + 1].copy()
