"""The masks of one set, unpacked, with the combined mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from scip_mpi.batches import MaskBatch, SetMasks, offsets_of
from scip_mpi.segmentation.bits import unpack_bits


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
    own = unpack_bits(masks, mask_set)
    planes = offsets_of(masks.shapes[:, 1] * masks.shapes[:, 2])
    union = np.zeros(planes[-1], np.uint8)
    _unite(own, masks.shapes, np.asarray(combined, np.int64), planes, union)
    return SetMasks(
        own=own,
        combined=union,
        regions=masks.regions[:, mask_set],
        bbox=masks.set_bbox[:, mask_set],
        # Contiguous, whatever the number of objects: kernels are compiled for one layout.
        kept=np.ascontiguousarray(masks.kept[:, mask_set]),
        background=np.ascontiguousarray(masks.background[:, mask_set]),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _unite(own, shapes, combined, planes, union):
    at = 0
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        size = h * w
        for c in combined:
            for k in range(size):
                union[planes[i] + k] |= own[at + c * size + k]
        at += channels * size
