"""The rim of a mask: what an erosion by a disc of radius 6 takes away."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import Int64Array
from scip_mpi.features.bit_rows import ALL, NONE, WORD, set_bits, to_left, to_right

RADIUS = 6


def inner_size(shapes: Int64Array) -> int:
    """Words that `inner_bits` needs for the largest of some images, (C, H, W) each."""
    return int(((shapes[:, 1] + 2 * RADIUS) * ((shapes[:, 2] + WORD - 1) // WORD)).max())


@njit(cache=True, nogil=True, error_model="numpy")
def inner_bits(runs, box, height, width, row, words):
    """The pixels of a mask that are not in its rim, as bits; outside the image counts as mask.

    Parameters
    ----------
    runs : (n, 3) int64
        The mask's, as `scip_mpi.features.runs.find_runs` leaves them.
    box : (4,) int64
        (top, left, bottom, right) of a part of the plane that holds the mask.
    height, width : int
        Of the plane.
    row : (>= words of a row + 2) uint64, scratch
    words : uint64, scratch

    Returns
    -------
    (rows of the box + 12, words of a row) uint64
        A bit per column of the box, from row 6 on; bits of pixels outside the mask have no meaning.
    """
    top, left, bottom, right = box
    rows = bottom - top
    columns = right - left
    size = (columns + WORD - 1) // WORD
    inner = words[: (rows + 2 * RADIUS) * size].reshape(rows + 2 * RADIUS, size)
    inner[:] = ALL
    # A row of background beside the box takes 6 rows of it away.
    if top > 0:
        inner[RADIUS : 2 * RADIUS] = NONE
    if bottom < height:
        inner[rows : rows + RADIUS] = NONE
    before = ALL if left == 0 else NONE
    after = ALL if right == width else NONE
    # Bits beyond the box in its last word are as those after it.
    spill = after << np.uint64(columns % WORD) if columns % WORD else NONE
    r = 0
    for y in range(rows):
        row[: size + 1] = NONE
        row[0] = before
        row[size] |= spill
        row[size + 1] = after
        while r < len(runs) and runs[r, 0] == top + y:
            set_bits(row, runs[r, 1] - left, runs[r, 2] - left)
            r += 1
        for j in range(size):
            whole = row[j + 1]
            e3 = whole
            for n in range(1, 4):
                e3 &= to_left(row, j + 1, n) & to_right(row, j + 1, n)
            e4 = e3 & to_left(row, j + 1, 4) & to_right(row, j + 1, 4)
            e5 = e4 & to_left(row, j + 1, 5) & to_right(row, j + 1, 5)
            e6 = e5 & to_left(row, j + 1, 6) & to_right(row, j + 1, 6)
            # Half width of the disc in each of its rows: x^2 + y^2 <= 36.
            inner[y, j] &= whole
            inner[y + 1, j] &= e3
            inner[y + 2, j] &= e4
            inner[y + 3, j] &= e5
            inner[y + 4, j] &= e5
            inner[y + 5, j] &= e5
            inner[y + 6, j] &= e6
            inner[y + 7, j] &= e5
            inner[y + 8, j] &= e5
            inner[y + 9, j] &= e5
            inner[y + 10, j] &= e4
            inner[y + 11, j] &= e3
            inner[y + 12, j] &= whole
    return inner
