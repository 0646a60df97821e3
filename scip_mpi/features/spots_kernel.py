"""The work behind the columns of ``spots``."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, SetMasks
from scip_mpi.features.mask_values import extremes, mean_outside
from scip_mpi.features.regions import Regions
from scip_mpi.features.runs import find_runs, join_runs, most_runs
from scip_mpi.features.selection import exact_sums, windows


def fill(
    batch: ImageBatch,
    where: Regions,
    masks: SetMasks,
    place: Int64Array,
    in_crop: bool,
    out: FloatArray,
) -> None:
    """Fill the columns asked for, of the objects that the mask set kept.

    Parameters
    ----------
    where : Regions
        The masks to measure in.
    place : ndarray of int64, shape (C, 4)
        Column of ``out`` of each statistic; -1 for none.
    in_crop : bool
        Whether distances are from the middle of the crop.
    """
    _spots(
        batch.pixels, batch.offsets, batch.planes, batch.shapes, exact_sums(batch.pixels.dtype),
        where.bits, where.starts, masks.combined, masks.kept, windows(masks.bbox),
        masks.background, place, in_crop, most_runs(batch.shapes), out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _spots(
    pixels,
    offsets,
    planes,
    shapes,
    exact,
    bits,
    starts,
    combined,
    kept,
    boxes,
    background,
    place,
    in_crop,
    capacity,
    out,
):
    runs = np.empty((capacity, 3), np.int64)
    parent = np.empty(capacity, np.int64)
    touching = np.empty((capacity, 3), np.int64)
    sums = np.empty((capacity, 3))
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        n = h * w
        box = boxes[i]
        middle_y, middle_x = (h - 1) / 2, (w - 1) / 2
        if not in_crop:
            plane = combined[planes[i] : planes[i] + n].reshape(h, w)
            middle_y, middle_x = centroid(runs[: find_runs(plane, box, runs)])
        known, size = -1, 0
        count, distance = 0, np.nan
        for c in range(channels):
            if place[c].max() < 0:
                continue
            at = offsets[i] + c * n
            start = starts[i, c]
            mask = bits[start : start + n]
            # Of the combined mask the components are those of the channel before.
            if start != known:
                known, size = start, find_runs(mask.reshape(h, w), box, runs)
                join_runs(runs, size, parent, touching)
                count, distance = spread(runs[:size], parent, sums, middle_y, middle_x)
            area = 0
            brightness = 0.0
            if size:
                flat = pixels[at : at + n]
                _, _, total, area = extremes(flat.reshape(h, w), runs[:size])
                level = background[i, c]
                if math.isnan(level):
                    level = mean_outside(flat, exact, mask, total, area)
                brightness = total - level * area
            for s, value in enumerate((float(count), float(area), brightness, distance)):
                if place[c, s] >= 0:
                    out[i, place[c, s]] = value


@njit(cache=True, nogil=True, error_model="numpy")
def centroid(runs):
    """Mean row and column of the pixels of some runs; NaN without any."""
    area, sum_y, sum_x = 0, 0, 0
    for r in range(len(runs)):
        y, a, b = runs[r]
        area += b - a
        sum_y += y * (b - a)
        sum_x += (a + b - 1) * (b - a) // 2
    return sum_y / area, sum_x / area


@njit(cache=True, nogil=True, error_model="numpy")
def spread(runs, parent, sums, middle_y, middle_x):
    """Number of components, and the mean distance of their centroids from a point.

    Parameters
    ----------
    runs : (n, 3) int64
    parent : (>= n,) int64
        As `scip_mpi.features.runs.join_runs` leaves it.
    sums : (>= n, 3) float64, scratch
    """
    for r in range(len(runs)):
        y, a, b = runs[r]
        root = parent[r]
        if root == r:
            sums[r] = 0.0
        # Whole numbers, hence exact.
        sums[root, 0] += b - a
        sums[root, 1] += y * (b - a)
        sums[root, 2] += (a + b - 1) * (b - a) // 2
    count = 0
    total = 0.0
    for r in range(len(runs)):
        if parent[r] == r:
            count += 1
            dy = sums[r, 1] / sums[r, 0] - middle_y
            dx = sums[r, 2] / sums[r, 0] - middle_x
            total += math.sqrt(dy * dy + dx * dx)
    return count, total / count
