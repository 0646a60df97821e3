"""Pixels above or below a threshold, given or found in each plane (mask method ``threshold``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Literal, get_args

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.segmentation.box_mean import box_mean
from scip_mpi.segmentation.li_threshold import li_threshold
from scip_mpi.segmentation.planes import largest, per_channel, require_numpy
from scip_mpi.segmentation.smoothing import frame_scratch, gaussian, gaussian_kernels, sigmas_of
from scip_mpi.segmentation.thresholds import (
    BINS,
    LEVELS,
    finite_pixels,
    histogram,
    li_of_counts,
    otsu_of_counts,
    percentile,
    triangle_of_counts,
)

Method = Literal["fixed", "otsu", "li", "triangle", "percentile", "local"]
METHODS = get_args(Method)
FIXED, OTSU, LI, TRIANGLE, PERCENTILE, LOCAL = range(len(METHODS))
KEY = "mask.methods: threshold: kwargs."


def threshold(
    batch: ImageBatch,
    enabled: BoolArray,
    xp: ModuleType,
    *,
    method: Method,
    value: float | Sequence[float] | None = None,
    percentile: float = 90.0,
    block_size: int = 35,
    offset: float = 0.0,
    smooth: float | Sequence[float] = 0.0,
    foreground: Literal["bright", "dark"] = "bright",
) -> UInt8Array:
    """Masks of the pixels above a threshold, or below it, in the pixels' own units.

    Parameters
    ----------
    batch : ImageBatch
        Images; compared in double precision. Pixels that are not finite have no say in a plane's
        threshold.
    enabled : ndarray of bool, shape (n, C)
        Channels to segment; the masks of others are empty.
    xp : module
        numpy.
    method : {'fixed', 'otsu', 'li', 'triangle', 'percentile', 'local'}
        Where a plane's threshold is from: given by ``value``; one of scikit-image's, of which a
        plane of equal pixels has none; a percentile of the plane; or for each pixel the mean
        around it.
    value : float or sequence of float, optional
        The threshold, for all channels or one for each (``fixed``).
    percentile : float
        0 to 100 (``percentile``).
    block_size : int
        Side in pixels, odd, of the square that the mean is taken over (``local``).
    offset : float
        Taken from that mean (``local``).
    smooth : float or sequence of float
        Standard deviation in pixels of a Gaussian before all else, for all channels or one for
        each; 0 for none.
    foreground : {'bright', 'dark'}
        Whether objects are bright or dark. For dark ones all is done with the negative pixels,
        since Li's threshold, the triangle's and a percentile mean the bright side; only a ``fixed``
        value stays in the pixels' own units.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout.

    Raises
    ------
    UserError
        A setting is out of range, lacking, or of another method; ``xp`` is not numpy.
    """
    require_numpy(xp, "threshold")
    _check(method, value, percentile, block_size, offset, foreground)
    values = per_channel(0.0 if value is None else value, batch.channels, KEY + "value")
    if not np.isfinite(values).all():
        raise UserError(f"{KEY}value must be finite, found {value}")
    sigmas = sigmas_of(smooth, batch.channels, "threshold")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if len(batch):
        weights, starts = gaussian_kernels(sigmas)
        height, width = largest(batch)
        integers = batch.pixels.dtype.kind in "iu"
        _threshold(
            batch.pixels, batch.offsets, batch.shapes, enabled, METHODS.index(method),
            np.array(values), float(percentile), int(block_size), float(offset),
            foreground == "dark", weights, starts, integers, height, width, masks,
        )  # fmt: skip
    return masks


def _check(
    method: str,
    value: float | Sequence[float] | None,
    percentile: float,
    block_size: int,
    offset: float,
    foreground: str,
) -> None:
    """Refuse settings that no method has, or not the one chosen."""
    if method not in METHODS:
        raise UserError(f"{KEY}method must be one of {', '.join(METHODS)}, not {method!r}")
    if foreground not in ("bright", "dark"):
        raise UserError(f"{KEY}foreground must be bright or dark, not {foreground!r}")
    if method == "fixed" and value is None:
        raise UserError(f"{KEY}value is missing: method fixed needs a threshold")
    strays = {
        "value": method != "fixed" and value is not None,
        "percentile": method != "percentile" and percentile != 90,
        "block_size": method != "local" and block_size != 35,
        "offset": method != "local" and offset != 0,
    }
    for key, stray in strays.items():
        if stray:
            raise UserError(f"{KEY}{key} has no meaning with method {method}")
    if not 0 <= percentile <= 100:
        raise UserError(f"{KEY}percentile must be from 0 to 100, not {percentile:g}")
    if block_size < 3 or block_size % 2 != 1:
        raise UserError(
            f"{KEY}block_size must be an odd number of pixels, at least 3, not {block_size}"
        )
    if not math.isfinite(offset):
        raise UserError(f"{KEY}offset must be finite, not {offset}")


@njit(cache=True, nogil=True, error_model="numpy")
def _threshold(
    pixels, offsets, shapes, enabled, method, fixed, percent, block, offset, dark, weights, starts,
    integers, height, width, masks,
):  # fmt: skip
    a = np.empty((height, width))
    b = np.empty((height, width))
    line = np.empty(max(height, width) + block)
    frames = frame_scratch(height, width, weights.size)
    values = np.empty((3, height * width))
    counts = np.empty(LEVELS, np.int64)
    centres = np.empty(LEVELS)
    means = np.empty(LEVELS)
    edges = np.empty(BINS + 1)
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
                    a[y, x] = -np.float64(plane[y, x]) if dark else np.float64(plane[y, x])
            half = weights[starts[c] : starts[c + 1]]
            smoothed = half.size > 1
            if smoothed:
                gaussian(a, half, h, w, frames, b)
                a, b = b, a
            if method == LOCAL:
                box_mean(a, h, w, block, line, b)
                for y in range(h):
                    for x in range(w):
                        t = b[y, x] - offset
                        mask[y, x] = a[y, x] > t
                continue
            t = -fixed[c] if dark else fixed[c]
            if method != FIXED:
                t = _found(
                    a, h, w, method, percent, integers and not smoothed, values, counts, centres,
                    means, edges,
                )  # fmt: skip
            for y in range(h):
                for x in range(w):
                    mask[y, x] = a[y, x] > t


@njit(cache=True, nogil=True, error_model="numpy")
def _found(plane, h, w, method, percent, whole, values, counts, centres, means, edges):
    """A plane's threshold; NaN, which nothing is above, where there is none."""
    n, low, high = finite_pixels(plane, h, w, values[0])
    if method == PERCENTILE:
        return percentile(values[0], n, percent)
    if n == 0 or low == high:
        return np.nan
    if method == LI and not (whole and high - low < LEVELS):
        return li_threshold(plane, h, w, values)
    bins = histogram(values[0], n, low, high, whole, counts, centres, edges)
    if bins == 0:
        return np.nan
    if method == OTSU:
        return otsu_of_counts(counts, centres, bins, means)
    if method == TRIANGLE:
        return triangle_of_counts(counts, centres, bins)
    return li_of_counts(counts, centres, bins)
