"""Bright spots: the top-hat transform's largest values (mask method ``spot``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.segmentation.morphology import disc_extreme, disc_half_widths
from scip_mpi.segmentation.order import select
from scip_mpi.segmentation.planes import largest, require_numpy

FRACTION = 0.99


def spot(batch: ImageBatch, enabled: BoolArray, xp: ModuleType, *, spotsize: int) -> UInt8Array:
    """Masks of bright spots, SCIP's ``spot``.

    The white top-hat transform (the image less its opening by a disc, the image mirrored at its
    edges), and of it the pixels above its 0.99 quantile.

    Parameters
    ----------
    batch : ImageBatch
        Images.
    enabled : ndarray of bool, shape (n, C)
        Channels to segment; the masks of others are empty.
    xp : module
        numpy.
    spotsize : int
        Radius of the disc in pixels, at least 1.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout.

    Raises
    ------
    UserError
        ``spotsize`` is not a whole number of at least 1; ``xp`` is not numpy.
    """
    require_numpy(xp, "spot")
    if int(spotsize) != spotsize or spotsize < 1:
        raise UserError(
            "mask.methods: spot: kwargs.spotsize must be a whole number of pixels, at least 1, "
            f"not {spotsize}"
        )
    masks = np.zeros(batch.pixels.size, np.uint8)
    if len(batch):
        height, width = largest(batch)
        dtype = batch.pixels.dtype
        # The difference of two signed integers may not fit their type.
        values = np.empty((2, height * width), np.int64 if dtype.kind == "i" else dtype)
        _spot(
            batch.pixels, batch.offsets, batch.shapes, enabled, disc_half_widths(int(spotsize)),
            height, width, values, masks,
        )  # fmt: skip
    return masks


@njit(cache=True, nogil=True, error_model="numpy")
def _spot(pixels, offsets, shapes, enabled, half_widths, height, width, values, masks):
    radius = half_widths.size // 2
    padded = np.empty((height + 2 * radius, width + 2 * radius), pixels.dtype)
    spans = np.empty((height + 2 * radius, width), pixels.dtype)
    eroded = np.empty((height, width), pixels.dtype)
    opened = np.empty((height, width), pixels.dtype)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * h * w
            plane = pixels[at : at + h * w].reshape(h, w)
            mask = masks[at : at + h * w].reshape(h, w)
            disc_extreme(plane, h, w, half_widths, False, padded, spans, eroded)
            disc_extreme(eroded, h, w, half_widths, True, padded, spans, opened)
            tophat, reordered = values[0], values[1]
            for y in range(h):
                for x in range(w):
                    tophat[y * w + x] = plane[y, x]
                    tophat[y * w + x] -= opened[y, x]
                    reordered[y * w + x] = tophat[y * w + x]
            # A value is above the interpolated quantile just if it is above the value below it.
            threshold = select(reordered, h * w, int(FRACTION * (h * w - 1)))
            for y in range(h):
                for x in range(w):
                    mask[y, x] = tophat[y * w + x] > threshold
