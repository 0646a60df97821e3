"""Components that touch the image's border too much, counts of the others, bounding boxes."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import ImageBatch, Int64Array, UInt8Array
from scip_mpi.segmentation.components import label_runs, run_scratch
from scip_mpi.segmentation.planes import largest

# A component goes if more of its pixels than this part of the image's shorter side are on the
# border.
BORDER_FRACTION = 0.25


def remove_border_regions(batch: ImageBatch, masks: UInt8Array) -> Int64Array:
    """Delete components (8-connected) on the border from the masks, in place; count the others.

    A component goes if the number of its pixels on the border, corners counted twice, is above a
    quarter of the image's shorter side (rounded down), as in SCIP.

    Parameters
    ----------
    batch : ImageBatch
        Gives the layout of the masks.
    masks : ndarray of uint8
        Masks in the batch's layout; changed.

    Returns
    -------
    ndarray of int64, shape (n, C)
        Components left in each mask.
    """
    return _regions(batch, masks, True)


def count_regions(batch: ImageBatch, masks: UInt8Array) -> Int64Array:
    """Number of components (8-connected) of each mask, shape (n, C)."""
    return _regions(batch, masks, False)


def _regions(batch: ImageBatch, masks: UInt8Array, remove: bool) -> Int64Array:
    regions = np.zeros((len(batch), batch.channels), np.int64)
    if len(batch):
        height, width = largest(batch)
        _label(batch.offsets, batch.shapes, masks, remove, height, width, regions)
    return regions


@njit(cache=True, nogil=True, error_model="numpy")
def _same(one, other):
    differing = np.uint8(0)
    for k in range(one.size):
        differing |= one[k] ^ other[k]
    return differing == 0


@njit(cache=True, nogil=True, error_model="numpy")
def _label(offsets, shapes, masks, remove, height, width, regions):
    runs, row_start, parent, touching = run_scratch(height, width)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        limit = int(BORDER_FRACTION * min(h, w))
        for c in range(channels):
            at = offsets[i] + c * h * w
            mask = masks[at : at + h * w].reshape(h, w)
            if c and not remove and _same(masks[at - h * w : at], masks[at : at + h * w]):
                # Channels without objects of their own have their parents' mask.
                regions[i, c] = regions[i, c - 1]
                continue
            n = label_runs(mask, 1, 1, runs, row_start, parent)
            for r in range(n):
                touching[r] = 0
            for r in range(n):
                y, start, stop = runs[r]
                length = stop - start
                root = parent[r]
                touching[root] += (y == 0) * length + (y == h - 1) * length
                touching[root] += (start == 0) + (stop == w)
            for r in range(n):
                root = parent[r]
                if remove and touching[root] > limit:
                    for x in range(runs[r, 1], runs[r, 2]):
                        mask[runs[r, 0], x] = 0
                elif root == r:
                    regions[i, c] += 1


def bounding_boxes(batch: ImageBatch, masks: UInt8Array) -> Int64Array:
    """Bounding box of the union of all channels' masks.

    Returns
    -------
    ndarray of int64, shape (n, 4)
        (min row, min column, max row, max column), ends exclusive; -1 without a mask.
    """
    boxes = np.full((len(batch), 4), -1, np.int64)
    _boxes(batch.offsets, batch.shapes, masks, boxes)
    return boxes


@njit(cache=True, nogil=True, error_model="numpy")
def _boxes(offsets, shapes, masks, boxes):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        size = h * w
        union = np.zeros(size, np.uint8)
        for c in range(channels):
            at = offsets[i] + c * size
            mask = masks[at : at + size]
            for k in range(size):
                union[k] |= mask[k]
        columns = np.zeros(w, np.uint8)
        top, bottom = h, -1
        for y in range(h):
            row = union[y * w : (y + 1) * w]
            filled = np.uint8(0)
            for x in range(w):
                columns[x] |= row[x]
                filled |= row[x]
            if filled:
                top = min(top, y)
                bottom = y
        if bottom >= 0:
            left, right = 0, w
            while not columns[left]:
                left += 1
            while not columns[right - 1]:
                right -= 1
            boxes[i, 0] = top
            boxes[i, 1] = left
            boxes[i, 2] = bottom + 1
            boxes[i, 3] = right
