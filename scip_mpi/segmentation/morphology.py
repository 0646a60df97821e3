"""Grey erosion and dilation of one plane by a disc, the image mirrored at its edges."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import Int64Array


def disc_half_widths(radius: int) -> Int64Array:
    """Half width of each row of a disc, x^2 + y^2 <= radius^2 (scikit-image's disk)."""
    y = np.arange(-radius, radius + 1)
    return np.floor(np.sqrt(radius * radius - y * y)).astype(np.int64)


@njit(cache=True, nogil=True, error_model="numpy")
def mirror(i, n):
    """Place of index ``i`` in a line of ``n`` pixels mirrored at its edges: (c b a | a b c)."""
    while i < 0 or i >= n:
        i = -1 - i if i < 0 else 2 * n - 1 - i
    return i


@njit(cache=True, nogil=True, error_model="numpy")
def disc_scratch(height, width, half_widths, pixels):
    """Three buffers for `disc_extreme` of planes up to a size, of the type of ``pixels``."""
    most = (height + half_widths.size) * (width + half_widths.size)
    return (
        np.empty(most, pixels.dtype),
        np.empty(most, pixels.dtype),
        np.empty(most, pixels.dtype),
    )


@njit(cache=True, nogil=True, error_model="numpy")
def disc_extreme(plane, height, width, half_widths, dilate, scratch, out):
    """Smallest pixel within a disc, or the largest if ``dilate``.

    The extremes over horizontal spans grow from one half width to the next; each row of the disc
    takes them when they have reached its half width. All rows of the plane and its margins lie in
    one line, so that a neighbour is at the same distance everywhere.

    Parameters
    ----------
    plane : at least (height, width)
    half_widths : (2 * radius + 1) int64
        Of the disc's rows.
    dilate : bool
    scratch
        As of `disc_scratch`.
    out : at least (height, width), out
        May be ``plane``.
    """
    line, spans, found = scratch
    radius = half_widths.size // 2
    stride = width + 2 * radius
    mirrored(plane, height, width, radius, line)
    # Of the spans, those around the first and the last pixels of the line are never looked at.
    n = (height + 2 * radius) * stride - 2 * radius
    inner = height * stride - 2 * radius
    middle = line[radius:]
    for x in range(n):
        spans[x] = middle[x]
    centre = spans[radius * stride :]
    for x in range(inner):
        found[x] = centre[x]
    for half in range(radius + 1):
        if half:
            _take(line[radius - half :], n, dilate, spans)
            _take(line[radius + half :], n, dilate, spans)
        for k in range(half_widths.size):
            if half_widths[k] == half:
                _take(spans[k * stride :], inner, dilate, found)
    for y in range(height):
        source, target = found[y * stride : y * stride + width], out[y]
        for x in range(width):
            target[x] = source[x]


@njit(cache=True, nogil=True, error_model="numpy")
def _take(others, n, dilate, out):
    """The smaller, or larger, of ``out`` and ``others``, in place."""
    if dilate:
        for x in range(n):
            out[x] = max(out[x], others[x])
    else:
        for x in range(n):
            out[x] = min(out[x], others[x])


@njit(cache=True, nogil=True, error_model="numpy")
def mirrored(plane, height, width, radius, line):
    """Copy a plane into a line, with margins that mirror it."""
    stride = width + 2 * radius
    for y in range(height + 2 * radius):
        source, target = plane[mirror(y - radius, height)], line[y * stride : (y + 1) * stride]
        inner = target[radius : radius + width]
        for x in range(width):
            inner[x] = source[x]
        for x in range(radius):
            target[radius - 1 - x] = source[mirror(-1 - x, width)]
            target[radius + width + x] = source[mirror(width + x, width)]
