"""Plain thresholds of each channel (mask method ``threshold``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Literal

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array, offsets_of
from scip_mpi.errors import UserError
from scip_mpi.segmentation.li import li_threshold
from scip_mpi.segmentation.planes import largest, require_numpy
from scip_mpi.segmentation.smoothing import gaussian, gaussian_weights
from scip_mpi.segmentation.thresholds import (
    MOST_VALUES,
    histogram,
    local_means,
    otsu,
    percentile_of,
    triangle,
)

METHODS = ("fixed", "otsu", "li", "triangle", "percentile", "local")
_FIXED, _OTSU, _LI, _TRIANGLE, _PERCENTILE, _LOCAL = range(len(METHODS))


def threshold(
    batch: ImageBatch,
    enabled: BoolArray,
    xp: ModuleType,
    *,
    method: Literal["fixed", "otsu", "li", "triangle", "percentile", "local"] = "otsu",
    value: float | list[float] | None = None,
    percentile: float = 90.0,
    block_size: int = 35,
    offset: float = 0.0,
    smooth: float | list[float] = 0.0,
    foreground: Literal["bright", "dark"] = "bright",
) -> UInt8Array:
    """Masks of the pixels above a threshold, or below it, in the pixels' own unit.

    Parameters
    ----------
    batch : ImageBatch
        Images.
    enabled : ndarray of bool, shape (n, C)
        Channels to segment; the masks of others are empty.
    xp : module
        numpy.
    method : str
        ``fixed``, the ``value``; ``otsu``, ``li`` or ``triangle`` of each plane; a ``percentile``
        of it; or ``local``, for each pixel the mean over a square around it less ``offset``.
    value : float or list of float
        Of ``fixed``, for all channels or one for each.
    percentile : float
        Between 0 and 100.
    block_size : int
        Side of the square of ``local``, odd.
    offset : float
        Of ``local``.
    smooth : float or list of float
        Standard deviation in pixels of the Gaussian that comes first.
    foreground : str
        Whether objects are ``bright`` or ``dark``. For dark ones the plane is turned over, that is,
        all is done with the negative pixels, since Li's method, the triangle and a percentile mean
        the bright side; only a ``fixed`` value stays in the pixels' unit.

    Returns
    -------
    ndarray of uint8
        Masks in the batch's layout; empty where all pixels of a plane are equal, unless the
        threshold is ``fixed``, and where one is NaN or infinite.

    Raises
    ------
    UserError
        A setting is missing, out of its range, or has not one value per channel; ``xp`` is not
        numpy.

    References
    ----------
    Otsu, IEEE Trans. Systems, Man and Cybernetics 9(1), 1979; Li and Tam, Pattern Recognition
    Letters 18(8), 1998; Zack, Rogers and Latt, J. Histochemistry and Cytochemistry 25(7), 1977.
    """
    require_numpy(xp, "threshold")
    where = "mask.methods: threshold: kwargs."
    if method == "fixed" and value is None:
        raise UserError(f"{where}value is missing: method fixed needs it")
    if method != "fixed" and value is not None:
        raise UserError(f"{where}value is for method fixed only, not for {method}")
    if not 0 <= percentile <= 100:
        raise UserError(f"{where}percentile must be between 0 and 100, not {percentile:g}")
    if block_size < 1 or block_size % 2 == 0:
        raise UserError(f"{where}block_size must be odd and at least 1, not {block_size}")
    if not math.isfinite(offset):
        raise UserError(f"{where}offset must be finite, not {offset:g}")
    channels = batch.channels
    values = _per_channel(0.0 if value is None else value, channels, f"{where}value")
    sigmas = _per_channel(smooth, channels, f"{where}smooth")
    for sigma in sigmas:
        if not 0 <= sigma < math.inf:
            raise UserError(f"{where}smooth must be 0 or more, not {sigma:g}")
    masks = np.zeros(batch.pixels.size, np.uint8)
    if not len(batch):
        return masks
    halves = [gaussian_weights(s) for s in sigmas]
    height, width = largest(batch)
    _threshold(
        batch.pixels, batch.offsets, batch.shapes, enabled, METHODS.index(method),
        np.array(values), percentile, block_size, offset, np.concatenate(halves),
        offsets_of(np.array([h.size for h in halves])), batch.pixels.dtype.kind != "f",
        foreground == "dark", height, width, masks,
    )  # fmt: skip
    return masks


def _per_channel(given: float | Sequence[float], channels: int, key: str) -> list[float]:
    values = [float(v) for v in given] if isinstance(given, Sequence) else [float(given)] * channels
    if channels and len(values) != channels:
        raise UserError(
            f"{key} has {len(values)} values, the images have {channels} channels; give one number "
            "for all channels, or one for each"
        )
    return values


@njit(cache=True, nogil=True, error_model="numpy")
def _threshold(
    pixels, offsets, shapes, enabled, method, fixed, percent, block, offset, weights, weights_at,
    whole, dark, height, width, masks,
):  # fmt: skip
    a = np.empty((height, width))
    b = np.empty((height, width))
    line = np.empty(max(height, width))
    values = np.empty((3, height * width))
    counts = np.empty(MOST_VALUES, np.int64)
    centres = np.empty(MOST_VALUES)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            if not enabled[i, c]:
                continue
            at = offsets[i] + c * h * w
            plane = pixels[at : at + h * w].reshape(h, w)
            mask = masks[at : at + h * w].reshape(h, w)
            finite = True
            for y in range(h):
                for x in range(w):
                    a[y, x] = -np.float64(plane[y, x]) if dark else np.float64(plane[y, x])
                    finite &= np.isfinite(a[y, x])
            if not finite:
                continue
            kernel = weights[weights_at[c] : weights_at[c + 1]]
            smoothed = kernel.size > 1
            if smoothed:
                gaussian(a, kernel, h, w, line, b)
                a, b = b, a
            level = -fixed[c] if dark else fixed[c]
            if method in (_OTSU, _TRIANGLE):
                bins = histogram(a, h, w, whole and not smoothed, counts, centres)
                if bins == 0:
                    continue
                level = (
                    otsu(counts, centres, bins)
                    if method == _OTSU
                    else triangle(counts, centres, bins)
                )
            elif method == _LI:
                level = li_threshold(a, h, w, values)
                if _all_equal(a, h, w):
                    continue
            elif method == _PERCENTILE:
                for y in range(h):
                    for x in range(w):
                        values[0, y * w + x] = a[y, x]
                level = percentile_of(values[0], h * w, percent)
            if method == _LOCAL:
                local_means(a, h, w, block, line, b)
            for y in range(h):
                for x in range(w):
                    if method == _LOCAL:
                        level = b[y, x] - offset
                    mask[y, x] = a[y, x] > level


@njit(cache=True, nogil=True, error_model="numpy")
def _all_equal(plane, height, width):
    for y in range(height):
        for x in range(width):
            if plane[y, x] != plane[0, 0]:
                return False
    return True
