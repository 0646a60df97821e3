"""The work behind the columns of ``cp_intensity``, channel by channel."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.features.order_statistics import (
    LOWER,
    MAD,
    MAX,
    MEAN,
    MEDIAN,
    MIN,
    N_STATISTICS,
    STD,
    SUM,
    UPPER,
    at_rank,
    mean_deviation,
    some_statistics,
)
from scip_mpi.features.regions import Regions
from scip_mpi.features.runs import find_runs, most_runs
from scip_mpi.features.selection import exact_sums, windows
from scip_mpi.features.tally import LANES, WIDEST, add_value, tally_plane, tally_whole, whole_range

COLUMNS = 19


def fill(
    batch: ImageBatch,
    masks: SetMasks,
    where: Regions,
    channels: Int64Array,
    by_count: bool,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the columns of some channels, of the objects that the mask set kept.

    Parameters
    ----------
    where : Regions
        The masks to measure in.
    channels : ndarray of int64
        Places of the channels.
    by_count : bool
        Whether a fraction q of n pixels lies at rank n q, not (n - 1) q.
    """
    size = int((batch.shapes[:, 1] * batch.shapes[:, 2]).max())
    _intensities(
        batch.pixels, batch.offsets, batch.shapes, exact_sums(batch.pixels.dtype),
        where.bits, where.starts, masks.kept, windows(masks.bbox), channels, by_count,
        most_runs(batch.shapes),
        scratch.array("gathered", size, np.float64),
        scratch.array("found", size, np.int32),
        scratch.array("spare", size, np.int32),
        scratch.array("edge", size + 1, np.int32),
        scratch.array("values", size + 1, np.float64),
        scratch.array("times", size + 1, np.int64),
        scratch.array("upto", size + 1, np.int64),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _intensities(
    pixels,
    offsets,
    shapes,
    exact,
    bits,
    starts,
    kept,
    boxes,
    channels,
    by_count,
    capacity,
    gathered,
    found,
    spare,
    edge,
    values,
    times,
    upto,
    out,
):
    runs = np.empty((capacity, 3), np.int64)
    counts = np.zeros(LANES * WIDEST, np.uint32)
    of_mask = np.empty(N_STATISTICS)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        h, w = shapes[i, 1], shapes[i, 2]
        n = h * w
        known = np.int64(-1)
        n_runs = 0
        n_edge = 0
        for j in range(len(channels)):
            c = channels[j]
            start = starts[i, c]
            if start != known:
                known = start
                mask = bits[start : start + n].reshape(h, w)
                n_runs = find_runs(mask, boxes[i], runs)
                n_edge = find_edge(mask, runs[:n_runs], edge)
            flat = pixels[offsets[i] + c * n : offsets[i] + (c + 1) * n]
            row = out[i, j * COLUMNS : (j + 1) * COLUMNS]
            m = _gather(flat, w, runs[:n_runs], gathered, row)
            if m == 0:
                continue
            if exact:
                for k in range(m):
                    found[k] = np.int32(gathered[k])
                low, high, whole = whole_range(found[:m])
                if high - low < WIDEST:
                    distinct = tally_plane(found[:m], low, high, counts, values, times)
                else:
                    distinct = tally_whole(found, m, spare, values, times)
                total = np.float64(whole)
            else:
                total = 0.0
                for k in range(m):
                    total += gathered[k]
                gathered[:m].sort()
                distinct = 0
                for k in range(m):
                    distinct = add_value(gathered[k], distinct, values, times)
            some_statistics(values, times, distinct, upto, total, True, True, of_mask)
            if by_count:
                _by_count(values, times, distinct, upto, of_mask)
            row[0] = of_mask[SUM]
            row[1] = of_mask[MEAN]
            row[2] = of_mask[STD]
            row[3] = of_mask[MAX]
            row[4] = of_mask[MIN]
            row[11] = of_mask[LOWER]
            row[12] = of_mask[MEDIAN]
            row[13] = of_mask[MAD]
            row[14] = of_mask[UPPER]
            _of_edge(flat, edge[:n_edge], row[5:10])


@njit(cache=True, nogil=True, error_model="numpy")
def find_edge(mask, runs, places):
    """Places (row * width + column) of the pixels with a side at the outside; how many."""
    height, width = mask.shape
    found = np.uint64(0)
    for r in range(len(runs)):
        y, first, stop = runs[r, 0], runs[r, 1], runs[r, 2]
        between = 0 < y < height - 1
        above = np.uint64(max(y - 1, 0))
        below = np.uint64(min(y + 1, height - 1))
        for x in range(first, stop):
            column = np.uint64(x)
            within = between & (x > first) & (x < stop - 1)
            within &= (mask[above, column] != 0) & (mask[below, column] != 0)
            places[found] = y * width + x
            found += np.uint64(not within)
    return np.int64(found)


@njit(cache=True, nogil=True, error_model="numpy")
def _gather(flat, width, runs, gathered, row):
    """Finite pixels of the mask, in raster order; how many. Places of intensity into the row.

    Parameters
    ----------
    row : (19,) float64, out
        Displacement, centre of intensity, and place of the largest pixel, where there is a pixel.
    """
    m = np.uint64(0)
    weight, weight_y, weight_x = 0.0, 0.0, 0.0
    sum_y, sum_x = 0, 0
    high = -np.inf
    high_y, high_x = 0, 0
    for r in range(len(runs)):
        y = runs[r, 0]
        at = y * width
        of_run, of_run_x = 0.0, 0.0
        before = m
        for x in range(runs[r, 1], runs[r, 2]):
            value = np.float64(flat[np.uint64(at + x)])
            finite = math.isfinite(value)
            gathered[m] = value
            m += np.uint64(finite)
            if not finite:
                continue
            of_run += value
            of_run_x += value * x
            sum_x += x
            if value > high:
                high, high_y, high_x = value, y, x
        weight += of_run
        weight_x += of_run_x
        weight_y += of_run * y
        sum_y += y * np.int64(m - before)
    n = np.int64(m)
    if n:
        if weight != 0.0:
            row[15] = weight_x / weight
            row[16] = weight_y / weight
            row[10] = math.hypot(row[15] - sum_x / n, row[16] - sum_y / n)
        row[17] = high_x
        row[18] = high_y
    return n


@njit(cache=True, nogil=True, error_model="numpy")
def _by_count(values, times, m, upto, out):
    """Quartiles, median and deviation with a fraction q of n values at rank n q."""
    n = upto[m - 1]
    out[LOWER] = at_rank(values, upto, m, 0.25 * n)
    out[MEDIAN] = at_rank(values, upto, m, 0.5 * n)
    out[UPPER] = at_rank(values, upto, m, 0.75 * n)
    last = min((n + 1) // 2, n - 1)
    out[MAD] = mean_deviation(values, times, m, out[MEDIAN], n // 2, last)


@njit(cache=True, nogil=True, error_model="numpy")
def _of_edge(flat, places, out):
    """Sum, mean, standard deviation, largest and least of the finite pixels at some places."""
    n = 0
    total = 0.0
    high, low = -np.inf, np.inf
    for k in range(len(places)):
        value = np.float64(flat[np.uint64(places[k])])
        if math.isfinite(value):
            n += 1
            total += value
            high = max(high, value)
            low = min(low, value)
    if n == 0:
        return
    mean = total / n
    squares = 0.0
    if low < high:
        for k in range(len(places)):
            value = np.float64(flat[np.uint64(places[k])])
            if math.isfinite(value):
                squares += (value - mean) * (value - mean)
    out[0] = total
    out[1] = mean
    out[2] = math.sqrt(squares / n)
    out[3] = high
    out[4] = low
