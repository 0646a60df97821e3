"""Flooding from what is surely background and surely edge (mask method ``watershed``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.segmentation.components import flip_small, run_scratch
from scip_mpi.segmentation.flooding import flood, flood_scratch
from scip_mpi.segmentation.li import SMALLEST_OBJECT
from scip_mpi.segmentation.morphology import disc_extreme, disc_half_widths, disc_scratch
from scip_mpi.segmentation.planes import largest, require_numpy, scaling
from scip_mpi.segmentation.smoothing import frame_scratch, sobel
from scip_mpi.segmentation.thresholds import BINS, finite_pixels, histogram, otsu_of_counts

SMALLEST_HOLE = 300


def watershed(
    batch: ImageBatch, enabled: BoolArray, xp: ModuleType, *, noisy_channels: Sequence[int] = ()
) -> UInt8Array:
    """Masks by compact watershed, SCIP's ``watershed``.

    Of the Sobel magnitude, closed by a disc of radius 2, Otsu's threshold t; the pixels are flooded
    from where it is below t / 2 (background) and above 3 t / 2; then holes below 300 pixels are
    filled, the mask is grown by a pixel, and objects below 20 pixels removed.

    Parameters
    ----------
    batch : ImageBatch
        Images.
    enabled : ndarray of bool, shape (n, C)
        Channels to segment; the masks of others are empty.
    xp : module
        numpy.
    noisy_channels : sequence of int
        Channels that go through non-local means first, which scales integers to 0..1. (SCIP writes
        the result back among the integers, so that nothing is left of it.)

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout; empty where no pixel is above 3 t / 2 (SCIP: full), and of
        planes with pixels that are not finite.

    Raises
    ------
    UserError
        A noisy channel does not exist; ``xp`` is not numpy.

    References
    ----------
    Neubert and Protzel, "Compact watershed and preemptive SLIC", ICPR 2014; Buades, Coll and Morel,
    "A non-local algorithm for image denoising", CVPR 2005.
    """
    require_numpy(xp, "watershed")
    for c in noisy_channels:
        if c < 0 or (len(batch) and c >= batch.channels):
            raise UserError(f"mask.methods: watershed: kwargs.noisy_channels: no channel {c}")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if not len(batch):
        return masks
    scale, floor = scaling(batch.pixels.dtype)
    scales = np.full((batch.channels, 2), (scale, floor))
    pixels = batch.pixels
    if len(noisy_channels):
        pixels = _denoised(batch, enabled, noisy_channels)
        scales[list(noisy_channels)] = 1.0, -math.inf
    height, width = largest(batch)
    _watershed(
        pixels, batch.offsets, batch.shapes, enabled, scales, disc_half_widths(2), height, width,
        masks,
    )  # fmt: skip
    return masks


def _denoised(batch: ImageBatch, enabled: BoolArray, channels: Sequence[int]) -> NDArray[Any]:
    from skimage.restoration import denoise_nl_means

    pixels = batch.pixels.astype(np.float64)
    copy = ImageBatch(pixels, batch.offsets, batch.shapes, batch.index)
    for i, c in np.argwhere(enabled):
        plane = batch.image(i)[c]
        if c in channels and np.isfinite(plane).all():
            plane = plane if plane.dtype.kind in "iu" else plane.astype(np.float64)
            denoised = denoise_nl_means(plane, patch_size=2, patch_distance=1)
            # Of a single column it returns a line.
            copy.image(i)[c] = denoised.reshape(plane.shape)
    return pixels


@njit(cache=True, nogil=True, error_model="numpy")
def _watershed(pixels, offsets, shapes, enabled, scales, disc, height, width, masks):
    level = np.empty((height, width))
    a = np.empty((height, width))
    b = np.empty((height, width))
    discs = disc_scratch(height, width, disc, level)
    frames = frame_scratch(height, width, 1)
    values = np.empty(height * width)
    counts = np.empty(BINS, np.int64)
    centres = np.empty(BINS)
    means = np.empty(BINS)
    edges = np.empty(BINS + 1)
    labels = np.empty((height, width), np.int32)
    inside = np.ones((height, width), np.uint8)
    grown = np.empty((height, width), np.uint8)
    queue = flood_scratch(height, width, False, True)
    runs, row_start, parent, size = run_scratch(height, width)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * h * w
            plane = pixels[at : at + h * w].reshape(h, w)
            mask = masks[at : at + h * w].reshape(h, w)
            for y in range(h):
                for x in range(w):
                    level[y, x] = plane[y, x]
                    a[y, x] = max(plane[y, x] * scales[c, 0], scales[c, 1])
            sobel(a, h, w, frames, b)
            n, low, high = finite_pixels(b, h, w, values)
            if n < h * w or low == high:
                continue
            disc_extreme(b, h, w, disc, True, discs, a)
            disc_extreme(a, h, w, disc, False, discs, b)
            n, low, high = finite_pixels(b, h, w, values)
            if low == high:
                continue
            if histogram(values, n, low, high, False, counts, centres, edges) == 0:
                continue
            t = otsu_of_counts(counts, centres, BINS, means)
            # On an empty mask, the whole of a small image would count as a hole.
            if not high > t + t * 0.5:
                continue
            for y in range(h):
                for x in range(w):
                    labels[y, x] = 0
                    if b[y, x] < t - t * 0.5:
                        labels[y, x] = 1
                    elif b[y, x] > t + t * 0.5:
                        labels[y, x] = 2
            flood(level, labels, inside, h, w, False, 1.0, *queue)
            for y in range(h):
                for x in range(w):
                    mask[y, x] = labels[y, x] == 2
            flip_small(mask, 0, SMALLEST_HOLE, runs, row_start, parent, size)
            _grow(mask, h, w, grown)
            flip_small(mask, 1, SMALLEST_OBJECT, runs, row_start, parent, size)


@njit(cache=True, nogil=True, error_model="numpy")
def _grow(mask, h, w, grown):
    """Add the pixels beside a mask, by sides, in place."""
    for y in range(h):
        for x in range(w):
            grown[y, x] = (
                mask[y, x]
                or (y > 0 and mask[y - 1, x])
                or (y < h - 1 and mask[y + 1, x])
                or (x > 0 and mask[y, x - 1])
                or (x < w - 1 and mask[y, x + 1])
            )
    for y in range(h):
        for x in range(w):
            mask[y, x] = grown[y, x]
