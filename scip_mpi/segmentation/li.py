"""Li's minimum cross entropy threshold of the smoothed gradient (mask method ``li``)."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.segmentation.components import flip_small, run_scratch
from scip_mpi.segmentation.logarithm import log
from scip_mpi.segmentation.pairwise import pairwise_sum
from scip_mpi.segmentation.planes import largest, require_numpy, scaling
from scip_mpi.segmentation.smoothing import gaussian, gaussian_kernels, sigmas_of, sobel

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
    line = np.empty(width)
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
                gaussian(a, weights, h, w, line, b)
                a, b = b, a
            sobel(a, h, w, b)
            weights = second[second_at[c] : second_at[c + 1]]
            if weights.size > 1:
                gaussian(b, weights, h, w, line, a)
            else:
                a, b = b, a
            threshold = li_threshold(a, h, w, values)
            for y in range(h):
                for x in range(w):
                    mask[y, x] = a[y, x] > threshold
            flip_small(mask, 0, h * w / 4, runs, row_start, parent, size)
            flip_small(mask, 1, SMALLEST_OBJECT, runs, row_start, parent, size)


@njit(cache=True, nogil=True, error_model="numpy")
def li_threshold(plane, height, width, values):
    """Li's threshold of the finite pixels in the (height, width) corner of a plane.

    Ends as scikit-image does: when a step is no longer than half the smallest gap between two
    values, or when the pixels above the threshold no longer change, from where no step leads on.

    Parameters
    ----------
    plane : float64, at least (height, width)
    height, width : int
    values : (3, >= height * width) float64, scratch

    Returns
    -------
    float
        The threshold; NaN, above which nothing is, if no pixel is finite.
    """
    n = 0
    low = np.inf
    high = -np.inf
    for y in range(height):
        for x in range(width):
            value = plane[y, x]
            if np.isfinite(value):
                values[0, n] = value
                n += 1
                low = min(low, value)
                high = max(high, value)
    if n == 0:
        return np.nan
    if low == high:
        return low
    shifted, foreground, background = values[0], values[1], values[2]
    # The smallest gap between neighbours bounds the smallest gap, which is dear, from above.
    bound = np.inf
    for k in range(n):
        shifted[k] -= low
        gap = abs(shifted[k] - shifted[max(k - 1, 0)])
        if gap > 0:
            bound = min(bound, gap)
    threshold = pairwise_sum(shifted, n) / n
    before = -1
    step = np.inf
    while True:
        above = 0
        for k in range(n):
            value = shifted[k]
            foreground[above] = value
            background[k - above] = value
            above += value > threshold
        if above in (before, 0, n):
            break
        if 2 * step <= bound and 2 * step <= smallest_gap(shifted[:n]):
            break
        mean_below = pairwise_sum(background, n - above) / (n - above)
        if mean_below == 0.0:
            break
        mean_above = pairwise_sum(foreground, above) / above
        following = (mean_below - mean_above) / (log(mean_below) - log(mean_above))
        step = abs(following - threshold)
        threshold = following
        before = above
    return threshold + low


@njit(cache=True, nogil=True, error_model="numpy")
def smallest_gap(values):
    """Smallest difference between two unequal values."""
    ordered = np.sort(values)
    gap = np.inf
    for k in range(1, ordered.size):
        if ordered[k] > ordered[k - 1]:
            gap = min(gap, ordered[k] - ordered[k - 1])
    return gap
