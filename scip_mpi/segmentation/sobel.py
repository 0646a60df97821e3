"""The gradient above Otsu's threshold (mask method ``sobel``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.segmentation.components import flip_small, run_scratch
from scip_mpi.segmentation.li import SMALLEST_OBJECT
from scip_mpi.segmentation.planes import largest, require_numpy, scaling
from scip_mpi.segmentation.smoothing import frame_scratch
from scip_mpi.segmentation.smoothing import sobel as gradient
from scip_mpi.segmentation.thresholds import BINS, finite_pixels, histogram, otsu_of_counts


def sobel(batch: ImageBatch, enabled: BoolArray, xp: ModuleType) -> UInt8Array:
    """Masks of the pixels whose Sobel magnitude is above Otsu's threshold of it.

    Holes below a quarter of the image are then filled and objects below 20 pixels removed, as by
    ``li``. (SCIP's method of this name does not run.)

    Parameters
    ----------
    batch : ImageBatch
        Images.
    enabled : ndarray of bool, shape (n, C)
        Channels to segment; the masks of others are empty.
    xp : module
        numpy.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout; empty where the gradient is the same everywhere, or somewhere
        not finite.

    Raises
    ------
    UserError
        ``xp`` is not numpy.
    """
    require_numpy(xp, "sobel")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if len(batch):
        scale, floor = scaling(batch.pixels.dtype)
        _sobel(
            batch.pixels, batch.offsets, batch.shapes, enabled, scale, floor, *largest(batch), masks
        )
    return masks


@njit(cache=True, nogil=True, error_model="numpy")
def _sobel(pixels, offsets, shapes, enabled, scale, floor, height, width, masks):
    a = np.empty((height, width))
    b = np.empty((height, width))
    frames = frame_scratch(height, width, 1)
    values = np.empty(height * width)
    counts = np.empty(BINS, np.int64)
    centres = np.empty(BINS)
    means = np.empty(BINS)
    edges = np.empty(BINS + 1)
    runs, row_start, parent, size = run_scratch(height, width)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * h * w
            plane = pixels[at : at + h * w].reshape(h, w)
            mask = masks[at : at + h * w].reshape(h, w)
            for y in range(h):
                for x in range(w):
                    a[y, x] = max(plane[y, x] * scale, floor)
            gradient(a, h, w, frames, b)
            n, low, high = finite_pixels(b, h, w, values)
            if n < h * w or low == high:
                continue
            if histogram(values, n, low, high, False, counts, centres, edges) == 0:
                continue
            threshold = otsu_of_counts(counts, centres, BINS, means)
            for y in range(h):
                for x in range(w):
                    mask[y, x] = b[y, x] > threshold
            flip_small(mask, 0, h * w / 4, runs, row_start, parent, size)
            flip_small(mask, 1, SMALLEST_OBJECT, runs, row_start, parent, size)
