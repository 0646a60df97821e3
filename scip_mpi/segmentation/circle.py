"""A disc at the image's centre (mask method ``circle``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array


def circle(batch: ImageBatch, enabled: BoolArray, xp: ModuleType) -> UInt8Array:
    """Masks that are a disc with a third of the image's shorter side as its radius, SCIP's.

    Pixels nearer to (H // 2, W // 2) than the radius, min(H, W) // 3. Parameters and result as of
    every mask method; ``xp`` may be any array module, since pixels are not looked at.
    """
    masks = np.zeros(batch.pixels.size, np.uint8)
    _circle(batch.offsets, batch.shapes, enabled, masks)
    return masks


@njit(cache=True, nogil=True, error_model="numpy")
def _circle(offsets, shapes, enabled, masks):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        radius = min(h, w) // 3
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * h * w
            for y in range(h):
                for x in range(w):
                    dy, dx = y - h // 2, x - w // 2
                    masks[at + y * w + x] = dy * dy + dx * dx < radius * radius
