"""The background that ``bgcorr_`` features subtract, where it is not the mean outside the mask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array

# Pixels between an object and the ring around it, and the ring's width.
GAP = 2
WIDTH = 5


def ring(
    batch: ImageBatch, labels: ImageBatch, row: Int64Array, bbox: Int64Array, number: Int64Array
) -> FloatArray:
    """Mean around each object: farther than 2 pixels from it, at most 7, and in no object.

    Parameters
    ----------
    batch : ImageBatch
        Fields.
    labels : ImageBatch
        One plane of labels per field.
    row, bbox, number : ndarrays of int64, shapes (m,), (m, 4), (m,)
        Each object's field (place in the batch), bounding box there, and label.

    Returns
    -------
    ndarray of float64, shape (m, C)
        NaN where the ring has no pixel.
    """
    out = np.empty((len(row), batch.channels))
    reach = GAP + WIDTH
    near = np.array([_half_width(GAP, k) for k in range(-reach, reach + 1)])
    far = np.array([_half_width(reach, k) for k in range(-reach, reach + 1)])
    if len(row):
        height = int((bbox[:, 2] - bbox[:, 0]).max()) + 2 * reach
        width = int((bbox[:, 3] - bbox[:, 1]).max()) + 2 * reach
        _ring(
            batch.pixels, batch.offsets, labels.pixels, labels.offsets, batch.shapes, row, bbox,
            number, near, far, np.empty((height, width), np.int64), out,
        )  # fmt: skip
    return out


def _half_width(radius: int, k: int) -> int:
    return math.isqrt(radius * radius - k * k) if abs(k) <= radius else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _ring(
    pixels, offsets, labels, label_offsets, shapes, row, bbox, number, near, far, distance, out
):
    reach = near.size // 2
    for m in range(len(row)):
        i = row[m]
        channels, h, w = shapes[i]
        plane = labels[label_offsets[i] : label_offsets[i] + h * w].reshape(h, w)
        r0, c0 = max(bbox[m, 0] - reach, 0), max(bbox[m, 1] - reach, 0)
        r1, c1 = min(bbox[m, 2] + reach, h), min(bbox[m, 3] + reach, w)
        # Of each pixel, the distance along its row to the object.
        for y in range(r0, r1):
            away = w + reach
            for x in range(c0, c1):
                away = 0 if plane[y, x] == number[m] else away + 1
                distance[y - r0, x - c0] = away
            away = w + reach
            for x in range(c1 - 1, c0 - 1, -1):
                away = 0 if plane[y, x] == number[m] else away + 1
                distance[y - r0, x - c0] = min(distance[y - r0, x - c0], away)
        count = 0
        out[m] = 0.0
        for y in range(r0, r1):
            for x in range(c0, c1):
                if plane[y, x] != 0:
                    continue
                inside = False
                touching = False
                for k in range(max(-reach, r0 - y), min(reach, r1 - 1 - y) + 1):
                    away = distance[y + k - r0, x - c0]
                    inside |= away <= far[k + reach]
                    touching |= away <= near[k + reach]
                if inside and not touching:
                    count += 1
                    for c in range(channels):
                        out[m, c] += pixels[offsets[i] + c * h * w + y * w + x]
        for c in range(channels):
            out[m, c] = out[m, c] / count if count else np.nan


def field_median(batch: ImageBatch, labels: ImageBatch) -> FloatArray:
    """Median of each channel's pixels in no object; NaN where every pixel is in one.

    Parameters
    ----------
    batch : ImageBatch
        Fields.
    labels : ImageBatch
        One plane of labels per field.

    Returns
    -------
    ndarray of float64, shape (n, C)
    """
    out = np.full((len(batch), batch.channels), np.nan)
    for i, image in enumerate(batch):
        outside = labels.image(i)[0] == 0
        if outside.any():
            out[i] = np.median(image[:, outside], axis=1)
    return out
