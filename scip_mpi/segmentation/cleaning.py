"""What may follow any mask method: opening, filled holes, limits on size, the largest alone."""

from __future__ import annotations

from dataclasses import dataclass

from numba import njit

from scip_mpi.batches import ImageBatch, UInt8Array
from scip_mpi.segmentation.components import label_runs, run_scratch
from scip_mpi.segmentation.morphology import disc_extreme, disc_half_widths, disc_scratch
from scip_mpi.segmentation.planes import largest


@dataclass(frozen=True)
class Cleaning:
    """Steps after a mask method, in their order; by default none.

    Attributes
    ----------
    opening : int
        Radius in pixels of the disc that the mask is opened by; 0 for none.
    fill_holes : bool
        Fill background that is not connected (by sides) to the image's border.
    min_size, max_size : int, int or None
        Remove components (8-connected) of fewer, of more pixels.
    largest_component : bool
        Keep only the largest component (8-connected; of several the first in raster order), after
        those on the border were removed.
    """

    opening: int = 0
    fill_holes: bool = False
    min_size: int = 0
    max_size: int | None = None
    largest_component: bool = False


def clean(batch: ImageBatch, masks: UInt8Array, cleaning: Cleaning) -> None:
    """Open masks, fill their holes and remove components by size, in place.

    Parameters
    ----------
    batch : ImageBatch
        Gives the layout of the masks.
    masks : ndarray of uint8
        Masks in the batch's layout; changed.
    cleaning : Cleaning
        ``largest_component`` is left to `keep_largest`, since the border comes in between.
    """
    if not len(batch):
        return
    height, width = largest(batch)
    if cleaning.opening:
        half_widths = disc_half_widths(cleaning.opening)
        _open(batch.offsets, batch.shapes, masks, half_widths, height, width)
    smallest = cleaning.min_size
    biggest = height * width if cleaning.max_size is None else cleaning.max_size
    sized = smallest > 1 or biggest < height * width
    if cleaning.fill_holes or sized:
        _fill_and_size(
            batch.offsets, batch.shapes, masks, cleaning.fill_holes, sized, smallest, biggest,
            height, width,
        )  # fmt: skip


def keep_largest(batch: ImageBatch, masks: UInt8Array) -> None:
    """Remove all but the largest component of each mask, in place."""
    if len(batch):
        _keep_largest(batch.offsets, batch.shapes, masks, *largest(batch))


@njit(cache=True, nogil=True, error_model="numpy")
def _open(offsets, shapes, masks, half_widths, height, width):
    discs = disc_scratch(height, width, half_widths, masks)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            at = offsets[i] + c * h * w
            mask = masks[at : at + h * w].reshape(h, w)
            disc_extreme(mask, h, w, half_widths, False, discs, mask)
            disc_extreme(mask, h, w, half_widths, True, discs, mask)


@njit(cache=True, nogil=True, error_model="numpy")
def _fill_and_size(offsets, shapes, masks, fill, sized, smallest, biggest, height, width):
    runs, row_start, parent, size = run_scratch(height, width)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            at = offsets[i] + c * h * w
            mask = masks[at : at + h * w].reshape(h, w)
            if fill:
                fill_holes(mask, runs, row_start, parent, size)
            if sized:
                n = component_sizes(mask, runs, row_start, parent, size)
                for r in range(n):
                    if not smallest <= size[parent[r]] <= biggest:
                        mask[runs[r, 0], runs[r, 1] : runs[r, 2]] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def _keep_largest(offsets, shapes, masks, height, width):
    runs, row_start, parent, size = run_scratch(height, width)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            at = offsets[i] + c * h * w
            mask = masks[at : at + h * w].reshape(h, w)
            n = component_sizes(mask, runs, row_start, parent, size)
            best = 0
            for r in range(n):
                if size[r] > size[best]:
                    best = r
            for r in range(n):
                if parent[r] != best:
                    mask[runs[r, 0], runs[r, 1] : runs[r, 2]] = 0


@njit(cache=True, nogil=True, error_model="numpy")
def fill_holes(mask, runs, row_start, parent, outside):
    """Fill background (4-connected) that does not reach the border of a mask, in place.

    All but ``mask`` are scratch, as of `scip_mpi.segmentation.components.run_scratch`.
    """
    height, width = mask.shape
    n = label_runs(mask, 0, 0, runs, row_start, parent)
    for r in range(n):
        outside[r] = 0
    for r in range(n):
        y, start, stop = runs[r]
        if y == 0 or y == height - 1 or start == 0 or stop == width:
            outside[parent[r]] = 1
    for r in range(n):
        if not outside[parent[r]]:
            mask[runs[r, 0], runs[r, 1] : runs[r, 2]] = 1


@njit(cache=True, nogil=True, error_model="numpy")
def component_sizes(mask, runs, row_start, parent, size):
    """Find the components (8-connected) of a mask; ``size`` holds pixels at roots, 0 elsewhere.

    Returns the number of runs; their ``parent`` is the component's first run in raster order.
    """
    n = label_runs(mask, 1, 1, runs, row_start, parent)
    for r in range(n):
        size[r] = 0
    for r in range(n):
        size[parent[r]] += runs[r, 2] - runs[r, 1]
    return n
