"""Perimeters, Euler number and filled area of one component, from its neighbourhoods."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# What a 2 x 2 neighbourhood adds, by its code: pixel 1, above it 2, left of it 4, above left 8.
# Crofton's formula in four directions (scikit-image's perimeter_crofton):
_DIAGONAL = math.pi / (4 * math.sqrt(2.0))
_CORNER = math.pi / 4 + _DIAGONAL
CROFTON = np.array(
    [
        0, _CORNER, _DIAGONAL, 2 * _DIAGONAL, 0, _CORNER, 0, _DIAGONAL,
        math.pi / 4, math.pi / 2, _DIAGONAL, _DIAGONAL, math.pi / 4, math.pi / 2, 0, 0,
    ]
)  # fmt: skip
# Objects less holes, pixels joined over corners:
EULER = np.array([0, 0, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0, 0, -1, 0])


@njit(cache=True, nogil=True, error_model="numpy")
def quads(image, height, width):
    """Crofton perimeter and Euler number.

    ``image`` holds the component with two rows and columns of background around it.
    """
    counts = np.zeros(16, np.int64)
    for y in range(2, height + 3):
        for x in range(2, width + 3):
            code = image[y, x] + 2 * image[y - 1, x] + 4 * image[y, x - 1]
            counts[code + 8 * image[y - 1, x - 1]] += 1
    crofton = 0.0
    euler = 0
    for code in range(16):
        crofton += CROFTON[code] * counts[code]
        euler += EULER[code] * counts[code]
    return crofton, euler


@njit(cache=True, nogil=True, error_model="numpy")
def is_border(image, y, x):
    """Whether a pixel is in the component and one of its four neighbours is not."""
    inner = image[y - 1, x] and image[y + 1, x] and image[y, x - 1] and image[y, x + 1]
    return image[y, x] and not inner


@njit(cache=True, nogil=True, error_model="numpy")
def perimeter(image, height, width):
    """Length of the line through the border pixels' centres (scikit-image's ``perimeter``).

    Each border pixel counts by how many border pixels it has beside it and over its corners.

    References
    ----------
    Benkrid and Crookes, "Design and FPGA implementation of a perimeter estimator", 2000.
    """
    straight = 0
    diagonal = 0
    mixed = 0
    for y in range(2, height + 2):
        for x in range(2, width + 2):
            if not is_border(image, y, x):
                continue
            beside = 0
            beside += is_border(image, y - 1, x)
            beside += is_border(image, y + 1, x)
            beside += is_border(image, y, x - 1)
            beside += is_border(image, y, x + 1)
            corners = 0
            corners += is_border(image, y - 1, x - 1)
            corners += is_border(image, y - 1, x + 1)
            corners += is_border(image, y + 1, x - 1)
            corners += is_border(image, y + 1, x + 1)
            if 2 <= beside <= 3 and corners <= 2:
                straight += 1
            elif (beside == 0 and corners == 2) or (beside == 1 and corners == 3):
                diagonal += 1
            elif beside == 1 and 1 <= corners <= 2:
                mixed += 1
    root = math.sqrt(2.0)
    return straight + diagonal * root + mixed * (1.0 + root) / 2.0


@njit(cache=True, nogil=True, error_model="numpy")
def filled_area(image, height, width, stack, seen):
    """Area with holes filled: background not joined to the outside, corners included."""
    rows = height + 2
    columns = width + 2
    for y in range(rows):
        for x in range(columns):
            seen[y, x] = image[y + 1, x + 1]
    outside = 1
    seen[0, 0] = 1
    stack[0] = 0
    top = 1
    while top:
        top -= 1
        y, x = divmod(stack[top], columns)
        for v in range(max(y - 1, 0), min(y + 2, rows)):
            for u in range(max(x - 1, 0), min(x + 2, columns)):
                if not seen[v, u]:
                    seen[v, u] = 1
                    outside += 1
                    stack[top] = v * columns + u
                    top += 1
    return rows * columns - outside
