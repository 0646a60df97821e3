"""The work behind the columns of ``ideas``, channel by channel, then pair by pair."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.features.bright_detail import bright_detail, keep_masked, product_sum
from scip_mpi.features.ideas_columns import (
    ASPECT,
    DETAIL_3,
    DETAIL_7,
    GRADIENT,
    LOBES,
    MODULATION,
    NAMES,
    SPOTS,
    SYMMETRY,
)
from scip_mpi.features.lobes import lobe_count, lobes
from scip_mpi.features.mask_values import extremes, mean_outside
from scip_mpi.features.regions import Regions
from scip_mpi.features.runs import find_runs, join_runs, most_runs
from scip_mpi.features.selection import exact_sums, windows
from scip_mpi.segmentation.logarithm import log
from scip_mpi.segmentation.morphology import disc_half_widths, disc_scratch

SMALL, LARGE = disc_half_widths(3), disc_half_widths(7)
# The largest correlation: what is nearer to 1 is told from it by rounding alone.
MOST = 1.0 - 1e-12
OF_LIGHT = [ASPECT, SYMMETRY, SYMMETRY + 1, SYMMETRY + 2, LOBES]


def fill(
    batch: ImageBatch,
    where: Regions,
    masks: SetMasks,
    place: Int64Array,
    pairs: Int64Array,
    spot_ratio: float,
    lobe_threshold: float,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the columns asked for, of the objects that the mask set kept.

    Parameters
    ----------
    where : Regions
        The masks to measure in.
    place : ndarray of int64, shape (C, 10)
        Column of ``out`` of each statistic; -1 for none.
    pairs : ndarray of int64, shape (C, C)
        That of the similarity of two channels.
    """
    if not len(batch):
        return
    size = int((batch.shapes[:, 1] * batch.shapes[:, 2]).max())
    asked = place >= 0
    paired = (pairs >= 0).any(axis=0) | (pairs >= 0).any(axis=1)
    _ideas(
        batch.pixels, batch.offsets, batch.shapes, exact_sums(batch.pixels.dtype),
        where.bits, where.starts, masks.kept, windows(masks.bbox), masks.background,
        place, pairs,
        asked[:, OF_LIGHT].any(axis=1), paired, paired | asked[:, [DETAIL_3, SPOTS]].any(axis=1),
        SMALL, LARGE, spot_ratio, lobe_threshold, most_runs(batch.shapes),
        scratch.array("detail", size, np.float64),
        scratch.array("details", batch.channels * size, np.float64),
        scratch.array("spots", size, np.uint8),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _ideas(
    pixels,
    offsets,
    shapes,
    exact,
    bits,
    starts,
    kept,
    boxes,
    background,
    place,
    pairs,
    of_light,
    paired,
    of_details,
    small,
    large,
    spot_ratio,
    lobe_threshold,
    capacity,
    detail,
    details,
    spots,
    out,
):
    height, width = shapes[:, 1].max(), shapes[:, 2].max()
    discs = disc_scratch(height, width, large, pixels)
    opened = np.empty((height, width), pixels.dtype)
    runs = np.empty((capacity, 3), np.int64)
    found = np.empty((capacity, 3), np.int64)
    parent = np.empty(capacity, np.int64)
    touching = np.empty((capacity, 3), np.int64)
    of_lobes = np.empty(4)
    values = np.empty(len(NAMES))
    squares = np.empty(len(place))
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        n = h * w
        box = boxes[i]
        area = (box[2] - box[0]) * (box[3] - box[1])
        # Of the combined mask the runs are those of the channel before.
        known, count = -1, 0
        for c in range(channels):
            asked = place[c] >= 0
            squares[c] = 0.0
            if not (asked.any() or paired[c]):
                continue
            at = offsets[i] + c * n
            flat = pixels[at : at + n]
            plane = flat.reshape(h, w)
            start = starts[i, c]
            mask = bits[start : start + n].reshape(h, w)
            if start != known:
                known, count = start, find_runs(mask, box, runs)
            values[:] = np.nan
            if count:
                inside = runs[:count]
                low, high, total, size = extremes(plane, inside)
                mean = total / size
                level = background[i, c]
                if of_light[c] and math.isnan(level):
                    level = mean_outside(flat, exact, bits[start : start + n], total, size)
                if asked[GRADIENT] and mean > 0.0:
                    values[GRADIENT] = math.sqrt(gradient_square(plane, inside, size)) / mean
                if high > 0.0:
                    low = max(low, 0.0)
                    values[MODULATION] = (high - low) / (high + low)
                if of_light[c]:
                    lobes(plane, inside, level, of_lobes)
                    values[ASPECT] = of_lobes[0]
                    values[SYMMETRY : SYMMETRY + 3] = of_lobes[1:]
                    values[LOBES] = lobe_count(of_lobes[1:], lobe_threshold)
                if of_details[c]:
                    bright_detail(plane, box, small, discs, opened, detail)
                    mine = details[c * area : (c + 1) * area]
                    values[DETAIL_3], squares[c] = keep_masked(detail, mask, box, mine)
                    if asked[SPOTS] and mean > 0.0:
                        least = spot_ratio * mean
                        for k in range(area):
                            spots[k] = mine[k] >= least
                        whole = np.array([0, 0, box[2] - box[0], box[3] - box[1]])
                        among = spots[:area].reshape(whole[2], whole[3])
                        values[SPOTS] = components(among, whole, found, parent, touching)
                if asked[DETAIL_7]:
                    bright_detail(plane, box, large, discs, opened, detail)
                    values[DETAIL_7] = keep_masked(detail, mask, box, detail)[0]
            for s in range(len(values)):
                if place[c, s] >= 0:
                    out[i, place[c, s]] = values[s]
        for a in range(channels):
            for b in range(a + 1, channels):
                if pairs[a, b] >= 0 and squares[a] > 0.0 and squares[b] > 0.0:
                    first = details[a * area : (a + 1) * area]
                    second = details[b * area : (b + 1) * area]
                    both = math.sqrt(squares[a]) * math.sqrt(squares[b])
                    r = min(product_sum(first, second) / both, MOST)
                    out[i, pairs[a, b]] = log((1.0 + r) / (1.0 - r))


@njit(cache=True, nogil=True, error_model="numpy")
def gradient_square(plane, runs, size):
    """Mean squared gradient over a mask, by central differences, the image's edge repeated."""
    height, width = plane.shape
    total = 0.0
    for r in range(len(runs)):
        y = runs[r, 0]
        above, below = plane[max(y - 1, 0)], plane[min(y + 1, height - 1)]
        row = plane[y]
        for x in range(runs[r, 1], runs[r, 2]):
            dx = np.float64(row[min(x + 1, width - 1)]) - np.float64(row[max(x - 1, 0)])
            dy = np.float64(below[x]) - np.float64(above[x])
            total += dx * dx + dy * dy
    return total / (4.0 * size)


@njit(cache=True, nogil=True, error_model="numpy")
def components(mask, box, runs, parent, touching):
    """Number of components of a mask, joined over corners."""
    n = find_runs(mask, box, runs)
    join_runs(runs, n, parent, touching)
    count = 0
    for r in range(n):
        count += parent[r] == r
    return count
