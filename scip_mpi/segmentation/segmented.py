"""What segmentation found as a mask set: cells, nuclei, cytoplasm (mask method ``segmented``)."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.segmentation.planes import require_numpy

# The companion that holds objects' masks by channel; no picture can be called so in a config.
OBJECTS = "objects/masks"


def segmented(
    batch: ImageBatch,
    enabled: BoolArray,
    xp: ModuleType,
    *,
    companions: Mapping[str, ImageBatch],
    channel: int | str | None = None,
    without: int | str | None = None,
) -> UInt8Array:
    """Masks of the objects of fields, one channel's for all channels, or each channel's own.

    Cytoplasm is ``channel`` of the cells ``without`` that of the nuclei.

    Parameters
    ----------
    batch : ImageBatch
        Crops of objects; only their shapes are looked at.
    enabled : ndarray of bool, shape (n, C)
        Channels to mask; the masks of others are empty.
    xp : module
        numpy.
    companions : mapping of str to ImageBatch
        Holds, under `OBJECTS`, masks in the batch's layout: where each channel's label is the
        object's; filled in by the program. May lack them where the batch is empty.
    channel : int or str, optional
        Whose mask all channels take; a name is made a place before. Each its own by default.
    without : int or str, optional
        The channel whose mask is cut out of them.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout.

    Raises
    ------
    UserError
        The objects were not segmented, or ``xp`` is not numpy.
    """
    require_numpy(xp, "segmented")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if not len(batch):
        return masks
    if OBJECTS not in companions:
        raise UserError("mask.methods: segmented: there are no objects without `segment:`")
    chosen = -1 if channel is None else int(channel)
    cut = -1 if without is None else int(without)
    own = companions[OBJECTS].pixels
    _segmented(own, batch.offsets, batch.shapes, enabled, chosen, cut, masks)
    return masks


@njit(cache=True, nogil=True, error_model="numpy")
def _segmented(own, offsets, shapes, enabled, chosen, cut, masks):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        plane = h * w
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * plane
            source = at if chosen < 0 else offsets[i] + chosen * plane
            hole = offsets[i] + max(cut, 0) * plane
            for k in range(plane):
                masks[at + k] = own[source + k] and not (cut >= 0 and own[hole + k])
