"""What any method's masks may go through: opening, filling, limits of size, the largest alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from scip_mpi.batches import ImageBatch, UInt8Array
from scip_mpi.segmentation.components import label_runs, run_scratch
from scip_mpi.segmentation.morphology import disc_extreme, disc_half_widths
from scip_mpi.segmentation.planes import largest

ANY_SIZE = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Cleaning:
    """Options of every mask method, off by default.

    Attributes
    ----------
    opening : int
        Radius in pixels of the disc that the masks are opened with, mirrored at the image's edges.
    fill_holes : bool
        Whether background that is enclosed (4-connected) becomes mask.
    min_size, max_size : int
        Limits of a component's area in pixels (8-connected).
    largest_component : bool
        Whether only the largest component is kept, of equal ones the first in raster order; after
        regions on the border were removed.
    """

    opening: int = 0
    fill_holes: bool = False
    min_size: int = 0
    max_size: int | None = None
    largest_component: bool = False


def clean(batch: ImageBatch, masks: UInt8Array, cleaning: Cleaning) -> None:
    """Open the masks, fill their holes and remove components by size, in that order, in place.

    Parameters
    ----------
    batch : ImageBatch
        Gives the layout of the masks.
    masks : ndarray of uint8
        Masks in the batch's layout; changed.
    cleaning : Cleaning
    """
    most = ANY_SIZE if cleaning.max_size is None else cleaning.max_size
    if not len(batch) or cleaning == Cleaning(largest_component=cleaning.largest_component):
        return
    height, width = largest(batch)
    _clean(
        batch.offsets, batch.shapes, masks, disc_half_widths(cleaning.opening),
        cleaning.fill_holes, cleaning.min_size, most, height, width,
    )  # fmt: skip


def keep_largest(batch: ImageBatch, masks: UInt8Array) -> None:
    """Keep the largest component (8-connected) of every mask, the first of equal ones, in place."""
    if len(batch):
        height, width = largest(batch)
        _keep_largest(batch.offsets, batch.shapes, masks, height, width)


@njit(cache=True, nogil=True, error_model="numpy")
def _clean(offsets, shapes, masks, disc, fill, least, most, height, width):
    runs, row_start, parent, size = run_scratch(height, width)
    radius = disc.size // 2
    padded = np.empty((height + 2 * radius, width + 2 * radius), np.uint8)
    spans = np.empty((height + 2 * radius, width), np.uint8)
    eroded = np.empty((height, width), np.uint8)
    opened = np.empty((height, width), np.uint8)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            at = offsets[i] + c * h * w
            mask = masks[at : at + h * w].reshape(h, w)
            if radius:
                disc_extreme(mask, h, w, disc, False, padded, spans, eroded)
                disc_extreme(eroded, h, w, disc, True, padded, spans, opened)
                mask[:, :] = opened[:h, :w]
            if fill:
                _fill_holes(mask, runs, row_start, parent, size)
            if least > 1 or most < ANY_SIZE:
                n = label_runs(mask, 1, 1, runs, row_start, parent)
                _areas(runs, parent, n, size)
                for r in range(n):
                    area = size[parent[r]]
                    if area < least or area > most:
                        mask[runs[r, 0], runs[r, 1] : runs[r, 2]] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_holes(mask, runs, row_start, parent, outside):
    """Turn background that does not reach the edge of the image over (4-connectivity)."""
    h, w = mask.shape
    n = label_runs(mask, 0, 0, runs, row_start, parent)
    for r in range(n):
        outside[r] = 0
    for r in range(n):
        y, start, stop = runs[r]
        if y == 0 or y == h - 1 or start == 0 or stop == w:
            outside[parent[r]] = 1
    for r in range(n):
        if not outside[parent[r]]:
            mask[runs[r, 0], runs[r, 1] : runs[r, 2]] = 1


@njit(cache=True, nogil=True, error_model="numpy")
def _areas(runs, parent, n, size):
    """Pixels of each component, by its root."""
    for r in range(n):
        size[r] = 0
    for r in range(n):
        size[parent[r]] += runs[r, 2] - runs[r, 1]


@njit(cache=True, nogil=True, error_model="numpy")
def _keep_largest(offsets, shapes, masks, height, width):
    runs, row_start, parent, size = run_scratch(height, width)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            at = offsets[i] + c * h * w
            mask = masks[at : at + h * w].reshape(h, w)
            n = label_runs(mask, 1, 1, runs, row_start, parent)
            _areas(runs, parent, n, size)
            best = 0
            for r in range(n):
                if parent[r] == r and size[r] > size[best]:
                    best = r
            for r in range(n):
                if parent[r] != best:
                    mask[runs[r, 0], runs[r, 1] : runs[r, 2]] = 0
