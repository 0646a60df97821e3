"""What is measured of every object in the first pass, and for gating."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, UInt8Array
from scip_mpi.segmentation.components import label_runs, run_scratch
from scip_mpi.segmentation.planes import largest

STATISTICS = (
    "sum", "mean", "std", "max", "min", "area", "aspect_ratio", "components", "focus", "saturated",
)  # fmt: skip


@dataclass(frozen=True)
class Statistic:
    """A statistic of one channel of every object.

    Attributes
    ----------
    name : str
        One of `STATISTICS`.
    channel : int
    mask_set : int
        Whose mask of that channel; -1 for the whole crop.
    """

    name: str
    channel: int
    mask_set: int


def measure(statistic: str, batch: ImageBatch, mask: UInt8Array | None, channel: int) -> FloatArray:
    """One statistic of one channel, as `measure_all`; nothing counts as saturated."""
    return measure_all(batch, batch, mask, channel)[:, STATISTICS.index(statistic)].copy()


def measure_all(
    batch: ImageBatch,
    raw: ImageBatch,
    mask: UInt8Array | None,
    channel: int,
    saturation: float = math.inf,
) -> FloatArray:
    """All statistics of one channel's pixels per object.

    ``sum``, ``mean``, ``std`` (population), ``max``, ``min`` of the pixels in the mask; ``area`` in
    pixels; ``aspect_ratio``, the minor over the major axis of the ellipse with the mask's second
    moments (1 for a single pixel); ``components``, joined over corners too; ``focus``, the root
    mean square of the differences of neighbouring pixels in the mask (0 where there are none);
    ``saturated``, the fraction of its pixels that are.

    Parameters
    ----------
    batch : ImageBatch
        Crops of objects.
    raw : ImageBatch
        The same as they were read, before corrections: what is saturated shows there.
    mask : ndarray of uint8, optional
        Masks in the batch's layout; the whole crop without.
    channel : int
    saturation : float
        Value from which a pixel is saturated.

    Returns
    -------
    ndarray of float64, shape (m, len(STATISTICS))
        NaN where the mask is empty, but 0 for ``sum``, ``area`` and ``components``.
    """
    table = np.empty((len(batch), len(STATISTICS)))
    if len(batch):
        chosen = np.ones(batch.pixels.size, np.uint8) if mask is None else mask
        height, width = largest(batch)
        _measure(
            batch.pixels, raw.pixels, batch.offsets, batch.shapes, chosen, channel, saturation,
            height, width, table,
        )  # fmt: skip
    return table


def measure_each(
    statistics: Sequence[Statistic],
    batch: ImageBatch,
    raw: ImageBatch,
    own: Mapping[int, UInt8Array],
    saturation: FloatArray,
    known: Mapping[tuple[int, int], FloatArray] | None = None,
) -> FloatArray:
    """Several statistics of every object, each mask and channel gone through once.

    Parameters
    ----------
    statistics : sequence of Statistic
    batch, raw : ImageBatch
        Crops of objects, corrected and as they were read.
    own : dict of int to ndarray of uint8
        Masks of the sets that are named, in the batch's layout.
    saturation : ndarray of float64, shape (C,)
    known : dict of (int, int) to ndarray of float64, optional
        Tables as of `measure_all` that are there already, by mask set and channel.

    Returns
    -------
    ndarray of float64, shape (m, len(statistics))
    """
    out = np.empty((len(batch), len(statistics)))
    tables = dict(known or {})
    for k, chosen in enumerate(statistics):
        key = (chosen.mask_set, chosen.channel)
        if key not in tables:
            mask = own.get(chosen.mask_set)
            level = float(saturation[chosen.channel])
            tables[key] = measure_all(batch, raw, mask, chosen.channel, level)
        out[:, k] = tables[key][:, STATISTICS.index(chosen.name)]
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _measure(pixels, raw, offsets, shapes, mask, channel, saturation, height, width, out):
    runs, row_start, parent, _ = run_scratch(height, width)
    for i in range(len(shapes)):
        _, h, w = shapes[i]
        at = offsets[i] + channel * h * w
        plane = pixels[at : at + h * w].reshape(h, w)
        before = raw[at : at + h * w].reshape(h, w)
        inside = mask[at : at + h * w].reshape(h, w)
        count = 0
        total = 0.0
        high = -np.inf
        low = np.inf
        full = 0
        sum_y = 0
        sum_x = 0
        steps = 0.0
        pairs = 0
        for y in range(h):
            for x in range(w):
                if not inside[y, x]:
                    continue
                value = np.float64(plane[y, x])
                count += 1
                total += value
                high = max(high, value)
                low = min(low, value)
                full += before[y, x] >= saturation
                sum_y += y
                sum_x += x
                if x + 1 < w and inside[y, x + 1]:
                    d = np.float64(plane[y, x + 1]) - value
                    steps += d * d
                    pairs += 1
                if y + 1 < h and inside[y + 1, x]:
                    d = np.float64(plane[y + 1, x]) - value
                    steps += d * d
                    pairs += 1
        out[i, 0] = total
        out[i, 5] = count
        out[i, 7] = 0.0
        if count == 0:
            out[i, 1:5] = np.nan
            out[i, 6] = np.nan
            out[i, 8:] = np.nan
            continue
        mean = total / count
        mean_y = sum_y / count
        mean_x = sum_x / count
        squares = 0.0
        yy = 0.0
        xx = 0.0
        yx = 0.0
        for y in range(h):
            for x in range(w):
                if inside[y, x]:
                    d = np.float64(plane[y, x]) - mean
                    squares += d * d
                    yy += (y - mean_y) * (y - mean_y)
                    xx += (x - mean_x) * (x - mean_x)
                    yx += (y - mean_y) * (x - mean_x)
        half = 0.5 * (yy + xx)
        spread = math.sqrt(0.25 * (xx - yy) * (xx - yy) + yx * yx)
        major = half + spread
        out[i, 1] = mean
        out[i, 2] = math.sqrt(squares / count)
        out[i, 3] = high
        out[i, 4] = low
        out[i, 6] = math.sqrt(max(half - spread, 0.0) / major) if major > 0.0 else 1.0
        n = label_runs(inside, 1, 1, runs, row_start, parent)
        for r in range(n):
            out[i, 7] += parent[r] == r
        out[i, 8] = math.sqrt(steps / pairs) if pairs else 0.0
        out[i, 9] = full / count


def centroids(batch: ImageBatch, combined: UInt8Array, bbox: Int64Array) -> FloatArray:
    """Centroids (x, y) in the image of planes of masks; the crop's centre where one is empty."""
    out = np.empty((len(batch), 2))
    _centroids(combined, batch.planes, batch.shapes, bbox, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _centroids(combined, planes, shapes, bbox, out):
    for i in range(len(shapes)):
        h, w = shapes[i, 1], shapes[i, 2]
        plane = combined[planes[i] : planes[i] + h * w].reshape(h, w)
        count = 0
        sum_y = 0
        sum_x = 0
        for y in range(h):
            for x in range(w):
                if plane[y, x]:
                    count += 1
                    sum_y += y
                    sum_x += x
        out[i, 0] = bbox[i, 1] + (sum_x / count if count else (w - 1) / 2)
        out[i, 1] = bbox[i, 0] + (sum_y / count if count else (h - 1) / 2)
