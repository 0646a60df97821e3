"""Gaussian and Sobel filters of one plane, in the order of operations of scipy.ndimage.

Masks are compared pixel by pixel with scikit-image's, so the smoothed planes must be the same to
the last bit: float64, first along the columns, then along the rows, each sum from its centre,
then from the outside in; the Sobel sums in raster order, zero weights left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, Int64Array, offsets_of
from scip_mpi.errors import UserError
from scip_mpi.segmentation.morphology import mirror
from scip_mpi.segmentation.planes import per_channel

ROOT = math.sqrt(2.0)
# A wider Gaussian would need a frame around each plane that takes more memory than the plane.
MOST = 250.0
# Pixels that are worked on together, so that what is summed of them stays near the core.
BLOCK = 1024


def sigmas_of(smooth: float | Sequence[float], channels: int, method: str) -> list[float]:
    """Standard deviations of a method's Gaussian, one per channel.

    Raises
    ------
    UserError
        There is not one value per channel, or one is negative, above `MOST` or not finite.
    """
    key = f"mask.methods: {method}: kwargs.smooth"
    sigmas = per_channel(smooth, channels, key)
    for s in sigmas:
        if not 0 <= s <= MOST:
            raise UserError(f"{key} must be from 0 to {MOST:g} pixels, not {s:g}")
    return sigmas


def gaussian_kernels(sigmas: Sequence[float]) -> tuple[FloatArray, Int64Array]:
    """Half kernels of all channels one after another, and where each starts."""
    halves = [gaussian_weights(s) for s in sigmas]
    return np.concatenate(halves), offsets_of(np.array([h.size for h in halves]))


def gaussian_weights(sigma: float) -> FloatArray:
    """Half of a Gaussian kernel, centre first, cut at four sigma; [1] for sigma 0."""
    if sigma <= 1e-15:
        return np.ones(1)
    radius = int(4.0 * sigma + 0.5)
    x = np.arange(-radius, radius + 1)
    phi = np.exp(-0.5 / (sigma * sigma) * x**2)
    return (phi / phi.sum())[radius:].copy()


def smooth_plane(plane: NDArray[Any], sigma: float) -> FloatArray:
    """Gaussian of one plane, mirrored at its edges: scipy.ndimage's in float64 to the last bit."""
    out = np.empty(plane.shape)
    _smooth_rows(np.ascontiguousarray(plane), gaussian_weights(sigma), out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _smooth_rows(plane, weights, out):
    """A row is done with before the next is begun: of a large plane nothing but it is kept."""
    height, width = plane.shape
    radius = weights.size - 1
    line = np.empty(width + 2 * radius)
    middle = line[radius : radius + width]
    for y in range(height):
        row = plane[y]
        for x in range(width):
            middle[x] = np.float64(row[x]) * weights[0]
        for k in range(radius, 0, -1):
            above, below = plane[mirror(y - k, height)], plane[mirror(y + k, height)]
            _add(above, below, weights[k], middle)
        for x in range(radius):
            line[radius - 1 - x] = middle[mirror(-1 - x, width)]
            line[radius + width + x] = middle[mirror(width + x, width)]
        found = out[y]
        for x in range(width):
            found[x] = middle[x] * weights[0]
        for k in range(radius, 0, -1):
            _add(line[radius - k :], line[radius + k :], weights[k], found)


@njit(cache=True, nogil=True, error_model="numpy")
def _add(before, after, weight, total):
    for x in range(total.size):
        total[x] += (np.float64(before[x]) + np.float64(after[x])) * weight


@njit(cache=True, nogil=True, error_model="numpy")
def frame_scratch(height, width, radius):
    """Three buffers for the filters of planes up to a size, by kernels up to a radius."""
    most = (height + 2 * radius) * (width + 2 * radius) + 2 * BLOCK
    return np.empty(most), np.empty(most), np.empty(most)


@njit(cache=True, nogil=True, error_model="numpy")
def gaussian(plane, weights, height, width, frames, out):
    """Smooth ``plane`` into ``out`` (both (H, W)); edges repeat the nearest pixel.

    ``frames`` is scratch as of `frame_scratch` for a radius of ``weights.size - 1`` at least.
    """
    framed, down, over = frames
    radius = weights.size - 1
    stride = width + 2 * radius
    _frame(plane, height, width, radius, framed)
    _weigh(framed, radius * stride, height * stride, stride, weights, down)
    # The frame at the sides is as right after the columns as it was before.
    _weigh(down, radius, height * stride - 2 * radius, 1, weights, over)
    _unframe(over, height, width, stride, out)


@njit(cache=True, nogil=True, error_model="numpy")
def sobel(plane, height, width, frames, out):
    """Sobel magnitude of ``plane`` into ``out``, divided by the square root of 2.

    ``frames`` is scratch as of `frame_scratch` for a radius of 1 at least.
    """
    framed, found, _ = frames
    stride = width + 2
    _frame(plane, height, width, 1, framed)
    n = height * stride - 2
    north, row, south = framed, framed[stride:], framed[2 * stride :]
    for x in range(n):
        nw, ne, w, e, sw, se = north[x], north[x + 2], row[x], row[x + 2], south[x], south[x + 2]
        down = (
            (((-0.25 * nw + -0.5 * north[x + 1]) + -0.25 * ne) + 0.25 * sw) + 0.5 * south[x + 1]
        ) + 0.25 * se
        over = ((((-0.25 * nw + 0.25 * ne) + -0.5 * w) + 0.5 * e) + -0.25 * sw) + 0.25 * se
        found[x] = math.sqrt(down * down + over * over) / ROOT
    _unframe(found, height, width, stride, out)


# The filters work on a plane with a frame of its nearest pixels, all in one line: neighbours are
# then at the same distance everywhere, and no row has an end where fewer pixels go together.


@njit(cache=True, nogil=True, error_model="numpy")
def _frame(plane, height, width, margin, line):
    """Copy a plane into a line, with a frame of ``margin`` pixels that repeats the nearest."""
    stride = width + 2 * margin
    for y in range(height):
        start = (margin + y) * stride
        source, target = plane[y], line[start + margin : start + margin + width]
        for x in range(width):
            target[x] = source[x]
        left, right = line[start : start + margin], line[start + margin + width : start + stride]
        for x in range(margin):
            left[x] = source[0]
            right[x] = source[width - 1]
    first, last = line[margin * stride :], line[(margin + height - 1) * stride :]
    for y in range(margin):
        above, below = line[y * stride :], line[(margin + height + y) * stride :]
        for x in range(stride):
            above[x] = first[x]
            below[x] = last[x]


@njit(cache=True, nogil=True, error_model="numpy")
def _unframe(line, height, width, stride, out):
    for y in range(height):
        source, target = line[y * stride : y * stride + width], out[y]
        for x in range(width):
            target[x] = source[x]


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh(line, start, n, step, weights, out):
    """Weighted sums of ``n`` pixels and those that are ``step`` and more apart on both sides."""
    for at in range(0, n, BLOCK):
        m = min(BLOCK, n - at)
        middle, total = line[start + at :], out[at:]
        weight = weights[0]
        for x in range(m):
            total[x] = middle[x] * weight
        for k in range(weights.size - 1, 0, -1):
            before, after = line[start + at - k * step :], line[start + at + k * step :]
            weight = weights[k]
            for x in range(m):
                total[x] += (before[x] + after[x]) * weight
