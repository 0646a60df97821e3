"""Bright spots: the top-hat transform's largest values (mask method ``spot``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, Int64Array, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.segmentation.planes import largest

FRACTION = 0.99


def spot(batch: ImageBatch, enabled: BoolArray, xp: ModuleType, *, spotsize: int) -> UInt8Array:
    """Masks of bright spots, SCIP's ``spot``.

    The white top-hat transform (the image less its opening by a disc, the image mirrored at its
    edges), and of it the pixels above its 0.99 quantile.

    Parameters
    ----------
    batch : ImageBatch
        Images.
    enabled : ndarray of bool, shape (n, C)
        Channels to segment; the masks of others are empty.
    xp : module
        numpy.
    spotsize : int
        Radius of the disc in pixels, at least 1.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout.

    Raises
    ------
    UserError
        ``spotsize`` is below 1.
    """
    if spotsize < 1:
        raise UserError(f"mask method spot: spotsize must be at least 1, not {spotsize}")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if len(batch):
        height, width = largest(batch)
        dtype = batch.pixels.dtype
        # The difference of two signed integers may not fit their type.
        values = np.empty(height * width, np.int64 if dtype.kind == "i" else dtype)
        _spot(
            batch.pixels, batch.offsets, batch.shapes, enabled, disc_half_widths(spotsize),
            height, width, values, masks,
        )  # fmt: skip
    return masks


def disc_half_widths(radius: int) -> Int64Array:
    """Half width of each row of a disc: x^2 + y^2 <= radius^2."""
    y = np.arange(-radius, radius + 1)
    return np.floor(np.sqrt(radius * radius - y * y)).astype(np.int64)


@njit(cache=True, nogil=True, error_model="numpy")
def mirror(i, n):
    """Place of index ``i`` in a line of ``n`` pixels mirrored at its edges: (c b a | a b c)."""
    i = i % (2 * n)
    return i if i < n else 2 * n - 1 - i


@njit(cache=True, nogil=True, error_model="numpy")
def extreme(plane, height, width, half_widths, largest_, padded, out):
    """Erosion, or dilation if ``largest_``, by a disc, the image mirrored at its edges."""
    radius = half_widths.size // 2
    for y in range(height + 2 * radius):
        source = mirror(y - radius, height)
        for x in range(width + 2 * radius):
            padded[y, x] = plane[source, mirror(x - radius, width)]
    for y in range(height):
        for x in range(width):
            out[y, x] = padded[y + radius, x + radius]
        for k in range(half_widths.size):
            half = half_widths[k]
            for dx in range(radius - half, radius + half + 1):
                if largest_:
                    for x in range(width):
                        out[y, x] = max(out[y, x], padded[y + k, x + dx])
                else:
                    for x in range(width):
                        out[y, x] = min(out[y, x], padded[y + k, x + dx])


@njit(cache=True, nogil=True, error_model="numpy")
def _spot(pixels, offsets, shapes, enabled, half_widths, height, width, values, masks):
    radius = half_widths.size // 2
    padded = np.empty((height + 2 * radius, width + 2 * radius), pixels.dtype)
    eroded = np.empty((height, width), pixels.dtype)
    opened = np.empty((height, width), pixels.dtype)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * h * w
            plane = pixels[at : at + h * w].reshape(h, w)
            mask = masks[at : at + h * w].reshape(h, w)
            extreme(plane, h, w, half_widths, False, padded, eroded)
            extreme(eroded, h, w, half_widths, True, padded, opened)
            left = values[: h * w].reshape(h, w)
            for y in range(h):
                for x in range(w):
                    left[y, x] = plane[y, x]
                    left[y, x] -= opened[y, x]
            # A value is above the interpolated quantile just if it is above the value below it.
            threshold = np.sort(values[: h * w])[int(FRACTION * (h * w - 1))]
            for y in range(h):
                for x in range(w):
                    mask[y, x] = left[y, x] > threshold
