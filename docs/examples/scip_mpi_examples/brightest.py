"""The brightest pixels of each channel (mask method ``brightest``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.errors import UserError


def brightest(
    batch: ImageBatch, enabled: BoolArray, xp: ModuleType, *, share: float = 0.25
) -> UInt8Array:
    """Masks of the pixels above a quantile of their plane.

    Parameters
    ----------
    batch : ImageBatch
        Images.
    enabled : ndarray of bool, shape (n, C)
        Channels to mask; the masks of others are empty.
    xp : module
        numpy.
    share : float
        Which part of the pixels the mask has at most: a key of ``kwargs``.
    """
    if not 0 < share < 1:
        raise UserError(f"brightest: share must be between 0 and 1, found {share:g}")
    masks = np.zeros(batch.pixels.size, np.uint8)
    for i, image in enumerate(batch):
        mask = masks[batch.offsets[i] : batch.offsets[i + 1]].reshape(image.shape)
        for c in np.flatnonzero(enabled[i]):
            mask[c] = image[c] > np.quantile(image[c], 1 - share)
    return masks
