"""Crops of objects from their fields: pixels, masks, and what is known of each label."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import ImageBatch, Int64Array, UInt8Array, offsets_of


def cut_crops(batch: ImageBatch, row: Int64Array, bbox: Int64Array) -> ImageBatch:
    """Pixels of objects' bounding boxes, all channels.

    Parameters
    ----------
    batch : ImageBatch
        Fields.
    row : ndarray of int64, shape (m,)
        Which image of the batch each object is in.
    bbox : ndarray of int64, shape (m, 4)
        (min row, min column, max row, max column), ends exclusive, within the image.

    Returns
    -------
    ImageBatch
        ``index`` counts the objects from 0.
    """
    m = len(row)
    shapes = np.empty((m, 3), np.int64)
    shapes[:, 0] = batch.channels
    shapes[:, 1] = bbox[:, 2] - bbox[:, 0]
    shapes[:, 2] = bbox[:, 3] - bbox[:, 1]
    offsets = offsets_of(shapes.prod(axis=1))
    pixels = np.empty(offsets[-1], batch.pixels.dtype)
    _cut(batch.pixels, batch.offsets, batch.shapes, row, bbox, offsets, pixels)
    return ImageBatch(pixels, offsets, shapes, np.arange(m, dtype=np.int64))


@njit(cache=True, nogil=True, error_model="numpy")
def _cut(pixels, offsets, shapes, row, bbox, crop_offsets, out):
    for k in range(len(row)):
        i = row[k]
        channels, h, w = shapes[i]
        r0, c0, r1, c1 = bbox[k]
        at = crop_offsets[k]
        for c in range(channels):
            plane = offsets[i] + c * h * w
            for y in range(r0, r1):
                line = pixels[plane + y * w + c0 : plane + y * w + c1]
                target = out[at : at + line.size]
                for x in range(line.size):
                    target[x] = line[x]
                at += line.size


def cut_masks(
    labels: ImageBatch,
    of_channel: Int64Array,
    row: Int64Array,
    bbox: Int64Array,
    number: Int64Array,
) -> UInt8Array:
    """Masks of objects in their crops: where each channel's labels are the object's.

    Parameters
    ----------
    labels : ImageBatch
        Planes of labels of the fields.
    of_channel : ndarray of int64, shape (C,)
        Which of the planes holds each channel's labels.
    number : ndarray of int64, shape (m,)
        The objects' labels.

    Returns
    -------
    ndarray of uint8
        In the layout of `cut_crops`.
    """
    size = (bbox[:, 2] - bbox[:, 0]) * (bbox[:, 3] - bbox[:, 1])
    out = np.empty(int(size.sum()) * len(of_channel), np.uint8)
    first = np.array([np.flatnonzero(of_channel == k)[0] for k in of_channel], np.int64)
    _cut_masks(
        labels.pixels, labels.offsets, labels.shapes, of_channel, first, row, bbox, number, out
    )
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _cut_masks(labels, offsets, shapes, of_channel, first, row, bbox, number, out):
    at = 0
    for k in range(len(row)):
        i = row[k]
        _, h, w = shapes[i]
        r0, c0, r1, c1 = bbox[k]
        size = (r1 - r0) * (c1 - c0)
        begin = at
        for c in range(len(of_channel)):
            if first[c] < c:
                # Channels without labels of their own have the same mask.
                same = begin + first[c] * size
                out[at : at + size] = out[same : same + size]
                at += size
                continue
            plane = offsets[i] + of_channel[c] * h * w
            for y in range(r0, r1):
                line = labels[plane + y * w + c0 : plane + y * w + c1]
                _equal(line, number[k], out[at : at + line.size])
                at += line.size


@njit(cache=True, nogil=True, error_model="numpy")
def _equal(line, number, out):
    for x in range(line.size):
        out[x] = line[x] == number


@njit(cache=True, nogil=True, error_model="numpy")
def label_facts(plane, count, boxes, areas, edges):
    """Bounding box, area and pixels on the image's edge of labels 1 to ``count`` of one plane.

    Parameters
    ----------
    plane : (H, W) int
    boxes : (count + 1, 4) int64, out
        Ends exclusive.
    areas, edges : (count + 1) int64, out
    """
    h, w = plane.shape
    for k in range(count + 1):
        boxes[k, 0] = h
        boxes[k, 1] = w
        boxes[k, 2] = 0
        boxes[k, 3] = 0
        areas[k] = 0
        edges[k] = 0
    for y in range(h):
        for x in range(w):
            k = plane[y, x]
            if k:
                boxes[k, 0] = min(boxes[k, 0], y)
                boxes[k, 1] = min(boxes[k, 1], x)
                boxes[k, 2] = max(boxes[k, 2], y + 1)
                boxes[k, 3] = max(boxes[k, 3], x + 1)
                areas[k] += 1
                edges[k] += y == 0 or x == 0 or y == h - 1 or x == w - 1
