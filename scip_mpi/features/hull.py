"""Convex hull and largest Feret diameter of one component, in integers."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, error_model="numpy")
def outline(left, right, height, rows, lefts, rights):
    """Outline of a shape without gaps in its rows, through the midpoints of its pixels' sides.

    In doubled coordinates, so that the midpoints are integers: row 2 j + 1 is the middle of row j,
    row 2 j the line between rows j - 1 and j.
    """
    for j in range(height):
        rows[2 * j + 1] = 2 * j + 1
        lefts[2 * j + 1] = 2 * left[j] - 1
        rights[2 * j + 1] = 2 * right[j] + 1
    for j in range(height + 1):
        above = max(j - 1, 0)
        below = min(j, height - 1)
        rows[2 * j] = 2 * j
        lefts[2 * j] = 2 * min(left[above], left[below])
        rights[2 * j] = 2 * max(right[above], right[below])


@njit(cache=True, nogil=True, error_model="numpy")
def lower_chain(rows, values, n, sign, chain_rows, chain_values):
    """Lower convex chain of ``sign * values`` over ascending rows; returns its length."""
    m = 0
    for i in range(n):
        row = rows[i]
        value = sign * values[i]
        while m >= 2:
            run = chain_rows[m - 1] - chain_rows[m - 2]
            rise = chain_values[m - 1] - chain_values[m - 2]
            if run * (value - chain_values[m - 2]) > rise * (row - chain_rows[m - 2]):
                break
            m -= 1
        chain_rows[m] = row
        chain_values[m] = value
        m += 1
    return m


@njit(cache=True, nogil=True, error_model="numpy")
def convex_image(left, right, height, work):
    """Extent of the rows of the convex image, in place; returns its area.

    The pixels whose centre is in the convex hull of the midpoints of all pixels' sides:
    scikit-image's ``convex_hull_image``.
    """
    rows, lefts, rights, chain_rows, chain_values = work[0], work[1], work[2], work[3], work[4]
    n = 2 * height + 1
    area = 0
    outline(left, right, height, rows, lefts, rights)
    for sign in (1, -1):
        values = lefts if sign == 1 else rights
        lower_chain(rows, values, n, sign, chain_rows, chain_values)
        i = 0
        for j in range(height):
            row = 2 * j + 1
            while chain_rows[i + 1] < row:
                i += 1
            run = chain_rows[i + 1] - chain_rows[i]
            rise = chain_values[i + 1] - chain_values[i]
            crossing = chain_values[i] * run + rise * (row - chain_rows[i])
            # The first whole column at or after crossing / run / 2.
            first = -((-crossing) // (2 * run))
            if sign == 1:
                left[j] = first
            else:
                right[j] = -first
    for j in range(height):
        area += right[j] - left[j] + 1
    return area


@njit(cache=True, nogil=True, error_model="numpy")
def feret_diameter(left, right, height, work):
    """Largest distance of two points of the outline of a convex image."""
    rows, lefts, rights, chain_rows, chain_values = work[0], work[1], work[2], work[3], work[4]
    n = 2 * height + 1
    outline(left, right, height, rows, lefts, rights)
    m = lower_chain(rows, lefts, n, 1, chain_rows, chain_values)
    m += lower_chain(rows, rights, n, -1, chain_rows[m:], chain_values[m:])
    half = m
    for i in range(m):
        if i > 0 and chain_rows[i] < chain_rows[i - 1]:
            half = i
    for i in range(half, m):
        chain_values[i] = -chain_values[i]
    best = 0
    for i in range(m):
        for j in range(i + 1, m):
            dy = chain_rows[j] - chain_rows[i]
            dx = chain_values[j] - chain_values[i]
            best = max(best, dy * dy + dx * dx)
    return 0.5 * math.sqrt(best)


@njit(cache=True, nogil=True, error_model="numpy")
def hull_scratch(height):
    """Work space for components up to a height."""
    return np.empty((5, 4 * height + 4), np.int64)
