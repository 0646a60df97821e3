"""Crops of objects from their fields: pixels, masks, and what is known of each label."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import ImageBatch, Int64Array, UInt8Array, offsets_of


def cut_crops(
    batch: ImageBatch, row: Int64Array, bbox: Int64Array, channels: Int64Array | None = None
) -> ImageBatch:
    """Pixels of objects' bounding boxes, of all channels or of some.

    Parameters
    ----------
    batch : ImageBatch
        Fields.
    row : ndarray of int64, shape (m,)
        Which image of the batch each object is in.
    bbox : ndarray of int64, shape (m, 4)
        (min row, min column, max row, max column), ends exclusive, within the image.
    channels : ndarray of int64, optional
        All by default.

    Returns
    -------
    ImageBatch
        ``index`` counts the objects from 0.
    """
    if channels is None:
        channels = np.arange(batch.channels)
    shapes = crop_shapes(bbox, len(channels))
    offsets = offsets_of(shapes.prod(axis=1))
    pixels = np.empty(offsets[-1], batch.pixels.dtype)
    _cut(batch.pixels, batch.offsets, batch.shapes, channels, row, bbox, offsets, pixels)
    return ImageBatch(pixels, offsets, shapes, np.arange(len(row), dtype=np.int64))


def crop_shapes(bbox: Int64Array, channels: int) -> Int64Array:
    """(C, H, W) of the crops to bounding boxes."""
    size = bbox[:, 2:] - bbox[:, :2]
    return np.insert(size, 0, channels, axis=1)


@njit(cache=True, nogil=True, error_model="numpy")
def _cut(pixels, offsets, shapes, chosen, row, bbox, crop_offsets, out):
    for k in range(len(row)):
        i = row[k]
        _, h, w = shapes[i]
        r0, c0, r1, c1 = bbox[k]
        at = crop_offsets[k]
        for c in chosen:
            plane = offsets[i] + c * h * w
            for y in range(r0, r1):
                line = pixels[plane + y * w + c0 : plane + y * w + c1]
                target = out[at : at + line.size]
                for x in range(line.size):
                    target[x] = line[x]
                at += line.size


def cut_masks(
    labels: ImageBatch, planes: Int64Array, row: Int64Array, bbox: Int64Array, number: Int64Array
) -> UInt8Array:
    """Masks of objects in their crops: where labels are the object's.

    Parameters
    ----------
    labels : ImageBatch
        Planes of labels of the fields.
    planes : ndarray of int64, shape (P,)
        Which of them.
    number : ndarray of int64, shape (m,)
        The objects' labels.

    Returns
    -------
    ndarray of uint8
        In the layout of `cut_crops`, P planes for each object.
    """
    size = (bbox[:, 2] - bbox[:, 0]) * (bbox[:, 3] - bbox[:, 1])
    out = np.empty(int(size.sum()) * len(planes), np.uint8)
    _cut_masks(labels.pixels, labels.offsets, labels.shapes, planes, row, bbox, number, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _cut_masks(labels, offsets, shapes, planes, row, bbox, number, out):
    at = 0
    for k in range(len(row)):
        i = row[k]
        _, h, w = shapes[i]
        r0, c0, r1, c1 = bbox[k]
        for p in planes:
            plane = offsets[i] + p * h * w
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
