"""The masks of one set, unpacked, with the combined mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from scip_mpi.batches import MaskBatch, SetMasks, offsets_of


def set_masks(masks: MaskBatch, mask_set: int, combined: Sequence[int]) -> SetMasks:
    """Unpack one mask set of a batch of objects.

    Parameters
    ----------
    masks : MaskBatch
        The objects.
    mask_set : int
        Which set.
    combined : sequence of int
        Channels whose union is the combined mask.
    """
    pixels = offsets_of(masks.shapes.prod(axis=1))
    planes = offsets_of(masks.shapes[:, 1] * masks.shapes[:, 2])
    own = np.empty(pixels[-1], np.uint8)
    union = np.zeros(planes[-1], np.uint8)
    _unpack(
        masks.bits, masks.offsets, masks.shapes, mask_set, np.asarray(combined, np.int64),
        pixels, planes, own, union,
    )  # fmt: skip
    return SetMasks(
        own=own,
        combined=union,
        regions=masks.regions[:, mask_set],
        bbox=masks.set_bbox[:, mask_set],
        kept=masks.kept[:, mask_set],
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _unpack(bits, offsets, shapes, mask_set, combined, pixels, planes, own, union):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        size = h * w
        row = (size + 7) // 8
        start = offsets[i] + mask_set * channels * row
        for c in range(channels):
            for k in range(size):
                byte = bits[start + c * row + (k >> 3)]
                own[pixels[i] + c * size + k] = (byte >> (k & 7)) & 1
        for c in combined:
            for k in range(size):
                union[planes[i] + k] |= own[pixels[i] + c * size + k]
