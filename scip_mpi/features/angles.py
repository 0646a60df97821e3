"""Directions in the plane, and what is made of four matrices, one for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numba import njit

from scip_mpi.batches import Int64Array
from scip_mpi.features.selection import pick

# As Haralick numbers them: to the right, up and right, up, up and left.
ANGLES = 4
STATISTICS = ("mean", "range", "merged", "0deg", "45deg", "90deg", "135deg")
MEAN, RANGE, MERGED, FIRST_ANGLE = 0, 1, 2, 3
if TYPE_CHECKING:
    Statistic = str
else:
    Statistic = Literal[STATISTICS]
OVER = {
    "mean": "mean over the angles",
    "range": "largest minus least of the angles",
    "merged": "of the four angles' matrices added up",
}


def statistics_of(given: Sequence[Statistic]) -> Int64Array:
    """Places of the statistics asked for, among `STATISTICS`.

    Raises
    ------
    UserError
        A word is unknown, or the list is empty.
    """
    return np.array(pick(given, STATISTICS, "statistic"), np.int64)


def in_words(statistic: int) -> tuple[str, str]:
    """A statistic's word, and what it is in a column's definition."""
    word = STATISTICS[statistic]
    return word, OVER.get(word, f"at {word.removesuffix('deg')} degrees")


@njit(cache=True, nogil=True, error_model="numpy")
def over_angles(values, statistics, out):
    """Statistics of some values that were taken for each angle and for all merged.

    Parameters
    ----------
    values : (5, p) float64
        A row for each angle, the last one for the merged matrix; NaN where undefined.
    statistics : (s,) int64
    out : (p * s,) float64
        The statistics of the first value, then those of the next. Angles for which a value is
        undefined do not count; NaN where none is left.
    """
    for p in range(values.shape[1]):
        count = 0
        total = 0.0
        low = np.inf
        high = -np.inf
        for g in range(ANGLES):
            if values[g, p] == values[g, p]:
                count += 1
                total += values[g, p]
                low = min(low, values[g, p])
                high = max(high, values[g, p])
        for s in range(len(statistics)):
            which = statistics[s]
            if which == MEAN:
                found = total / count if count else np.nan
            elif which == RANGE:
                found = high - low if count else np.nan
            else:
                found = values[ANGLES if which == MERGED else which - FIRST_ANGLE, p]
            out[p * len(statistics) + s] = found


@njit(cache=True, nogil=True, error_model="numpy")
def back_steps(distance, width, back):
    """How far back in a plane of that width the other pixel of a pair is, at each angle."""
    back[0] = distance
    back[1] = distance * width - distance
    back[2] = distance * width
    back[3] = distance * width + distance
