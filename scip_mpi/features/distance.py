"""Distances within one mask: to its outside, and along paths in it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# A step to the side in whole numbers, so that sums are the same in any order; and over a corner.
STEP = 1 << 40
CORNER = round(math.sqrt(2.0) * STEP)
FAR = 1 << 61


@njit(cache=True, nogil=True, error_model="numpy")
def tight_box(runs):
    """(top, left, bottom, right), ends exclusive, of the runs of a mask, one at least."""
    left = runs[0, 1]
    right = runs[0, 2]
    for r in range(len(runs)):
        left = min(left, runs[r, 1])
        right = max(right, runs[r, 2])
    return runs[0, 0], left, runs[len(runs) - 1, 0] + 1, right


@njit(cache=True, nogil=True, error_model="numpy")
def ringed(runs, box, inside, places):
    """The part of a mask in its box, with one more pixel of outside all around.

    Parameters
    ----------
    runs : (n, 3) int64
    box : tuple of int
        As of `tight_box`.
    inside : (>= (rows + 2) * (columns + 2),) uint8, out
        1 in the mask, in raster order.
    places : int32, out
        Places of the mask's pixels in ``inside``, in raster order.

    Returns
    -------
    tuple of int
        Rows and columns of ``inside``, and the number of pixels of the mask.
    """
    down = box[2] - box[0] + 2
    across = box[3] - box[1] + 2
    inside[: down * across] = 0
    n = 0
    for r in range(len(runs)):
        at = (runs[r, 0] - box[0] + 1) * across + 1 - box[1]
        for x in range(runs[r, 1], runs[r, 2]):
            inside[at + x] = 1
            places[n] = at + x
            n += 1
    return down, across, n


@njit(cache=True, nogil=True, error_model="numpy")
def to_outside(inside, down, across, work, squared):
    """Squared distance of each pixel to the nearest one outside of the mask, in whole numbers.

    Parameters
    ----------
    inside : uint8
        As `ringed` leaves it.
    work : (3, >= columns) int64, scratch
    squared : (>= rows * columns,) int64, out

    References
    ----------
    Meijster, Roerdink and Hesselink, "A general algorithm for computing distance transforms in
    linear time", 2000.
    """
    # Within each column first.
    for x in range(across):
        squared[x] = 0
    for y in range(1, down):
        for x in range(across):
            at = np.uint64(y * across + x)
            squared[at] = (squared[at - np.uint64(across)] + 1) * inside[at]
    for y in range(down - 2, -1, -1):
        for x in range(across):
            at = np.uint64(y * across + x)
            squared[at] = min(squared[at], squared[at + np.uint64(across)] + 1)
    near, source, first = work[0], work[1], work[2]
    for y in range(1, down - 1):
        row = squared[y * across : (y + 1) * across]
        for x in range(across):
            near[x] = row[x] * row[x]
        # Each column is the nearest from a place on, until the next one of those kept is.
        q = 0
        source[0] = 0
        first[0] = 0
        for x in range(1, across):
            while q >= 0:
                a = first[q] - source[q]
                b = first[q] - x
                if a * a + near[source[q]] <= b * b + near[x]:
                    break
                q -= 1
            if q < 0:
                q = 0
                source[0] = x
                first[0] = 0
                continue
            s = source[q]
            start = 1 + (x * x - s * s + near[x] - near[s]) // (2 * (x - s))
            if start < across:
                q += 1
                source[q] = x
                first[q] = start
        for x in range(across - 1, -1, -1):
            a = x - source[q]
            row[x] = a * a + near[source[q]]
            if x == first[q]:
                q -= 1


@njit(cache=True, nogil=True, error_model="numpy")
def from_place(inside, across, places, origin, steps):
    """Length of the shortest path from one pixel to each of the mask, over sides and corners.

    Parameters
    ----------
    inside : uint8
        As `ringed` leaves it.
    places : (n,) int32
        Places of the mask's pixels, in raster order.
    origin : int
        The place to start from.
    steps : (>= inside,) int64, out
        Lengths in units of ``1 / STEP`` pixels; `FAR` where no path leads to.
    """
    n = len(places)
    for k in range(len(inside)):
        steps[k] = FAR
    steps[origin] = 0
    row = np.uint64(across)
    one = np.uint64(1)
    while True:
        changed = False
        for k in range(n):
            at = np.uint64(places[k])
            side = min(steps[at - one], steps[at - row])
            corner = min(steps[at - row - one], steps[at - row + one])
            least = min(side + STEP, corner + CORNER)
            changed |= least < steps[at]
            steps[at] = min(least, steps[at])
        for k in range(n - 1, -1, -1):
            at = np.uint64(places[k])
            side = min(steps[at + one], steps[at + row])
            corner = min(steps[at + row + one], steps[at + row - one])
            least = min(side + STEP, corner + CORNER)
            changed |= least < steps[at]
            steps[at] = min(least, steps[at])
        if not changed or _straight(steps, across, places, origin):
            return


@njit(cache=True, nogil=True, error_model="numpy")
def _straight(steps, across, places, origin):
    """Whether all lengths are as short as they would be without any outside."""
    y0 = origin // across
    x0 = origin - y0 * across
    for k in range(len(places)):
        y = places[k] // across
        dy = abs(y - y0)
        dx = abs(places[k] - y * across - x0)
        corners = min(dy, dx)
        if steps[places[k]] != (max(dy, dx) - corners) * STEP + corners * CORNER:
            return False
    return True
