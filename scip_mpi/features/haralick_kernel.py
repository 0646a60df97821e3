"""Co-occurrence matrices of any number of grey levels, and Haralick's features of them.

A matrix is never swept: it has hundreds or thousands of entries, and a cell has few pairs. While
pairs are counted, the entries that become more than 0 are listed; over those few, three histograms
are made, of the levels' sums, differences, and of the levels themselves, and two sums.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.features.angles import ANGLES, MERGED, back_steps, over_angles
from scip_mpi.features.emphases import logarithms
from scip_mpi.features.grey import Grey
from scip_mpi.features.haralick_values import EVERY, NUMBER, thirteen, twelve


def fill(
    grey: Grey,
    most: int,
    given: bool,
    features: Int64Array,
    distances: Int64Array,
    statistics: Int64Array,
    out: FloatArray,
) -> None:
    """Fill all columns: by channel, feature, statistic, distance.

    Parameters
    ----------
    most : int
        The largest level that can be.
    given : bool
        Whether pixels were levels already; then IBSI counts levels up to the mask's largest.
    features : ndarray of int64
        Places among the features, Haralick's first.
    distances : ndarray of int64
    statistics : ndarray of int64
        Places among `scip_mpi.features.angles.STATISTICS`.
    """
    pixels = grey.pixels
    merged = bool((statistics == MERGED).any())
    # Both ends of all pairs at an angle, or at all of them, at most.
    logs = logarithms(2 * pixels.most * (ANGLES if merged else 1))
    _haralick(
        grey.levels, grey.defined, pixels.places, pixels.bounds, pixels.starts, pixels.widths,
        pixels.most, most, given, features, distances, statistics, merged, logs, out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _haralick(
    levels, defined, places, bounds, starts, widths, capacity, most, given, features, distances,
    statistics, merged, logs, out,
):  # fmt: skip
    shift = 1
    while (1 << shift) < most:
        shift += 1
    number = len(distances)
    channels = defined.shape[1]
    back = np.empty(ANGLES, np.int64)
    # The levels of a pair are 1 to `most`: the least times a power of two, plus the other, differ.
    # Smaller keys are those of pairs with a pixel outside the mask, which has level 0.
    matrices = np.zeros((ANGLES + 1, (most << shift) + most + 1), np.uint32)
    listed = np.empty((ANGLES + 1, ANGLES * capacity), np.uint32)
    lengths = np.zeros(ANGLES + 1, np.int64)
    sums = np.zeros(2 * most + 1, np.int64)
    gaps = np.zeros(most, np.int64)
    ends = np.zeros(most + 1, np.int64)
    further = features.max() >= NUMBER
    values = np.empty((ANGLES + 1, EVERY if further else NUMBER))
    found = np.empty(values.shape[1] * len(statistics))
    for i in range(len(widths)):
        size = starts[i + 1] - starts[i]
        for j in range(channels):
            if not defined[i, j]:
                continue
            at = starts[i] * channels + j * size
            plane = levels[at : at + size]
            mine = places[bounds[i, j, 0] : bounds[i, j, 1]]
            span = np.int64(most)
            if given:
                span = np.int64(0)
                for k in range(len(mine)):
                    span = max(span, np.int64(plane[np.uint64(mine[k])]))
            for d in range(number):
                back_steps(distances[d], widths[i], back)
                _count(plane, mine, back, np.uint64(shift), matrices, listed, lengths)
                if merged:
                    _merge(matrices, listed, lengths)
                for g in range(ANGLES + merged):
                    total, squares, weighted, largest = _collect(
                        matrices[g], listed[g, : lengths[g]], np.uint64(shift), np.uint64(most),
                        logs, sums, gaps, ends,
                    )  # fmt: skip
                    values[g] = np.nan
                    if total:
                        thirteen(sums, gaps, ends, total, squares, weighted, logs, values[g])
                        if further:
                            twelve(sums, gaps, total, largest, span, values[g])
                    sums[:] = 0
                    gaps[:] = 0
                    ends[:] = 0
                over_angles(values, statistics, found)
                for f in range(len(features)):
                    for k in range(len(statistics)):
                        column = ((j * len(features) + f) * len(statistics) + k) * number + d
                        out[i, column] = found[features[f] * len(statistics) + k]


@njit(cache=True, nogil=True, error_model="numpy")
def _count(plane, places, back, shift, matrices, listed, lengths):
    """Count pairs at all angles at once, so that equal ones need not wait for each other.

    Parameters
    ----------
    plane : uint16
    places : int32
    back : (4,) int64
        From a pixel to the other one of its pair, at each angle.
    shift : uint64
    matrices : (5, ...) uint32, out
        All 0 but what is counted.
    listed : (5, ...) uint32, out
        Keys that occur at each angle, each once.
    lengths : (5,) int64, out
    """
    first, second, third, fourth = matrices[0], matrices[1], matrices[2], matrices[3]
    keys, more, others, rest = listed[0], listed[1], listed[2], listed[3]
    n, m, p, q = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    one = np.uint32(1)
    right, up_right = np.uint64(back[0]), np.uint64(back[1])
    up, up_left = np.uint64(back[2]), np.uint64(back[3])
    for k in range(len(places)):
        place = np.uint64(places[k])
        level = np.uint64(plane[place])
        # Listed every time, and left in the list the first time: no branch to guess wrong.
        other = np.uint64(plane[place - right])
        key = (min(level, other) << shift) + max(level, other)
        before = first[key]
        first[key] = before + one
        keys[n] = key
        n += np.uint64(before == 0)
        other = np.uint64(plane[place - up_right])
        key = (min(level, other) << shift) + max(level, other)
        before = second[key]
        second[key] = before + one
        more[m] = key
        m += np.uint64(before == 0)
        other = np.uint64(plane[place - up])
        key = (min(level, other) << shift) + max(level, other)
        before = third[key]
        third[key] = before + one
        others[p] = key
        p += np.uint64(before == 0)
        other = np.uint64(plane[place - up_left])
        key = (min(level, other) << shift) + max(level, other)
        before = fourth[key]
        fourth[key] = before + one
        rest[q] = key
        q += np.uint64(before == 0)
    lengths[0], lengths[1], lengths[2], lengths[3] = n, m, p, q


@njit(cache=True, nogil=True, error_model="numpy")
def _merge(matrices, listed, lengths):
    """Add the matrices of the angles up into the last one."""
    n = 0
    for g in range(ANGLES):
        for t in range(lengths[g]):
            key = np.uint64(listed[g, t])
            before = matrices[ANGLES, key]
            matrices[ANGLES, key] = before + matrices[g, key]
            listed[ANGLES, n] = key
            n += before == 0
    lengths[ANGLES] = n


@njit(cache=True, nogil=True, error_model="numpy")
def _collect(matrix, listed, shift, most, logs, sums, gaps, ends):
    """Take a matrix apart, and leave it empty.

    Parameters
    ----------
    matrix : uint32
        Counts of pairs by key.
    listed : uint32
        The keys that occur.
    sums, gaps, ends : int64, out
        Pairs by the sum of their levels and by the difference, and levels of both pixels of all
        pairs; all 0 before.

    Returns
    -------
    int, float, float, int
        How many pairs; over the entries c of the symmetric matrix, in which a pair counts in both
        orders, the sums of c^2 and c log2 c, and the largest.
    """
    mask = (np.uint64(1) << shift) - np.uint64(1)
    one = np.uint64(1)
    total = np.int64(0)
    squares = np.int64(0)
    largest = np.int64(0)
    weighted = 0.0
    for t in range(len(listed)):
        key = np.uint64(listed[t])
        count = np.int64(matrix[key])
        matrix[key] = 0
        if key <= most:
            continue
        # Levels are 1 to a power of two, not 0 to one less.
        low = (key - one) >> shift
        high = ((key - one) & mask) + one
        total += count
        sums[low + high] += count
        gaps[high - low] += count
        ends[low] += count
        ends[high] += count
        # A pair of unlike levels is in two entries, one of like levels twice in one.
        like = np.int64(low == high)
        entry = count << like
        times = 2 - like
        squares += times * entry * entry
        weighted += times * entry * logs[np.uint64(entry)]
        largest = max(largest, entry)
    return total, np.float64(squares), weighted, largest
