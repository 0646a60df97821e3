"""Co-occurrence matrices of any number of grey levels, and Haralick's features of them.

A matrix is never swept: it has hundreds or thousands of entries, and a cell has few pairs. The sums
over its entries are sums over the pairs, each of which looks up how often its like occurs; all else
comes from three histograms, of the levels' sums, differences, and of the levels themselves.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.features.angles import ANGLES, MERGED, back_steps, over_angles
from scip_mpi.features.emphases import logarithms
from scip_mpi.features.grey import Grey

# The 13 that Haralick, Shanmugam and Dinstein number from 1, in that order.
NUMBER = 13


def fill(
    grey: Grey, most: int, distances: Int64Array, statistics: Int64Array, out: FloatArray
) -> None:
    """Fill all columns: by channel, feature, statistic, distance.

    Parameters
    ----------
    most : int
        The largest level that can be.
    distances : ndarray of int64
    statistics : ndarray of int64
        Places among `scip_mpi.features.angles.STATISTICS`.
    """
    pixels = grey.pixels
    merged = bool((statistics == MERGED).any())
    single = bool((statistics != MERGED).any())
    # Twice the pairs of all four angles, at most.
    logs = logarithms(2 * ANGLES * pixels.most)
    _haralick(
        grey.levels, grey.defined, pixels.places, pixels.bounds, pixels.starts, pixels.widths,
        pixels.most, most, distances, statistics, single, merged, logs, out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _haralick(
    levels, defined, places, bounds, starts, widths, capacity, most, distances, statistics, single,
    merged, logs, out,
):  # fmt: skip
    shift = 1
    while (1 << shift) < most:
        shift += 1
    number = len(distances)
    channels = defined.shape[1]
    pairs = np.empty((number * ANGLES, capacity), np.uint32)
    lengths = np.zeros(number * ANGLES, np.int64)
    # Pixels on the other side of a pixel, 0 to 2 at each angle, as two numbers of 32 bits in one.
    first_two = np.empty((number, capacity), np.uint64)
    last_two = np.empty((number, capacity), np.uint64)
    back = np.empty(ANGLES, np.int64)
    keys = np.empty(ANGLES * capacity, np.uint32)
    # The levels of a pair are 1 to `most`: the least times a power of two, plus the other, differ.
    matrix = np.zeros((most << shift) + most + 1, np.uint32)
    sums = np.zeros((2, 2 * most + 1), np.uint32)
    gaps = np.zeros((2, most), np.uint32)
    packed = np.zeros((2, most + 1), np.uint64)
    ends = np.zeros(most + 1, np.int64)
    values = np.empty((ANGLES + 1, NUMBER))
    found = np.empty(NUMBER * len(statistics))
    for i in range(len(widths)):
        size = starts[i + 1] - starts[i]
        seen = np.int64(-1)
        for j in range(channels):
            if not defined[i, j]:
                continue
            first, end = bounds[i, j]
            at = starts[i] * channels + j * size
            plane = levels[at : at + size]
            mine = places[first:end]
            if first != seen:
                seen = first
                for d in range(number):
                    back_steps(distances[d], widths[i], back)
                    _find_pairs(
                        plane, mine, back, pairs[d * ANGLES : (d + 1) * ANGLES],
                        lengths[d * ANGLES : (d + 1) * ANGLES], first_two[d], last_two[d],
                    )  # fmt: skip
            for d in range(number):
                back_steps(distances[d], widths[i], back)
                _count_ends(plane, mine, first_two[d], last_two[d], packed)
                for g in range(ANGLES + 1):
                    if not (merged if g == ANGLES else single):
                        continue
                    begin, stop = (0, ANGLES) if g == ANGLES else (g, g + 1)
                    total = 0
                    ends[:] = 0
                    for angle in range(begin, stop):
                        listed = pairs[d * ANGLES + angle, : lengths[d * ANGLES + angle]]
                        _count(
                            plane, listed, back[angle], np.uint64(shift), matrix, sums, gaps,
                            keys[total:],
                        )  # fmt: skip
                        total += len(listed)
                        for level in range(most + 1):
                            ends[level] += np.int64(
                                (packed[angle >> 1, level] >> np.uint64(32 * (angle & 1)))
                                & np.uint64(0xFFFFFFFF)
                            )
                    values[g] = np.nan
                    if total:
                        squares, weighted = _sums(keys[:total], matrix, logs)
                        for level in range(1, most + 1):
                            # Both ends alike: twice in one entry, not once in two.
                            count = np.int64(matrix[(level << shift) + level])
                            squares += count * count
                            weighted += count
                        thirteen(
                            sums, gaps, ends, total, 2.0 * squares, 2.0 * weighted, logs, values[g]
                        )
                    _clear(keys[:total], matrix)
                    sums[:] = 0
                    gaps[:] = 0
                over_angles(values, statistics, found)
                for f in range(len(found)):
                    out[i, (j * len(found) + f) * number + d] = found[f]


@njit(cache=True, nogil=True, error_model="numpy")
def _find_pairs(plane, places, back, pairs, lengths, first_two, last_two):
    """The pairs of a mask at one distance, each by its later pixel, and those that pixels end."""
    lengths[:] = 0
    for k in range(len(places)):
        place = np.int64(places[k])
        for g in range(ANGLES):
            pairs[g, lengths[g]] = place
            before = plane[np.uint64(place - back[g])] != 0
            after = plane[np.uint64(place + back[g])] != 0
            lengths[g] += before
            beside = np.uint64(before) + np.uint64(after)
            if g == 0:
                first_two[k] = beside
            elif g == 1:
                first_two[k] |= beside << np.uint64(32)
            elif g == 2:
                last_two[k] = beside
            else:
                last_two[k] |= beside << np.uint64(32)


@njit(cache=True, nogil=True, error_model="numpy")
def _count_ends(plane, places, first_two, last_two, packed):
    """How often each level ends a pair, at each angle."""
    packed[:] = 0
    for k in range(len(places)):
        level = np.uint64(plane[np.uint64(places[k])])
        packed[0, level] += first_two[k]
        packed[1, level] += last_two[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _count(plane, listed, back, shift, matrix, sums, gaps, keys):
    """Count pairs at one angle; two at a time, so that equal ones need not wait for each other."""
    step = np.uint64(back)
    n = len(listed)
    for t in range(0, n - 1, 2):
        place = np.uint64(listed[t])
        other = np.uint64(listed[t + 1])
        a = np.uint64(plane[place])
        b = np.uint64(plane[place - step])
        c = np.uint64(plane[other])
        d = np.uint64(plane[other - step])
        low, high = min(a, b), max(a, b)
        least, largest = min(c, d), max(c, d)
        key = (low << shift) + high
        another = (least << shift) + largest
        keys[t] = key
        keys[t + 1] = another
        matrix[key] += np.uint32(1)
        sums[0, a + b] += np.uint32(1)
        gaps[0, high - low] += np.uint32(1)
        matrix[another] += np.uint32(1)
        sums[1, c + d] += np.uint32(1)
        gaps[1, largest - least] += np.uint32(1)
    if n % 2:
        place = np.uint64(listed[n - 1])
        a = np.uint64(plane[place])
        b = np.uint64(plane[place - step])
        low, high = min(a, b), max(a, b)
        key = (low << shift) + high
        keys[n - 1] = key
        matrix[key] += np.uint32(1)
        sums[0, a + b] += np.uint32(1)
        gaps[0, high - low] += np.uint32(1)


@njit(cache=True, nogil=True, error_model="numpy")
def _sums(keys, matrix, logs):
    """Over the entries c of a matrix, the sums of c^2 and of c log2 c."""
    squares = np.int64(0)
    even = 0.0
    odd = 0.0
    n = len(keys)
    for t in range(0, n - 1, 2):
        c = matrix[np.uint64(keys[t])]
        d = matrix[np.uint64(keys[t + 1])]
        squares += np.int64(c) + np.int64(d)
        even += logs[np.uint64(c)]
        odd += logs[np.uint64(d)]
    if n % 2:
        c = matrix[np.uint64(keys[n - 1])]
        squares += np.int64(c)
        even += logs[np.uint64(c)]
    return squares, even + odd


@njit(cache=True, nogil=True, error_model="numpy")
def _clear(keys, matrix):
    for t in range(len(keys)):
        matrix[np.uint64(keys[t])] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def thirteen(sums, gaps, ends, pairs, squares, weighted, logs, out):
    """Haralick's features of one symmetric matrix.

    Parameters
    ----------
    sums : (2, 2 * most + 1) uint32
        Pairs by the sum of their levels, in two parts.
    gaps : (2, most) uint32
        By the difference.
    ends : (most + 1,) int64
        Levels of both pixels of all pairs.
    pairs : int
        How many; at least one.
    squares, weighted : float
        Sums of c^2 and c log2 c over the entries c of the symmetric matrix of counts.
    logs : float64
        log2 of whole numbers; 0 for 0.
    out : (13,) float64
    """
    twice = 2 * pairs
    total = np.float64(twice)
    most = len(ends) - 1
    first = np.int64(0)
    of_ends = 0.0
    for level in range(1, most + 1):
        first += level * ends[level]
        of_ends += ends[level] * logs[ends[level]]
    mean = first / total
    variance = 0.0
    for level in range(1, most + 1):
        variance += (level - mean) * (level - mean) * ends[level]
    variance /= total
    contrast = np.int64(0)
    distance = np.int64(0)
    similar = 0.0
    of_gaps = 0.0
    for gap in range(most):
        count = np.int64(gaps[0, gap]) + np.int64(gaps[1, gap])
        contrast += gap * gap * count
        distance += gap * count
        similar += count / (1.0 + gap * gap)
        of_gaps += count * logs[count]
    mean_gap = distance / pairs
    gap_variance = 0.0
    for gap in range(most):
        count = np.int64(gaps[0, gap]) + np.int64(gaps[1, gap])
        gap_variance += (gap - mean_gap) * (gap - mean_gap) * count
    sum_variance = 0.0
    of_sums = 0.0
    for s in range(2, 2 * most + 1):
        count = np.int64(sums[0, s]) + np.int64(sums[1, s])
        sum_variance += (s - 2.0 * mean) * (s - 2.0 * mean) * count
        of_sums += count * logs[count]
    sum_variance /= pairs
    joint = max(logs[twice] - weighted / total, 0.0)
    single = max(logs[twice] - of_ends / total, 0.0)
    out[0] = squares / (total * total)
    out[1] = contrast / pairs
    out[2] = (sum_variance - out[1]) / (4.0 * variance) if variance > 0.0 else np.nan
    out[3] = variance
    out[4] = similar / pairs
    out[5] = 2.0 * mean
    out[6] = sum_variance
    out[7] = max(logs[pairs] - of_sums / pairs, 0.0)
    out[8] = joint
    out[9] = gap_variance / pairs
    out[10] = max(logs[pairs] - of_gaps / pairs, 0.0)
    # The matrix is symmetric: both of Haralick's joint entropies of independent levels are twice
    # the entropy of one.
    out[11] = (joint - 2.0 * single) / single if variance > 0.0 else np.nan
    out[12] = math.sqrt(max(1.0 - math.exp(-2.0 * (2.0 * single - joint)), 0.0))
