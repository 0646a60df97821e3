"""Li's minimum cross entropy threshold of the smoothed gradient (mask method ``li``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.segmentation.components import flip_small, run_scratch
from scip_mpi.segmentation.planes import largest, scale_of
from scip_mpi.segmentation.smoothing import gaussian, gaussian_weights, sobel

SMALLEST_OBJECT = 20


def li(
    batch: ImageBatch, enabled: BoolArray, xp: ModuleType, *, smooth: float | Sequence[float]
) -> UInt8Array:
    """Masks by Li's threshold of the gradient, SCIP's ``li``.

    Gaussian of ``smooth``, Sobel magnitude, Gaussian of twice ``smooth``, pixels above Li's
    threshold; then holes below a quarter of the image are filled and objects below 20 pixels
    removed.

    Parameters
    ----------
    batch : ImageBatch
        Images; unsigned integers are scaled to 0..1 and signed ones to -1..1 first.
    enabled : ndarray of bool, shape (n, C)
        Channels to segment; the masks of others are empty.
    xp : module
        numpy.
    smooth : float or sequence of float
        Standard deviation of the Gaussian in pixels, for all channels or one for each.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout.

    Raises
    ------
    UserError
        ``smooth`` has not one value per channel, or a negative one.

    References
    ----------
    Li and Lee, "Minimum cross entropy thresholding", Pattern Recognition 26(4), 1993; the
    iteration of Li and Tam, Pattern Recognition Letters 18(8), 1998.
    """
    channels = batch.channels
    sigmas = (
        [float(s) for s in np.broadcast_to(smooth, channels)]
        if np.ndim(smooth) == 0
        else [
            float(s)
            for s in smooth  # type: ignore[union-attr]
        ]
    )
    if channels and len(sigmas) != channels:
        raise UserError(
            f"mask method li: smooth has {len(sigmas)} values for {channels} channels; give one "
            "number for all, or one per channel"
        )
    if any(not s >= 0 for s in sigmas):
        raise UserError("mask method li: smooth must not be negative")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if not len(batch):
        return masks
    first, first_at = _kernels(sigmas, 1.0)
    second, second_at = _kernels(sigmas, 2.0)
    height, width = largest(batch)
    _li(
        batch.pixels, batch.offsets, batch.shapes, enabled, scale_of(batch.pixels.dtype),
        first, first_at, second, second_at, height, width, masks,
    )  # fmt: skip
    return masks


def _kernels(sigmas: Sequence[float], factor: float):
    halves = [gaussian_weights(factor * s) for s in sigmas]
    at = np.concatenate([[0], np.cumsum([h.size for h in halves])]).astype(np.int64)
    return np.concatenate(halves), at


@njit(cache=True, nogil=True, error_model="numpy")
def _li(
    pixels, offsets, shapes, enabled, scale, first, first_at, second, second_at, height, width,
    masks,
):  # fmt: skip
    a = np.empty((height, width))
    b = np.empty((height, width))
    line = np.empty(width)
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
                    a[y, x] = plane[y, x] * scale
            weights = first[first_at[c] : first_at[c + 1]]
            if weights.size > 1:
                gaussian(a, weights, h, w, line, b)
                a, b = b, a
            sobel(a, h, w, b)
            weights = second[second_at[c] : second_at[c + 1]]
            if weights.size > 1:
                gaussian(b, weights, h, w, line, a)
            else:
                a, b = b, a
            threshold = li_threshold(a, h, w)
            for y in range(h):
                for x in range(w):
                    mask[y, x] = a[y, x] > threshold
            flip_small(mask, 0, h * w / 4, runs, row_start, parent, size)
            flip_small(mask, 1, SMALLEST_OBJECT, runs, row_start, parent, size)


@njit(cache=True, nogil=True, error_model="numpy")
def li_threshold(plane, height, width):
    """Li's threshold of the (height, width) corner of a plane.

    Iterates until the pixels above the threshold no longer change, which is the fixed point that
    scikit-image reaches with its tolerance of half the smallest gap between two values.
    """
    low = plane[0, 0]
    high = plane[0, 0]
    for y in range(height):
        for x in range(width):
            low = min(low, plane[y, x])
            high = max(high, plane[y, x])
    if low == high:
        return low
    n = height * width
    total = 0.0
    for y in range(height):
        for x in range(width):
            total += plane[y, x] - low
    threshold = total / n
    before = -1
    for _ in range(1000):
        above = 0.0
        under = 0.0
        count = 0
        for y in range(height):
            for x in range(width):
                value = plane[y, x] - low
                if value > threshold:
                    above += value
                    count += 1
                else:
                    under += value
        if count == before or count == 0 or under == 0.0:
            break
        before = count
        foreground = above / count
        background = under / (n - count)
        threshold = (background - foreground) / (math.log(background) - math.log(foreground))
    return threshold + low
