"""Distance of every pixel of a mask to the nearest pixel outside it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray

# Runs of so many pixels or fewer are searched from each pixel outwards: quicker than the envelope.
SHORT = 32


def distance(mask: NDArray[np.bool_], beyond: float = math.inf) -> FloatArray:
    """Euclidean distance to the background, exact; 0 outside the mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
        Beyond the image's edge nothing is known.
    beyond : float
        The distance where there is no background at all.

    References
    ----------
    Meijster, Roerdink and Hesselink, "A general algorithm for computing distance transforms in
    linear time", Mathematical Morphology and its Applications, 2000.
    """
    out = np.empty(mask.shape)
    down = np.empty(mask.shape, np.int32)
    _distance(np.ascontiguousarray(mask).view(np.uint8), beyond, down, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _distance(mask, beyond, down, out):
    h, w = mask.shape
    _along_columns(mask, np.int32(h + w), down)
    apex, start = np.empty(w, np.int64), np.empty(w, np.int64)
    for y in range(h):
        inside, along, found = mask[y], down[y], out[y]
        found[:] = 0.0
        x = 0
        while x < w:
            if not inside[x]:
                x += 1
                continue
            left = x
            while x < w and inside[x]:
                x += 1
            # The background on both sides of a run is nearer than all behind it.
            first, last = max(left - 1, 0), min(x, w - 1)
            if x - left <= SHORT:
                _search(along, left, x, first, last, found)
            else:
                _envelope(along, first, last, apex, start, found)
            for u in range(left, x):
                found[u] = math.sqrt(found[u]) if found[u] < (h + w) * (h + w) else beyond


@njit(cache=True, nogil=True, error_model="numpy")
def _along_columns(mask, far, down):
    """Distance to the background above or below; ``far`` where there is none."""
    h, w = mask.shape
    for x in range(w):
        down[0, x] = far if mask[0, x] else np.int32(0)
    for y in range(1, h):
        for x in range(w):
            down[y, x] = min(down[y - 1, x] + np.int32(1), far) if mask[y, x] else np.int32(0)
    for y in range(h - 2, -1, -1):
        for x in range(w):
            down[y, x] = min(down[y, x], down[y + 1, x] + np.int32(1))


@njit(cache=True, nogil=True, error_model="numpy")
def _search(along, left, right, first, last, found):
    """Squares of the distances of a run, by the columns ``first`` to ``last`` around it."""
    for x in range(left, right):
        nearest = np.int64(along[x]) * along[x]
        step = 1
        while step * step < nearest and (x - step >= first or x + step <= last):
            for u in (max(x - step, first), min(x + step, last)):
                g = np.int64(along[u])
                nearest = min(nearest, (x - u) * (x - u) + g * g)
            step += 1
        found[x] = nearest


@njit(cache=True, nogil=True, error_model="numpy")
def _envelope(along, first, last, apex, start, found):
    """The same by the lower envelope of the parabolas that the columns make."""
    n = 0
    for u in range(first, last + 1):
        g = np.int64(along[u])
        while n > 0:
            i = apex[n - 1]
            s = start[n - 1]
            if (s - i) * (s - i) + np.int64(along[i]) * along[i] > (s - u) * (s - u) + g * g:
                n -= 1
            else:
                break
        if n == 0:
            apex[0] = u
            start[0] = first
            n = 1
        else:
            i = apex[n - 1]
            crossing = u * u - i * i + g * g - np.int64(along[i]) * along[i]
            begin = 1 + crossing // (2 * (u - i))
            if begin <= last:
                apex[n] = u
                start[n] = begin
                n += 1
    for u in range(last, first - 1, -1):
        i = apex[n - 1]
        found[u] = (u - i) * (u - i) + np.int64(along[i]) * along[i]
        if u == start[n - 1]:
            n -= 1
