"""Perimeters and filled area of one component."""

from __future__ import annotations

import math

from numba import njit

from scip_mpi.features.bit_rows import NONE, WORD, ones, set_bits, to_left, to_right
from scip_mpi.features.runs import join_runs


@njit(cache=True, nogil=True, error_model="numpy")
def crofton(area, side_pairs, corner_pairs):
    """Perimeter by Crofton's formula in four directions (scikit-image's ``perimeter_crofton``).

    Lines in a direction enter the component wherever a pixel has none before it, so that often as
    there are fewer pairs of neighbours than pixels.

    Parameters
    ----------
    area : int
        Pixels.
    side_pairs, corner_pairs : int
        Pairs of pixels that have a side, and no more than a corner, in common.
    """
    straight = 2 * area - side_pairs
    diagonal = 2 * area - corner_pairs
    return math.pi / 4 * straight + math.pi / (4 * math.sqrt(2.0)) * diagonal


@njit(cache=True, nogil=True, error_model="numpy")
def perimeter(part, height, width, bits, border):
    """Length of the line through the border pixels' centres (scikit-image's ``perimeter``).

    Each border pixel counts by how many border pixels it has beside it and over its corners; all
    64 of a word are looked at together.

    Parameters
    ----------
    part : (n, 3) int64
        The component's runs, counted from its bounding box's corner.
    bits, border : (>= (height + 2) * (words of a row + 2),) uint64, scratch

    References
    ----------
    Benkrid and Crookes, "Design and FPGA implementation of a perimeter estimator", 2000.
    """
    size = (width + WORD - 1) // WORD
    words = (height + 2) * (size + 2)
    bits = bits[:words].reshape(height + 2, size + 2)
    border = border[:words].reshape(height + 2, size + 2)
    bits[:] = NONE
    border[:] = NONE
    for r in range(len(part)):
        set_bits(bits[part[r, 0] + 1], part[r, 1], part[r, 2])
    for y in range(1, height + 1):
        row = bits[y]
        for j in range(1, size + 1):
            within = bits[y - 1, j] & bits[y + 1, j] & to_left(row, j, 1) & to_right(row, j, 1)
            border[y, j] = row[j] & ~within
    straight = 0
    diagonal = 0
    mixed = 0
    for y in range(1, height + 1):
        above, row, below = border[y - 1], border[y], border[y + 1]
        for j in range(1, size + 1):
            if row[j] == NONE:
                continue
            # Numbers of up to four neighbours, a binary digit to a word.
            one, two, four = _add(above[j], below[j], to_left(row, j, 1), to_right(row, j, 1))
            corner_one, corner_two, corner_four = _add(
                to_left(above, j, 1), to_right(above, j, 1), to_left(below, j, 1),
                to_right(below, j, 1),
            )  # fmt: skip
            none = ~(one | two | four)
            just_one = one & ~two
            corners_3 = corner_one & corner_two
            corners_2 = corner_two & ~corner_one
            straight += ones(row[j] & two & ~(corner_four | corners_3))
            diagonal += ones(row[j] & ((none & corners_2) | (just_one & corners_3)))
            mixed += ones(row[j] & just_one & (corner_one ^ corner_two))
    root = math.sqrt(2.0)
    return straight + diagonal * root + mixed * (1.0 + root) / 2.0


@njit(cache=True, nogil=True, error_model="numpy")
def _add(a, b, c, d):
    """Binary digits, the ones first, of how many of four bits are set."""
    some = a ^ b
    both = a & b
    some_more = c ^ d
    both_more = c & d
    return some ^ some_more, (some & some_more) | (both ^ both_more), both & both_more


@njit(cache=True, nogil=True, error_model="numpy")
def area_of_holes(part, height, width, gaps, parent, touching):
    """Background that is not joined to the outside, corners included.

    Parameters
    ----------
    part : (n, 3) int64
        The component's runs, counted from its bounding box's corner.
    gaps : (>= n + height + 2, 3) int64, scratch
    parent, touching : scratch of `join_runs`, as many
    """
    # The runs of the background, a row around the bounding box included.
    gaps[0] = (-1, -1, width + 1)
    n = 1
    r = 0
    for y in range(height):
        start = -1
        while r < len(part) and part[r, 0] == y:
            gaps[n] = (y, start, part[r, 1])
            start = part[r, 2]
            n += 1
            r += 1
        gaps[n] = (y, start, width + 1)
        n += 1
    gaps[n] = (height, -1, width + 1)
    n += 1
    join_runs(gaps, n, parent, touching)
    holes = 0
    for k in range(n):
        if parent[k] != 0:
            holes += gaps[k, 2] - gaps[k, 1]
    return holes
