"""Masks from a picture beside each image (mask method ``file``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType

import numpy as np

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.errors import UserError


def from_file(
    batch: ImageBatch,
    enabled: BoolArray,
    xp: ModuleType,
    *,
    companions: Mapping[str, ImageBatch],
    companion: str = "mask",
    values: Sequence[int] | None = None,
) -> UInt8Array:
    """Masks as somebody drew them, the same for all channels.

    Parameters
    ----------
    batch : ImageBatch
        Images; their pixels are not looked at, nor is ``xp``.
    enabled : ndarray of bool, shape (n, C)
        Channels to mask; the masks of others are empty.
    companions : mapping of str to ImageBatch
        Filled in by the program: a plane per image, by name.
    companion : str
        Which of them; one of ``load.companions``.
    values : sequence of int, optional
        Pixels of these values are the mask; by default all that are not 0.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout.

    Raises
    ------
    UserError
        There is no such companion.
    """
    if not len(batch):
        return np.zeros(0, np.uint8)
    if companion not in companions:
        raise UserError(
            f"mask.methods: file: kwargs.companion: no companion is called {companion!r}; "
            f"load.companions has {', '.join(companions) or 'none'}"
        )
    drawn = companions[companion]
    inside = drawn.pixels != 0 if values is None else np.isin(drawn.pixels, list(values))
    plane = np.diff(drawn.offsets)
    masks = np.empty(batch.pixels.size, np.uint8)
    for i, image in enumerate(ImageBatch(masks, batch.offsets, batch.shapes, batch.index)):
        own = inside[drawn.offsets[i] : drawn.offsets[i] + plane[i]].reshape(image.shape[1:])
        image[:] = own & enabled[i, :, np.newaxis, np.newaxis]
    return masks
