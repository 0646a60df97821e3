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
PARTS = 1 << 20
# Steps after which Li's iteration is where it goes.
MOST = 10_000


def value_range(plane: NDArray[Any]) -> FloatArray:
    """Smallest and largest value."""
    return np.array([plane.min(), plane.max()], np.float64)


def value_counts(plane: NDArray[Any], low: float, high: float, bins: int, word: Word) -> Int64Array:
    """How many pixels have which value, in so many bins of equal width from ``low`` to ``high``.

    Parameters
    ----------
    plane : ndarray
        Its values lie from ``low`` to ``high``.
    bins : int
        If these are as many as there are whole numbers in the range, each is counted by itself.
    word : {"li", "otsu", "triangle"}
        What is to be found by them.

    Returns
    -------
    ndarray of int64, shape (2, bins)
        Below the counts, for Li's threshold of fractions, what the pixels of each bin are above its
        lower edge, all together, in parts of its width (one in `PARTS`).
    """
    out = np.zeros((2, bins), np.int64)
    if counts_whole(plane.dtype, low, high, bins):
        shifted = plane.reshape(-1).astype(np.int64) - int(low)
        out[0] = np.bincount(shifted, minlength=bins)
    elif edges_of(low, high, bins) is None:
        return out
    elif word == "li":
        scaled = (plane.reshape(-1).astype(np.float64) - low) * (bins / (high - low))
        at = np.clip(scaled, 0, bins - 1).astype(np.int64)
        out[0] = np.bincount(at, minlength=bins)
        # Whole numbers add up to the same in any order.
        out[1] = np.bincount(at, np.floor((scaled - at) * PARTS), bins).astype(np.int64)
    else:
        out[0] = np.histogram(plane, bins, (low, high))[0]
    return out


def edges_of(low: float, high: float, bins: int) -> FloatArray | None:
    """Edges of so many bins; None where they are not told apart.

    Then nothing stands out: the pixels are equal but for rounding, or their range overflows.
    """
    edges: FloatArray = np.linspace(low, high, bins + 1)
    return edges if (np.diff(edges) > 0).all() else None


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
    counts : ndarray of int64, shape (2, bins)
        Of `value_counts` for this word.
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
    number = counts[0]
    if len(number) == 1:
        return high
    if whole:
        centres = np.arange(len(number)) + np.float64(low)
    else:
        edges = edges_of(low, high, len(number))
        if edges is None:
            return high
        centres = edges[:-1] / 2 + edges[1:] / 2
    if word == "li":
        width = 1.0 if whole else (high - low) / len(number)
        return low + _li(number, counts[1] / PARTS, whole) * width
    return {"otsu": _otsu, "triangle": _triangle}[word](number, centres)


def _otsu(counts: Int64Array, centres: FloatArray) -> float:
    from skimage.filters import threshold_otsu

    return float(threshold_otsu(hist=(counts, centres)))


def _li(counts: Int64Array, above: FloatArray, whole: bool) -> float:
    """Li's iteration from the mean, in widths of the bins above the lowest one's edge.

    Of fractions, whose bin the threshold falls into is thought to be even in it.
    """
    places = np.arange(len(counts))
    numbers = np.concatenate([[0.0], np.cumsum(counts)])
    sums = np.concatenate([[0.0], np.cumsum(counts * places + above)])
    threshold = sums[-1] / numbers[-1]
    for _ in range(MOST):
        at = min(int(threshold), len(counts) - 1)
        # Whole numbers stand where their bins begin.
        part = 1.0 if whole else threshold - at
        below = numbers[at] + part * counts[at]
        total = sums[at] + part * counts[at] * (at + (0 if whole else part / 2))
        if below in (0, numbers[-1]) or total <= 0:
            break
        low, high = total / below, (sums[-1] - total) / (numbers[-1] - below)
        following = (low - high) / (math.log(low) - math.log(high))
        if following == threshold:
            break
        threshold = following
    return float(threshold)


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
