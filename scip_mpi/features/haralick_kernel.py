"""Co-occurrence matrices of any number of grey levels, and Haralick's features of them.

A matrix is never swept: it has hundreds or thousands of entries, and a cell has few pairs. The sums
over its entries are sums over the pairs, each of which looks up how often its like occurs; all else
comes from three histograms, of the levels' sums, differences, and of the levels themselves.
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
    single = bool((statistics != MERGED).any())
    # Twice the pairs of all four angles, at most.
    logs = logarithms(2 * ANGLES * pixels.most)
    _haralick(
        grey.levels, grey.defined, pixels.places, pixels.bounds, pixels.starts, pixels.widths,
        pixels.most, most, given, features, distances, statistics, single, merged, logs, out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _haralick(
    levels, defined, places, bounds, starts, widths, capacity, most, given, features,
    distances, statistics, single, merged, logs, out,
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
    further = features.max() >= NUMBER
    values = np.empty((ANGLES + 1, EVERY if further else NUMBER))
    found = np.empty(values.shape[1] * len(statistics))
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
            span = np.int64(most)
            if given:
                span = np.int64(0)
                for k in range(len(mine)):
                    span = max(span, np.int64(plane[np.uint64(mine[k])]))
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
                        squares, weighted, largest = _sums(keys[:total], matrix, logs)
                        for level in range(1, most + 1):
                            # Both ends alike: twice in one entry, not once in two.
                            count = np.int64(matrix[(level << shift) + level])
                            squares += count * count
                            weighted += count
                            largest = max(largest, 2 * count)
                        thirteen(
                            sums, gaps, ends, total, 2.0 * squares, 2.0 * weighted, logs, values[g]
                        )
                        if further:
                            twelve(sums, gaps, total, largest, span, values[g])
                    _clear(keys[:total], matrix)
                    sums[:] = 0
                    gaps[:] = 0
                over_angles(values, statistics, found)
                for f in range(len(features)):
                    for k in range(len(statistics)):
                        column = ((j * len(features) + f) * len(statistics) + k) * number + d
                        out[i, column] = found[features[f] * len(statistics) + k]


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
    """Over the entries c of a matrix, the sums of c^2 and of c log2 c, and the largest of them."""
    squares = np.int64(0)
    largest = np.uint32(0)
    even = 0.0
    odd = 0.0
    n = len(keys)
    for t in range(0, n - 1, 2):
        c = matrix[np.uint64(keys[t])]
        d = matrix[np.uint64(keys[t + 1])]
        squares += np.int64(c) + np.int64(d)
        largest = max(largest, c, d)
        even += logs[np.uint64(c)]
        odd += logs[np.uint64(d)]
    if n % 2:
        c = matrix[np.uint64(keys[n - 1])]
        squares += np.int64(c)
        largest = max(largest, c)
        even += logs[np.uint64(c)]
    return squares, even + odd, np.int64(largest)


@njit(cache=True, nogil=True, error_model="numpy")
def _clear(keys, matrix):
    for t in range(len(keys)):
        matrix[np.uint64(keys[t])] = 0
