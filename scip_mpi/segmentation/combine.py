"""The masks of one set, with the combined mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from scip_mpi.batches import Int64Array, MaskBatch, SetMasks, UInt8Array, offsets_of
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
    return SetMasks(
        own=own,
        combined=combined_masks(own, masks.shapes, combined),
        regions=masks.regions[:, mask_set],
        bbox=masks.set_bbox[:, mask_set],
        # Contiguous, whatever the number of objects: kernels are compiled for one layout.
        kept=np.ascontiguousarray(masks.kept[:, mask_set]),
        background=np.ascontiguousarray(masks.background[:, mask_set]),
        in_field=masks.in_field[:, :0],
    )


def combined_masks(own: UInt8Array, shapes: Int64Array, combined: Sequence[int]) -> UInt8Array:
    """Union of the masks of some channels, a plane per object.

    Parameters
    ----------
    own : ndarray of uint8
        Each channel's mask, 0 or 1, in the layout of a batch's pixels.
    shapes : ndarray of int64, shape (m, 3)
        (C, H, W) of each object's crop.
    combined : sequence of int
        Channels.
    """
    planes = offsets_of(shapes[:, 1] * shapes[:, 2])
    union = np.zeros(planes[-1], np.uint8)
    _unite(own, shapes, np.asarray(combined, np.int64), planes, union)
    return union


@njit(cache=True, nogil=True, error_model="numpy")
def _unite(own, shapes, combined, planes, union):
    at = 0
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        size = h * w
        plane = union[planes[i] : planes[i] + size]
        for c in combined:
            mask = own[at + c * size : at + (c + 1) * size]
            for k in range(size):
                plane[k] |= mask[k]
        at += channels * size
