"""Convex hull of the centres of a mask's pixels, and the smallest circle around it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.features.hull import lower_chain


@njit(cache=True, nogil=True, error_model="numpy")
def corners_of(runs, work, ys, xs):
    """Corners of the convex hull of the pixels' centres, in turn; how many.

    Parameters
    ----------
    runs : (n, 3) int64
        The mask's, at least one.
    work : (5, >= rows) int64, scratch
    ys, xs : (>= 2 * rows,) int64, out
    """
    rows, lefts, rights, chain_rows, chain_values = work[0], work[1], work[2], work[3], work[4]
    n = 0
    for r in range(len(runs)):
        if n and rows[n - 1] == runs[r, 0]:
            rights[n - 1] = runs[r, 2] - 1
        else:
            rows[n] = runs[r, 0]
            lefts[n] = runs[r, 1]
            rights[n] = runs[r, 2] - 1
            n += 1
    m = lower_chain(rows, lefts, n, 1, chain_rows, chain_values)
    for k in range(m):
        ys[k] = chain_rows[k]
        xs[k] = chain_values[k]
    back = lower_chain(rows, rights, n, -1, chain_rows, chain_values)
    for k in range(back - 1, -1, -1):
        y = chain_rows[k]
        x = -chain_values[k]
        # A first or last row of one pixel is a corner of both sides.
        if (y == ys[m - 1] and x == xs[m - 1]) or (y == ys[0] and x == xs[0]):
            continue
        ys[m] = y
        xs[m] = x
        m += 1
    return m


@njit(cache=True, nogil=True, error_model="numpy")
def smallest_circle(ys, xs, m):
    """Centre (y, x) and radius of the smallest circle around the corners of a hull.

    A chord is moved until the corner that sees it at the smallest angle makes no obtuse triangle
    with it; angles are compared in whole numbers.

    References
    ----------
    Chrystal, "On the problem to construct the minimum circle enclosing n given points in a plane",
    Proc. Edinburgh Mathematical Society 3, 1885.
    """
    if m == 1:
        return np.float64(ys[0]), np.float64(xs[0]), 0.0
    a, b = 0, 1
    while True:
        third = -1
        dot, cross = 0, 1
        for k in range(m):
            if k in (a, b):
                continue
            ay, ax = ys[a] - ys[k], xs[a] - xs[k]
            by, bx = ys[b] - ys[k], xs[b] - xs[k]
            along = ay * by + ax * bx
            area = abs(ay * bx - ax * by)
            # By their cotangents: no three corners are in line.
            if third < 0 or along * cross > dot * area:
                third, dot, cross = k, along, area
        by, bx = ys[b] - ys[a], xs[b] - xs[a]
        if third < 0 or dot <= 0:
            return ys[a] + by / 2, xs[a] + bx / 2, math.sqrt(by * by + bx * bx) / 2
        cy, cx = ys[third] - ys[a], xs[third] - xs[a]
        if by * cy + bx * cx < 0:
            a = third
        elif by * (by - cy) + bx * (bx - cx) < 0:
            b = third
        else:
            twice = 2.0 * (by * cx - bx * cy)
            bb, cc = by * by + bx * bx, cy * cy + cx * cx
            y = (bb * cx - cc * bx) / twice
            x = (cc * by - bb * cy) / twice
            return ys[a] + y, xs[a] + x, math.sqrt(y * y + x * x)


@njit(cache=True, nogil=True, error_model="numpy")
def widths(ys, xs, m):
    """Least and largest width of a hull: between parallel lines that touch it."""
    longest = 0
    for i in range(m):
        for k in range(i + 1, m):
            dy, dx = ys[k] - ys[i], xs[k] - xs[i]
            longest = max(longest, dy * dy + dx * dx)
    if m < 3:
        return 0.0, math.sqrt(longest)
    # The least width is found where one of the lines holds a side.
    least = np.inf
    for i in range(m):
        y, x = ys[i], xs[i]
        dy, dx = ys[(i + 1) % m] - y, xs[(i + 1) % m] - x
        farthest = 0
        for k in range(m):
            farthest = max(farthest, abs(dy * (xs[k] - x) - dx * (ys[k] - y)))
        least = min(least, farthest / math.sqrt(dy * dy + dx * dx))
    return least, math.sqrt(longest)
