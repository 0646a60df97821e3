"""Masks that another program made, read from an image beside each image (mask method ``file``)."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.segmentation.planes import require_numpy


def file(
    batch: ImageBatch,
    enabled: BoolArray,
    xp: ModuleType,
    *,
    companions: Mapping[str, ImageBatch],
    companion: str = "mask",
    values: list[float] | None = None,
) -> UInt8Array:
    """Masks from the images that accompany a batch: for each channel its own, or one for all.

    Parameters
    ----------
    batch : ImageBatch
        Images; only their shapes are looked at.
    enabled : ndarray of bool, shape (n, C)
        Channels to mask; the masks of others are empty.
    xp : module
        numpy.
    companions : mapping of str to ImageBatch
        Images, int64, that belong to those of the batch, of the same height and width, and of one
        channel or as many, by name; filled in by the program. May lack all where the batch is
        empty.
    companion : str
        Which of them.
    values : list of float, optional
        The pixels in the mask are those of one of these values; by default all that are not 0.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout.

    Raises
    ------
    UserError
        There is no such companion, one differs from its image in size, or ``values`` is empty;
        ``xp`` is not numpy.
    """
    require_numpy(xp, "file")
    if values is not None and not len(values):
        raise UserError("mask.methods: file: kwargs.values is empty: no pixel would be in a mask")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if not len(batch):
        return masks
    if companion not in companions:
        known = ", ".join(companions) or "none"
        raise UserError(
            f"mask.methods: file: kwargs.companion: no image beside the images is called "
            f"{companion!r}; there are: {known}"
        )
    given = companions[companion]
    _same_size(batch, given, companion)
    chosen = np.sort(np.asarray([] if values is None else values, np.float64))
    _file(
        given.pixels,
        given.offsets,
        given.shapes,
        batch.offsets,
        batch.shapes,
        enabled,
        chosen,
        masks,
    )
    return masks


def _same_size(batch: ImageBatch, given: ImageBatch, companion: str) -> None:
    if len(given) != len(batch):
        raise UserError(
            f"mask.methods: file: {len(given)} images {companion!r} for {len(batch)} images"
        )
    differ = np.flatnonzero((given.shapes[:, 1:] != batch.shapes[:, 1:]).any(axis=1))
    if differ.size:
        first = differ[0]
        (_, h, w), (_, height, width) = given.shapes[first], batch.shapes[first]
        raise UserError(
            f"mask.methods: file: image {batch.index[first]} is {height} x {width} pixels, its "
            f"{companion!r} {h} x {w}"
        )
    planes = given.shapes[:, 0]
    if ((planes != 1) & (planes != batch.shapes[:, 0])).any():
        raise UserError(f"mask.methods: file: {companion!r} has other channels than the images")


@njit(cache=True, nogil=True, error_model="numpy")
def _file(pixels, starts, given, offsets, shapes, enabled, chosen, masks):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        planes = given[i, 0]
        for c in range(channels):
            start = starts[i] + (c * h * w if planes == channels else 0)
            for k in range(h * w):
                pixel = pixels[start + k]
                inside = pixel != 0
                if chosen.size:
                    at = np.searchsorted(chosen, np.float64(pixel))
                    inside = at < chosen.size and chosen[at] == pixel
                masks[offsets[i] + c * h * w + k] = inside and enabled[i, c]
