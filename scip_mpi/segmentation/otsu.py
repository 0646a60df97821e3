"""Otsu's threshold of the texture left by a median filter (mask method ``otsu``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.segmentation.components import flip_small, run_scratch
from scip_mpi.segmentation.li import SMALLEST_OBJECT
from scip_mpi.segmentation.order import extremes
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
def bin_pixels(pixels, low, high, edges, levels):
    """Bin of each pixel: numpy's digitize on the edges of histogram_bin_edges, 512 equal bins.

    The edges are low + j * step, the last one high, in their own precision, which is that of
    floating-point pixels and double for integers (where, up to 32 bits, they are exact).

    Parameters
    ----------
    pixels : (n)
    low, high : number
        Smallest and largest pixel.
    edges : (513,) float32 or float64, scratch
    levels : (n) uint16, out
        1 to 513; the largest pixels have a bin of their own.
    """
    real = edges.dtype.type
    first, last = real(low), real(high)
    if first == last:
        first -= real(0.5)
        last += real(0.5)
    step = (last - first) / real(BINS)
    for j in range(BINS):
        edges[j] = real(j) * step + first
    edges[BINS] = last
    # The edges are rounded, so that the bin may be the one beside that of the guess by division;
    # farther off only where the pixels' type has few numbers to a bin.
    far = 0
    for k in range(pixels.size):
        value = real(pixels[k])
        guess = (value - first) / step
        # NaN, where the range of the pixels overflows, falls into the first bin.
        guess = guess if guess >= 0 else real(0)
        j = np.int32(guess if guess < BINS else real(BINS))
        # The edges once more, without a branch or a look into the table.
        upper = real(j + 1) * step + first if j + 1 < BINS else last
        lower = real(j) * step + first if j < BINS else last
        j += np.int32((j < BINS) & (value >= upper)) - np.int32((j > 0) & (value < lower))
        upper = real(j + 1) * step + first if j + 1 < BINS else last
        lower = real(j) * step + first if j < BINS else last
        far += ((j < BINS) & (value >= upper)) | ((j > 0) & (value < lower))
        levels[k] = j + 1
    if far:
        _search_bins(pixels, first, step, edges, levels)


@njit(cache=True, nogil=True, error_model="numpy")
def _search_bins(pixels, first, step, edges, levels):
    """`bin_pixels` from the guess on, bin by bin."""
    for k in range(pixels.size):
        value = edges.dtype.type(pixels[k])
        guess = (value - first) / step
        j = int(guess) if 0 <= guess < BINS else (BINS if guess >= BINS else 0)
        while j < BINS and value >= edges[j + 1]:
            j += 1
        while j > 0 and value < edges[j]:
            j -= 1
        levels[k] = j + 1


@njit(cache=True, nogil=True, error_model="numpy")
def _otsu(
    pixels, offsets, shapes, enabled, floating, edges, weights, height, width, masks,
):  # fmt: skip
    flat, smooth = np.empty(height * width), np.empty((height, width))
    flat_levels = np.empty(height * width, np.uint16)
    flat_median = np.empty(height * width, np.uint16)
    frames = frame_scratch(height, width, weights.size)
    histogram = np.empty(BINS + 2, np.int64)
    discs = median_scratch(height, width)
    runs, row_start, parent, size = run_scratch(height, width)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        if i == 0 or h != shapes[i - 1, 1] or w != shapes[i - 1, 2]:
            disc_halves(h, w, discs)
        # Without gaps, so that loops over pixels need not stop at the end of each row.
        texture, levels, median = flat[:n], flat_levels[:n], flat_median[:n]
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * n
            plane, mask = pixels[at : at + n], masks[at : at + n]
            finite = 0
            for k in range(n):
                finite += np.isfinite(plane[k])
            if finite < n:
                continue
            smallest, biggest = extremes(plane.reshape(h, w))
            if floating or smallest < 0 or biggest > BINS:
                bin_pixels(plane, smallest, biggest, edges, levels)
            else:
                for k in range(n):
                    levels[k] = plane[k]
            _, top = extremes(levels.reshape(h, w))
            rank_median(levels.reshape(h, w), h, w, discs, histogram, median.reshape(h, w))
            for k in range(n):
                texture[k] = np.float64(levels[k]) - np.float64(median[k])
            gaussian(texture.reshape(h, w), weights, h, w, frames, smooth)
            sobel(smooth, h, w, frames, texture.reshape(h, w))
            low, high = extremes(texture.reshape(h, w))
            if low == high:
                continue
            for k in range(n):
                levels[k] = np.uint16(np.int64((texture[k] - low) / (high - low) * top))
            rank_median(levels.reshape(h, w), h, w, discs, histogram, median.reshape(h, w))
            threshold = otsu_threshold(median, histogram)
            for k in range(n):
                mask[k] = median[k] > threshold
            flip_small(mask.reshape(h, w), 0, n / 4, runs, row_start, parent, size)
            flip_small(mask.reshape(h, w), 1, SMALLEST_OBJECT, runs, row_start, parent, size)


@njit(cache=True, nogil=True, error_model="numpy")
def otsu_threshold(levels, histogram):
    """Otsu's threshold of levels.

    The first level of the largest variance between the classes. The product of the class sizes is
    rounded to single precision as scikit-image does: ties depend on it.
    """
    histogram[:] = 0
    n = levels.size
    for k in range(n):
        histogram[levels[k]] += 1
    low, high = 0, histogram.size - 1
    while histogram[low] == 0:
        low += 1
    while histogram[high] == 0:
        high -= 1
    if low == high:
        return low
    total = 0
    for level in range(low, high + 1):
        total += histogram[level] * level
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
