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
    i = i % (2 * n)
    return i if i < n else 2 * n - 1 - i


@njit(cache=True, nogil=True, error_model="numpy")
def disc_extreme(plane, height, width, half_widths, dilate, padded, spans, out):
    """Smallest pixel within a disc, or the largest if ``dilate``.

    The extremes over horizontal spans grow from one half width to the next; each row of the disc
    takes them when they have reached its half width.

    Parameters
    ----------
    plane : at least (height, width)
    half_widths : (2 * radius + 1) int64
        Of the disc's rows.
    dilate : bool
    padded : at least (height + 2 * radius, width + 2 * radius), scratch
    spans : at least (height + 2 * radius, width), scratch
    out : at least (height, width), out
        Not ``plane``.
    """
    radius = half_widths.size // 2
    rows = height + 2 * radius
    for y in range(rows):
        source = mirror(y - radius, height)
        for x in range(width + 2 * radius):
            padded[y, x] = plane[source, mirror(x - radius, width)]
        for x in range(width):
            spans[y, x] = padded[y, x + radius]
    for y in range(height):
        for x in range(width):
            out[y, x] = spans[y + radius, x]
    for half in range(radius + 1):
        if half:
            for y in range(rows):
                for x in range(width):
                    left = padded[y, x + radius - half]
                    right = padded[y, x + radius + half]
                    if dilate:
                        spans[y, x] = max(spans[y, x], max(left, right))
                    else:
                        spans[y, x] = min(spans[y, x], min(left, right))
        for k in range(half_widths.size):
            if half_widths[k] == half:
                for y in range(height):
                    for x in range(width):
                        if dilate:
                            out[y, x] = max(out[y, x], spans[y + k, x])
                        else:
                            out[y, x] = min(out[y, x], spans[y + k, x])
