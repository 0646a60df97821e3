"""Where families look: each channel's own mask, or the combined mask for every channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from scip_mpi.batches import ImageBatch, Int64Array, SetMasks, UInt8Array

MASKS = ("combined", "own")
if TYPE_CHECKING:
    MaskWord = str
else:
    MaskWord = Literal[MASKS]


class Regions(NamedTuple):
    """The masks that the channels of a batch are measured in.

    Attributes
    ----------
    bits : ndarray of uint8
        Masks one after the other, 0 or 1, in raster order.
    starts : ndarray of int64, shape (m, C)
        Where in ``bits`` the mask of an object's channel begins; it is as large as the image.
    """

    bits: UInt8Array
    starts: Int64Array


def regions(batch: ImageBatch, masks: SetMasks, mask: MaskWord) -> Regions:
    """The masks to measure in.

    Parameters
    ----------
    mask : str
        ``combined``: one region for all channels, as CellProfiler's objects are; or ``own``: each
        channel's mask.
    """
    channels = np.arange(batch.channels)
    if mask == "combined":
        return Regions(masks.combined, np.repeat(batch.planes[:-1, None], batch.channels, axis=1))
    sizes = batch.shapes[:, 1] * batch.shapes[:, 2]
    return Regions(masks.own, batch.offsets[:-1, None] + sizes[:, None] * channels)
