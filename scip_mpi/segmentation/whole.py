"""No masking: every pixel is in the mask (used where the config has no ``mask``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array


def whole(batch: ImageBatch, enabled: BoolArray, xp: ModuleType) -> UInt8Array:
    """Masks that are the whole image; ``enabled`` and ``xp`` as in every mask method."""
    return np.ones(batch.pixels.size, np.uint8)
