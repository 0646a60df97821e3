"""Li's minimum cross entropy threshold of the smoothed gradient (mask method ``li``)."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.segmentation.components import flip_small, run_scratch
from scip_mpi.segmentation.li_threshold import li_threshold
from scip_mpi.segmentation.planes import largest, require_numpy, scaling
from scip_mpi.segmentation.smoothing import (
    frame_scratch,
    gaussian,
    gaussian_kernels,
    sigmas_of,
    sobel,
)

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
        Images; unsigned integers are scaled to 0..1 and signed ones to -1..1 first. All else is
        in double precision, for single-precision pixels too (scikit-image stays in theirs).
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
        ``smooth`` has not one value per channel, or one that is negative or not finite; ``xp`` is
        not numpy.

    References
    ----------
    Li and Lee, "Minimum cross entropy thresholding", Pattern Recognition 26(4), 1993; the
    iteration of Li and Tam, Pattern Recognition Letters 18(8), 1998.
    """
    require_numpy(xp, "li")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if not len(batch):
        return masks
    sigmas = sigmas_of(smooth, batch.channels, "li")
    first, first_at = gaussian_kernels(sigmas)
    second, second_at = gaussian_kernels([2 * s for s in sigmas])
    scale, floor = scaling(batch.pixels.dtype)
    height, width = largest(batch)
    _li(
        batch.pixels, batch.offsets, batch.shapes, enabled, scale, floor,
        first, first_at, second, second_at, height, width, masks,
    )  # fmt: skip
    return masks


@njit(cache=True, nogil=True, error_model="numpy")
def _li(
    pixels, offsets, shapes, enabled, scale, floor, first, first_at, second, second_at, height,
    width, masks,
):  # fmt: skip
    a = np.empty((height, width))
    b = np.empty((height, width))
    radius = max((second_at[1:] - second_at[:-1]).max() - 1, 1)
    frames = frame_scratch(height, width, radius)
    values = np.empty((3, height * width))
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
                    a[y, x] = max(plane[y, x] * scale, floor)
            weights = first[first_at[c] : first_at[c + 1]]
            if weights.size > 1:
                gaussian(a, weights, h, w, frames, b)
                a, b = b, a
            sobel(a, h, w, frames, b)
            weights = second[second_at[c] : second_at[c + 1]]
            if weights.size > 1:
                gaussian(b, weights, h, w, frames, a)
            else:
                a, b = b, a
            threshold = li_threshold(a, h, w, values)
            for y in range(h):
                for x in range(w):
                    mask[y, x] = a[y, x] > threshold
            flip_small(mask, 0, h * w / 4, runs, row_start, parent, size)
            flip_small(mask, 1, SMALLEST_OBJECT, runs, row_start, parent, size)
