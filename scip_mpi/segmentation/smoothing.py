"""Gaussian and Sobel filters of one plane, in the order of operations of scipy.ndimage.

Masks are compared pixel by pixel with scikit-image's, so the smoothed planes must be the same to
the last bit: float64, first along the columns, then along the rows, each sum from its centre,
then from the outside in; the Sobel sums in raster order, zero weights left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, Int64Array, offsets_of
from scip_mpi.errors import UserError
from scip_mpi.segmentation.planes import per_channel


def sigmas_of(smooth: float | Sequence[float], channels: int, method: str) -> list[float]:
    """Standard deviations of a method's Gaussian, one per channel.

    Raises
    ------
    UserError
        There is not one value per channel, or one is negative or not finite.
    """
    key = f"mask.methods: {method}: kwargs.smooth"
    sigmas = per_channel(smooth, channels, key)
    for s in sigmas:
        if not 0 <= s < math.inf:
            raise UserError(f"{key} must be 0 or more, not {s:g}")
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


@njit(cache=True, nogil=True, error_model="numpy")
def gaussian(plane, weights, height, width, line, out):
    """Smooth ``plane`` into ``out`` (both (H, W)); edges repeat the nearest pixel.

    ``line`` is scratch of at least ``width`` items. ``out`` may not be ``plane``.
    """
    radius = weights.size - 1
    for y in range(height):
        for x in range(width):
            out[y, x] = plane[y, x] * weights[0]
        for k in range(radius, 0, -1):
            above = max(y - k, 0)
            below = min(y + k, height - 1)
            for x in range(width):
                out[y, x] += (plane[above, x] + plane[below, x]) * weights[k]
    for y in range(height):
        for x in range(width):
            line[x] = out[y, x]
        for x in range(width):
            out[y, x] = line[x] * weights[0]
        for k in range(radius, 0, -1):
            for x in range(width):
                left = line[max(x - k, 0)]
                right = line[min(x + k, width - 1)]
                out[y, x] += (left + right) * weights[k]


@njit(cache=True, nogil=True, error_model="numpy")
def sobel(plane, height, width, out):
    """Sobel magnitude of ``plane`` into ``out``, divided by the square root of 2."""
    root = math.sqrt(2.0)
    for y in range(height):
        a = max(y - 1, 0)
        c = min(y + 1, height - 1)
        for x in range(width):
            w = max(x - 1, 0)
            e = min(x + 1, width - 1)
            nw, n, ne = plane[a, w], plane[a, x], plane[a, e]
            west, east = plane[y, w], plane[y, e]
            sw, s, se = plane[c, w], plane[c, x], plane[c, e]
            down = ((((-0.25 * nw + -0.5 * n) + -0.25 * ne) + 0.25 * sw) + 0.5 * s) + 0.25 * se
            over = (
                (((-0.25 * nw + 0.25 * ne) + -0.5 * west) + 0.5 * east) + -0.25 * sw
            ) + 0.25 * se
            out[y, x] = math.sqrt(down * down + over * over) / root
