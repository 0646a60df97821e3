"""Bright details of one plane: what an opening by a disc takes away."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.segmentation.morphology import disc_extreme


@njit(cache=True, nogil=True, error_model="numpy")
def bright_detail(plane, box, half_widths, discs, opened, out):
    """The plane less its opening by a disc, the image mirrored at its edges, in a box.

    Parameters
    ----------
    plane : (H, W)
    box : (4,) int64
        (top, left, bottom, right), ends exclusive.
    half_widths : (2 * radius + 1) int64
        Of the disc's rows.
    discs : tuple
        Of `scip_mpi.segmentation.morphology.disc_scratch`.
    opened : (>= H, >= W) of the plane's type, scratch
    out : (>= rows * columns of the box,) float64
    """
    height, width = plane.shape
    # An opening sees no farther than the disc's diameter.
    reach = half_widths.size - 1
    top, left = max(box[0] - reach, 0), max(box[1] - reach, 0)
    rows = min(box[2] + reach, height) - top
    columns = min(box[3] + reach, width) - left
    for y in range(rows):
        source, target = plane[top + y], opened[y]
        for x in range(columns):
            target[x] = source[left + x]
    disc_extreme(opened, rows, columns, half_widths, False, discs, opened)
    disc_extreme(opened, rows, columns, half_widths, True, discs, opened)
    wide = box[3] - box[1]
    for y in range(box[0], box[2]):
        source, lowered = plane[y, box[1] : box[3]], opened[y - top, box[1] - left :]
        target = out[(y - box[0]) * wide :]
        for x in range(wide):
            target[x] = np.float64(source[x]) - np.float64(lowered[x])


@njit(cache=True, nogil=True, error_model="numpy")
def keep_masked(detail, mask, box, out):
    """Details in the mask, 0 elsewhere in the box; their sum, and that of their squares."""
    wide = box[3] - box[1]
    total = 0.0
    squares = 0.0
    for y in range(box[0], box[2]):
        for x in range(box[1], box[3]):
            k = (y - box[0]) * wide + x - box[1]
            value = detail[k] if mask[y, x] else 0.0
            out[k] = value
            total += value
            squares += value * value
    return total, squares


@njit(cache=True, nogil=True, error_model="numpy")
def product_sum(a, b):
    """Sum of the products of two lines, in four parts: the same order on every processor."""
    s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
    whole = a.size // 4 * 4
    for k in range(0, whole, 4):
        s0 += a[k] * b[k]
        s1 += a[k + 1] * b[k + 1]
        s2 += a[k + 2] * b[k + 2]
        s3 += a[k + 3] * b[k + 3]
    for k in range(whole, a.size):
        s0 += a[k] * b[k]
    return (s0 + s1) + (s2 + s3)
