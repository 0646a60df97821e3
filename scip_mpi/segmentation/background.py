"""The background that ``bgcorr_`` features subtract, where it is not the mean outside the mask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array

# Pixels between an object and the ring around it, and the ring's width.
GAP = 2
WIDTH = 5
# A distance beyond both.
FAR = 255


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
            number, near, far, np.empty(height * width, np.uint8), out,
        )  # fmt: skip
    return out


def _half_width(radius: int, k: int) -> int:
    return math.isqrt(radius * radius - k * k) if abs(k) <= radius else -1


@njit(cache=True, nogil=True, error_model="numpy")
def _ring(
    pixels, offsets, labels, label_offsets, shapes, row, bbox, number, near, far, distance, out
):
    reach = near.size // 2
    inside = np.empty(distance.size, np.uint8)
    touching = np.empty(distance.size, np.uint8)
    for m in range(len(row)):
        i = row[m]
        channels, h, w = shapes[i]
        plane = labels[label_offsets[i] : label_offsets[i] + h * w].reshape(h, w)
        r0, c0 = max(bbox[m, 0] - reach, 0), max(bbox[m, 1] - reach, 0)
        r1, c1 = min(bbox[m, 2] + reach, h), min(bbox[m, 3] + reach, w)
        rows, width = r1 - r0, c1 - c0
        size = rows * width
        # Of each pixel, the distance along its row to the object, as far as it matters.
        for y in range(rows):
            line = plane[r0 + y, c0:c1]
            along = distance[y * width : (y + 1) * width]
            away = FAR
            for x in range(width):
                away = 0 if line[x] == number[m] else min(away + 1, FAR)
                along[x] = away
            away = FAR
            for x in range(width - 1, -1, -1):
                away = 0 if line[x] == number[m] else min(away + 1, FAR)
                along[x] = min(np.int64(along[x]), away)
        inside[:size] = 0
        touching[:size] = 0
        for k in range(max(-reach, 1 - rows), min(reach, rows - 1) + 1):
            # The rows k below, or above.
            to = slice(max(-k, 0) * width, (rows - max(k, 0)) * width)
            since = distance[max(k, 0) * width : (rows - max(-k, 0)) * width]
            _mark(since, far[k + reach], inside[to])
            if near[k + reach] >= 0:
                _mark(since, near[k + reach], touching[to])
        count = 0
        out[m] = 0.0
        for y in range(rows):
            line = plane[r0 + y, c0:c1]
            for x in range(width):
                here = y * width + x
                if inside[here] and not touching[here] and line[x] == 0:
                    count += 1
                    at = offsets[i] + (r0 + y) * w + c0 + x
                    for c in range(channels):
                        out[m, c] += pixels[at + c * h * w]
        for c in range(channels):
            out[m, c] = out[m, c] / count if count else np.nan


@njit(cache=True, nogil=True, error_model="numpy")
def _mark(distances, limit, marked):
    """Set the marks of distances up to a limit; in a loop of bytes, many at a time."""
    most = np.uint8(limit)
    for x in range(marked.size):
        marked[x] |= np.uint8(distances[x] <= most)


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
