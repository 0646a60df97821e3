"""No masking: every pixel is in the mask (used where the config has no ``mask``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array


def whole(batch: ImageBatch, enabled: BoolArray, xp: ModuleType) -> UInt8Array:
    """Masks that are the whole image, for channels that are enabled.

    Parameters and result as of every mask method; ``xp`` may be any array module, since pixels are
    not looked at.
    """
    plane = batch.shapes[:, 1] * batch.shapes[:, 2]
    return np.repeat(enabled.astype(np.uint8).reshape(-1), np.repeat(plane, batch.channels))
