"""A disc in the middle of the image, whatever the pixels (mask method ``circle``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.segmentation.planes import require_numpy


def circle(batch: ImageBatch, enabled: BoolArray, xp: ModuleType) -> UInt8Array:
    """Masks that are a disc at the centre, SCIP's ``circle``.

    The disc is skimage.draw.disk's of a third of the image's shorter side, rounded down, about
    (H // 2, W // 2); where that is 0 the mask is empty.

    Parameters
    ----------
    batch : ImageBatch
        Images; only their shapes are looked at.
    enabled : ndarray of bool, shape (n, C)
        Channels to mask; the masks of others are empty.
    xp : module
        numpy.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout.

    Raises
    ------
    UserError
        ``xp`` is not numpy.
    """
    require_numpy(xp, "circle")
    masks = np.zeros(batch.pixels.size, np.uint8)
    _circle(batch.offsets, batch.shapes, enabled, masks)
    return masks


@njit(cache=True, nogil=True, error_model="numpy")
def _circle(offsets, shapes, enabled, masks):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        radius = min(h, w) // 3
        if radius == 0:
            continue
        for y in range(h):
            down = (y - h // 2) / radius
            for x in range(w):
                over = (x - w // 2) / radius
                # By the same roundings as scikit-image's, which decide on the disc's rim.
                inside = down * down + over * over < 1
                for c in range(channels):
                    masks[offsets[i] + (c * h + y) * w + x] = inside and enabled[i, c]
