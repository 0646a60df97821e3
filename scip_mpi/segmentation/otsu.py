"""Otsu's threshold of the texture left by a median filter (mask method ``otsu``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.segmentation.components import flip_small, run_scratch
from scip_mpi.segmentation.li import SMALLEST_OBJECT
from scip_mpi.segmentation.planes import largest, require_numpy
from scip_mpi.segmentation.rank_median import disc_halves, median_scratch, rank_median
from scip_mpi.segmentation.smoothing import frame_scratch, gaussian, gaussian_weights, sobel

BINS = 512


def otsu(batch: ImageBatch, enabled: BoolArray, xp: ModuleType) -> UInt8Array:
    """Masks by Otsu's threshold, SCIP's ``otsu``.

    Pixels are counted into 512 bins; what is left after a median over a disc of radius 5 is
    smoothed (sigma 0.5), its Sobel magnitude scaled to the bins' range, its median over the same
    disc thresholded by Otsu; then holes below a quarter of the image are filled and objects below
    20 pixels removed. Integers from 0 to 512 are their own bins, as in SCIP; floating point, on
    which SCIP fails there, and negative integers are always binned.

    Parameters
    ----------
    batch : ImageBatch
        Images.
    enabled : ndarray of bool, shape (n, C)
        Channels to segment; the masks of others are empty.
    xp : module
        numpy.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout.

    Raises
    ------
    UserError
        ``xp`` is not numpy.

    References
    ----------
    Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Systems, Man and
    Cybernetics 9(1), 1979.
    """
    require_numpy(xp, "otsu")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if not len(batch):
        return masks
    dtype = batch.pixels.dtype
    floating = dtype.kind == "f"
    edges = np.empty(BINS + 1, dtype if floating else np.float64)
    height, width = largest(batch)
    _otsu(
        batch.pixels, batch.offsets, batch.shapes, enabled, floating, edges, gaussian_weights(0.5),
        height, width, masks,
    )  # fmt: skip
    return masks


@njit(cache=True, nogil=True, error_model="numpy")
def bin_pixels(plane, low, high, edges, levels):
    """Bin of each pixel: numpy's digitize on the edges of histogram_bin_edges, 512 equal bins.

    The edges are low + j * step, the last one high, in their own precision, which is that of
    floating-point pixels and double for integers (where, up to 32 bits, they are exact).

    Parameters
    ----------
    plane : (H, W)
    low, high : number
        Smallest and largest pixel.
    edges : (513,) float32 or float64, scratch
    levels : at least (H, W) uint16, out
        1 to 513; the largest pixels have a bin of their own.
    """
    height, width = plane.shape
    real = edges.dtype.type
    first, last = real(low), real(high)
    if first == last:
        first -= real(0.5)
        last += real(0.5)
    step = (last - first) / real(BINS)
    for j in range(BINS):
        edges[j] = real(j) * step + first
    edges[BINS] = last
    for y in range(height):
        for x in range(width):
            value = real(plane[y, x])
            guess = (value - first) / step
            # NaN, where the range of the pixels overflows, falls into the first bin.
            j = int(guess) if 0 <= guess < BINS else (BINS if guess >= BINS else 0)
            while j < BINS and value >= edges[j + 1]:
                j += 1
            while j > 0 and value < edges[j]:
                j -= 1
            levels[y, x] = j + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _otsu(
    pixels, offsets, shapes, enabled, floating, edges, weights, height, width, masks,
):  # fmt: skip
    a = np.empty((height, width))
    b = np.empty((height, width))
    frames = frame_scratch(height, width, weights.size)
    levels = np.empty((height, width), np.uint16)
    median = np.empty((height, width), np.uint16)
    histogram = np.empty(BINS + 2, np.int64)
    discs = median_scratch(height, width)
    runs, row_start, parent, size = run_scratch(height, width)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        if i == 0 or h != shapes[i - 1, 1] or w != shapes[i - 1, 2]:
            disc_halves(h, w, discs)
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * h * w
            plane = pixels[at : at + h * w].reshape(h, w)
            mask = masks[at : at + h * w].reshape(h, w)
            smallest, biggest = plane[0, 0], plane[0, 0]
            finite = True
            for y in range(h):
                for x in range(w):
                    smallest = min(smallest, plane[y, x])
                    biggest = max(biggest, plane[y, x])
                    finite &= np.isfinite(plane[y, x])
            if not finite:
                continue
            if floating or smallest < 0 or biggest > BINS:
                bin_pixels(plane, smallest, biggest, edges, levels)
            else:
                for y in range(h):
                    for x in range(w):
                        levels[y, x] = plane[y, x]
            top = 0
            for y in range(h):
                for x in range(w):
                    top = max(top, levels[y, x])
            rank_median(levels, h, w, discs, histogram, median)
            for y in range(h):
                for x in range(w):
                    a[y, x] = np.float64(levels[y, x]) - np.float64(median[y, x])
            gaussian(a, weights, h, w, frames, b)
            sobel(b, h, w, frames, a)
            low = a[0, 0]
            high = a[0, 0]
            for y in range(h):
                for x in range(w):
                    low = min(low, a[y, x])
                    high = max(high, a[y, x])
            if low == high:
                continue
            for y in range(h):
                for x in range(w):
                    levels[y, x] = np.uint16(np.int64((a[y, x] - low) / (high - low) * top))
            rank_median(levels, h, w, discs, histogram, median)
            threshold = otsu_threshold(median, h, w, histogram)
            for y in range(h):
                for x in range(w):
                    mask[y, x] = median[y, x] > threshold
            flip_small(mask, 0, h * w / 4, runs, row_start, parent, size)
            flip_small(mask, 1, SMALLEST_OBJECT, runs, row_start, parent, size)


@njit(cache=True, nogil=True, error_model="numpy")
def otsu_threshold(levels, height, width, histogram):
    """Otsu's threshold of the (height, width) corner of a plane of levels.

    The first level of the largest variance between the classes. The product of the class sizes is
    rounded to single precision as scikit-image does: ties depend on it.
    """
    histogram[:] = 0
    low = histogram.size
    high = 0
    total = 0
    for y in range(height):
        for x in range(width):
            level = np.int64(levels[y, x])
            histogram[level] += 1
            total += level
            low = min(low, level)
            high = max(high, level)
    if low == high:
        return low
    n = height * width
    best = -1.0
    threshold = low
    count = 0
    part = 0
    for level in range(low, high):
        count += histogram[level]
        part += histogram[level] * level
        gap = part / count - (total - part) / (n - count)
        sizes = np.float64(np.float32(count) * np.float32(n - count))
        variance = sizes * (gap * gap)
        if variance > best:
            best = variance
            threshold = level
    return threshold
