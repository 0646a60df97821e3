"""Bright spots: the top-hat transform's largest values (mask method ``spot``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.segmentation.morphology import disc_extreme, disc_half_widths, disc_scratch
from scip_mpi.segmentation.order import select_unsigned
from scip_mpi.segmentation.planes import largest, require_numpy

FRACTION = 0.99

# A larger disc is no spot, and takes its square in time.
MOST = 250


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
        ``spotsize`` is not a whole number from 1 to `MOST`; ``xp`` is not numpy.
    """
    require_numpy(xp, "spot")
    if not 1 <= spotsize <= MOST or int(spotsize) != spotsize:
        raise UserError(
            "mask.methods: spot: kwargs.spotsize must be a whole number of pixels from 1 to "
            f"{MOST}, not {spotsize}"
        )
    masks = np.zeros(batch.pixels.size, np.uint8)
    if len(batch):
        height, width = largest(batch)
        dtype = batch.pixels.dtype
        # The difference of two signed integers may not fit their type.
        tophat = np.empty(height * width + 1, np.int64 if dtype.kind == "i" else dtype)
        # None is below 0, so that the bits of floating-point numbers are in their order too.
        bits = tophat.view(f"u{tophat.itemsize}")
        _spot(
            batch.pixels, batch.offsets, batch.shapes, enabled, disc_half_widths(int(spotsize)),
            height, width, tophat, bits, masks,
        )  # fmt: skip
    return masks


@njit(cache=True, nogil=True, error_model="numpy")
def _spot(pixels, offsets, shapes, enabled, half_widths, height, width, tophat, bits, masks):
    discs = disc_scratch(height, width, half_widths, pixels)
    opened = np.empty((height, width), pixels.dtype)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * n
            plane, mask = pixels[at : at + n], masks[at : at + n]
            disc_extreme(plane.reshape(h, w), h, w, half_widths, False, discs, opened)
            disc_extreme(opened, h, w, half_widths, True, discs, opened)
            for y in range(h):
                source, lowered, target = plane[y * w :], opened[y], tophat[y * w :]
                for x in range(w):
                    target[x] = source[x]
                    target[x] -= lowered[x]
            # A value is above the interpolated quantile just if it is above the value below it.
            bits[n] = select_unsigned(bits, n, int(FRACTION * (n - 1)))
            threshold = tophat[n]
            for k in range(n):
                mask[k] = tophat[k] > threshold
