"""The gradient above Otsu's threshold (mask method ``sobel``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.segmentation.components import flip_small, run_scratch
from scip_mpi.segmentation.planes import largest, require_numpy
from scip_mpi.segmentation.smoothing import sobel as gradient
from scip_mpi.segmentation.thresholds import MOST_VALUES, histogram, otsu

SMALLEST_OBJECT = 20


def sobel(batch: ImageBatch, enabled: BoolArray, xp: ModuleType) -> UInt8Array:
    """Masks where the Sobel magnitude is above its Otsu threshold, cleaned as by ``li``.

    Holes below a quarter of the image are filled and objects below 20 pixels removed. (SCIP's
    method of this name does not run.) Parameters and result as of every mask method.
    """
    require_numpy(xp, "sobel")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if len(batch):
        height, width = largest(batch)
        _sobel(batch.pixels, batch.offsets, batch.shapes, enabled, height, width, masks)
    return masks


@njit(cache=True, nogil=True, error_model="numpy")
def _sobel(pixels, offsets, shapes, enabled, height, width, masks):
    a = np.empty((height, width))
    b = np.empty((height, width))
    counts = np.empty(MOST_VALUES, np.int64)
    centres = np.empty(MOST_VALUES)
    runs, row_start, parent, size = run_scratch(height, width)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * h * w
            plane = pixels[at : at + h * w].reshape(h, w)
            mask = masks[at : at + h * w].reshape(h, w)
            finite = True
            for y in range(h):
                for x in range(w):
                    a[y, x] = plane[y, x]
                    finite &= np.isfinite(a[y, x])
            if not finite:
                continue
            gradient(a, h, w, b)
            bins = histogram(b, h, w, False, counts, centres)
            if bins == 0:
                continue
            level = otsu(counts, centres, bins)
            for y in range(h):
                for x in range(w):
                    mask[y, x] = b[y, x] > level
            flip_small(mask, 0, h * w / 4, runs, row_start, parent, size)
            flip_small(mask, 1, SMALLEST_OBJECT, runs, row_start, parent, size)
