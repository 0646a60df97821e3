"""The work behind the columns of ``neighbors``, field by field."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, Int64Array


def measure_neighbors(
    labels: NDArray[np.int32], numbers: Int64Array, boxes: Int64Array, distance: int
) -> FloatArray:
    """Neighbours of the objects of one field.

    Parameters
    ----------
    labels, numbers, boxes
        As `scip_mpi.features.family.InField` has them.
    distance : int

    Returns
    -------
    ndarray of float64, shape (m, 5)
        Number, percent touching, first and second closest distance, angle.
    """
    out = np.full((len(numbers), 5), np.nan)
    if len(numbers):
        rows = np.arange(-distance, distance + 1) ** 2
        near = np.sqrt(distance * distance - rows).astype(np.int64)
        # The square of the distance and a half, less what no whole number has.
        touching = np.sqrt(distance * distance + distance - rows).astype(np.int64)
        centres = np.empty((len(numbers), 2))
        seen = np.full(int(numbers[-1]) + 1, -1, np.int64)
        _around(np.ascontiguousarray(labels), numbers, boxes, near, touching, seen, centres, out)
        _closest(centres, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _around(labels, numbers, boxes, near, touching, seen, centres, out):
    """Centroids, number and percent touching.

    What is near an object is near a pixel of its outline: the way there leads over one.
    """
    height, width = labels.shape
    distance = near.size // 2
    for k in range(len(numbers)):
        own = numbers[k]
        area, sum_y, sum_x = 0, 0, 0
        outline, touched, count = 0, 0, 0
        for y in range(boxes[k, 0], boxes[k, 2]):
            for x in range(boxes[k, 1], boxes[k, 3]):
                if labels[y, x] != own:
                    continue
                area += 1
                sum_y += y
                sum_x += x
                if not on_outline(labels, y, x):
                    continue
                outline += 1
                found = False
                for row in range(max(y - distance, 0), min(y + distance + 1, height)):
                    far = touching[row - y + distance]
                    inner = near[row - y + distance]
                    for column in range(max(x - far, 0), min(x + far + 1, width)):
                        other = labels[row, column]
                        if other == 0 or other == own:
                            continue
                        found = True
                        if abs(column - x) <= inner and seen[other] != k:
                            seen[other] = k
                            count += 1
                touched += found
        centres[k, 0] = sum_y / area
        centres[k, 1] = sum_x / area
        out[k, 0] = count
        out[k, 1] = 100.0 * touched / outline


@njit(cache=True, nogil=True, error_model="numpy")
def on_outline(labels, y, x):
    """Whether a pixel is on the edge of the field or has one of another label around it."""
    height, width = labels.shape
    if y == 0 or x == 0 or y == height - 1 or x == width - 1:
        return True
    own = labels[y, x]
    for row in range(y - 1, y + 2):
        for column in range(x - 1, x + 2):
            if labels[row, column] != own:
                return True
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _closest(centres, out):
    """Distances of the nearest two centroids, and the angle between them."""
    for k in range(len(centres)):
        first, second = -1, -1
        least, less = np.inf, np.inf
        for j in range(len(centres)):
            if j == k:
                continue
            dy = centres[j, 0] - centres[k, 0]
            dx = centres[j, 1] - centres[k, 1]
            square = dy * dy + dx * dx
            if square < least:
                second, less = first, least
                first, least = j, square
            elif square < less:
                second, less = j, square
        if first >= 0:
            out[k, 2] = math.sqrt(least)
        if second >= 0:
            out[k, 3] = math.sqrt(less)
            if least > 0.0 and less > 0.0:
                ay, ax = centres[first, 0] - centres[k, 0], centres[first, 1] - centres[k, 1]
                by, bx = centres[second, 0] - centres[k, 0], centres[second, 1] - centres[k, 1]
                cross, dot = abs(ax * by - ay * bx), ax * bx + ay * by
                out[k, 4] = math.degrees(math.atan2(cross, dot))
