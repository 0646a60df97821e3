"""What is measured of every object and image in the first pass."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, UInt8Array

STATISTICS = ("sum", "mean", "std", "max", "min", "area")


def measure(statistic: str, batch: ImageBatch, mask: UInt8Array | None, channel: int) -> FloatArray:
    """A statistic of one channel's pixels per object.

    Parameters
    ----------
    statistic : str
        ``sum``, ``mean``, ``std`` (population), ``max``, ``min`` or ``area`` (pixels).
    batch : ImageBatch
        Crops of objects.
    mask : ndarray of uint8, optional
        Masks in the batch's layout; the whole crop without.
    channel : int

    Returns
    -------
    ndarray of float64, shape (m,)
        NaN where the mask is empty, but an ``area`` and a ``sum`` of 0.
    """
    table = np.empty((len(batch), len(STATISTICS)))
    if len(batch):
        chosen = np.ones(batch.pixels.size, np.uint8) if mask is None else mask
        _measure(batch.pixels, batch.offsets, batch.shapes, chosen, channel, table)
    return table[:, STATISTICS.index(statistic)].copy()


@njit(cache=True, nogil=True, error_model="numpy")
def _measure(pixels, offsets, shapes, mask, channel, out):
    for i in range(len(shapes)):
        n = shapes[i, 1] * shapes[i, 2]
        at = offsets[i] + channel * n
        count = 0
        total = 0.0
        high = -np.inf
        low = np.inf
        for k in range(at, at + n):
            if mask[k]:
                value = np.float64(pixels[k])
                count += 1
                total += value
                high = max(high, value)
                low = min(low, value)
        mean = total / count
        squares = 0.0
        for k in range(at, at + n):
            if mask[k]:
                d = np.float64(pixels[k]) - mean
                squares += d * d
        out[i, 0] = total
        out[i, 1] = mean
        out[i, 2] = math.sqrt(squares / count)
        out[i, 3] = high if count else np.nan
        out[i, 4] = low if count else np.nan
        out[i, 5] = count


def image_summary(batch: ImageBatch, saturation: FloatArray) -> dict[str, FloatArray]:
    """Per image and channel: fraction of saturated pixels, and focus.

    Parameters
    ----------
    batch : ImageBatch
        Images.
    saturation : ndarray of float64, shape (C,)
        Value from which a pixel counts as saturated.

    Returns
    -------
    dict of str to ndarray, shape (n, C)
        ``saturated``, and ``focus``: the root mean square of the differences of neighbouring
        pixels, which blur lowers.
    """
    out = np.empty((len(batch), len(saturation), 2))
    if len(batch):
        _summarise(batch.pixels, batch.offsets, batch.shapes, saturation, out)
    return {"saturated": out[:, :, 0].copy(), "focus": out[:, :, 1].copy()}


@njit(cache=True, nogil=True, error_model="numpy")
def _summarise(pixels, offsets, shapes, saturation, out):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            at = offsets[i] + c * h * w
            plane = pixels[at : at + h * w].reshape(h, w)
            full = 0
            squares = 0.0
            pairs = h * (w - 1) + (h - 1) * w
            for y in range(h):
                for x in range(w):
                    value = np.float64(plane[y, x])
                    full += value >= saturation[c]
                    if x + 1 < w:
                        d = np.float64(plane[y, x + 1]) - value
                        squares += d * d
                    if y + 1 < h:
                        d = np.float64(plane[y + 1, x]) - value
                        squares += d * d
            out[i, c, 0] = full / (h * w)
            out[i, c, 1] = math.sqrt(squares / pairs) if pairs else 0.0
