"""Thresholds of a whole plane from counts of its values, which may be added up piece by piece.

Who counted which piece makes no difference to the counts, hence none to the threshold.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, Int64Array

Word = Literal["li", "otsu", "triangle"]
# Values that are told apart; integers of a narrower range are counted one by one.
BINS = 1 << 16


def value_range(plane: NDArray[Any]) -> FloatArray:
    """Smallest and largest value."""
    return np.array([plane.min(), plane.max()], np.float64)


def value_counts(plane: NDArray[Any], low: float, high: float, bins: int = BINS) -> Int64Array:
    """How many pixels have which value, in so many bins of equal width from ``low`` to ``high``.

    Parameters
    ----------
    plane : ndarray
        Its values lie from ``low`` to ``high``.
    bins : int
        If these are as many as there are whole numbers in the range, each is counted by itself.
    """
    if counts_whole(plane.dtype, low, high, bins):
        shifted = plane.reshape(-1).astype(np.int64) - int(low)
        return np.bincount(shifted, minlength=bins).astype(np.int64)
    return np.histogram(plane, bins, (low, high))[0].astype(np.int64)


def counts_whole(dtype: np.dtype[Any], low: float, high: float, bins: int) -> bool:
    """Whether so many bins count whole numbers, each by itself."""
    return dtype.kind in "iu" and bins == high - low + 1


def bins_for(dtype: np.dtype[Any], low: float, high: float) -> int:
    """Bins that tell all integers of a range apart, if they are no more than `BINS`."""
    return int(high - low) + 1 if dtype.kind in "iu" and high - low < BINS else BINS


def level(word: Word, counts: Int64Array, low: float, high: float, whole: bool) -> float:
    """The threshold of a plane, by counts of its values.

    Parameters
    ----------
    word : {"li", "otsu", "triangle"}
    counts : ndarray of int64
        Of `value_counts`.
    low, high : float
        The range that they were counted in.
    whole : bool
        Whether whole numbers were counted, each by itself.

    Returns
    -------
    float
        ``high``, above which no pixel is, if all pixels are equal.

    References
    ----------
    Otsu, IEEE Trans. Systems, Man, and Cybernetics 9(1), 1979; Li and Tam, Pattern Recognition
    Letters 18(8), 1998; Zack, Rogers and Latt, J. Histochemistry and Cytochemistry 25(7), 1977.
    """
    if whole:
        centres = np.arange(len(counts)) + np.float64(low)
    else:
        edges: FloatArray = np.linspace(low, high, len(counts) + 1)
        if not (np.diff(edges) > 0).all():
            # Nothing stands out: the pixels are equal but for rounding, or their range overflows.
            return high
        centres = edges[:-1] / 2 + edges[1:] / 2
    if len(counts) == 1:
        return high
    return {"li": _li, "otsu": _otsu, "triangle": _triangle}[word](counts, centres)


def _otsu(counts: Int64Array, centres: FloatArray) -> float:
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(hist=(counts, centres)))


def _li(counts: Int64Array, centres: FloatArray) -> float:
    """Li's iteration, from the mean, until the pixels above no longer change."""
    shifted = centres - centres[np.flatnonzero(counts)[0]]
    numbers = np.concatenate([[0], np.cumsum(counts)])
    sums = np.concatenate([[0.0], np.cumsum(counts * shifted)])
    threshold, before = sums[-1] / numbers[-1], -1
    while True:
        at = int(np.searchsorted(shifted, threshold, side="right"))
        below = numbers[at]
        if below in (before, 0, numbers[-1]) or sums[at] == 0.0:
            return float(threshold + (centres[0] - shifted[0]))
        before = below
        low = sums[at] / below
        high = (sums[-1] - sums[at]) / (numbers[-1] - below)
        threshold = (low - high) / (math.log(low) - math.log(high))


def _triangle(counts: Int64Array, centres: FloatArray) -> float:
    """Where the counts are farthest below the line from their peak to their longer end."""
    peak = int(np.argmax(counts))
    first, last = np.flatnonzero(counts)[[0, -1]].tolist()
    if first == last:
        return float(centres[first])
    flipped = peak - first < last - peak
    if flipped:
        counts = counts[::-1]
        first, peak = len(counts) - 1 - last, len(counts) - 1 - peak
    width, height = peak - first, int(counts[peak])
    places = np.arange(width)
    length = math.hypot(height, width)
    at = int(np.argmax(height / length * places - width / length * counts[first : first + width]))
    at += first
    return float(centres[len(counts) - 1 - at if flipped else at])
