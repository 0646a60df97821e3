"""How a field is cut into tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# (min row, min column, max row, max column), ends exclusive.
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Grid:
    """The tiles of one field: cores that do not overlap, numbered in raster order.

    Attributes
    ----------
    height, width : int
        Of the field.
    size : int
        Longest side of a core; the cores of a field are as alike as can be.
    halo : int
        Pixels round a core that are looked at with it, as far as the field goes.
    """

    height: int
    width: int
    size: int
    halo: int

    @property
    def down(self) -> int:
        """Tiles above each other."""
        return -(-self.height // self.size)

    @property
    def across(self) -> int:
        """Tiles beside each other."""
        return -(-self.width // self.size)

    def __len__(self) -> int:
        return self.down * self.across

    def core(self, k: int) -> Box:
        """The pixels that are tile ``k``'s own."""
        i, j = divmod(k, self.across)
        h, w, down, across = self.height, self.width, self.down, self.across
        return h * i // down, w * j // across, h * (i + 1) // down, w * (j + 1) // across

    def around(self, k: int) -> Box:
        """Tile ``k`` with its halo."""
        return self.grown(self.core(k), self.halo)

    def grown(self, box: Box, by: int) -> Box:
        """A box with so many pixels more at each side, as far as the field goes."""
        r0, c0, r1, c1 = box
        return (
            max(r0 - by, 0),
            max(c0 - by, 0),
            min(r1 + by, self.height),
            min(c1 + by, self.width),
        )

    def later_neighbours(self, k: int) -> list[int]:
        """The tiles after ``k`` that share a side or a corner with it."""
        i, j = divmod(k, self.across)
        beside = [(i, j + 1), (i + 1, j - 1), (i + 1, j), (i + 1, j + 1)]
        return [y * self.across + x for y, x in beside if y < self.down and 0 <= x < self.across]

    def touching(self, box: Box) -> list[int]:
        """The tiles whose cores have pixels in a box."""
        rows = np.array([self.core(i * self.across)[::2] for i in range(self.down)])
        columns = np.array([self.core(j)[1::2] for j in range(self.across)])
        down = np.flatnonzero((rows[:, 0] < box[2]) & (rows[:, 1] > box[0]))
        over = np.flatnonzero((columns[:, 0] < box[3]) & (columns[:, 1] > box[1]))
        return [i * self.across + j for i in down.tolist() for j in over.tolist()]


def common(one: Box, other: Box) -> Box:
    """What two boxes have in common; without pixels, an end is no larger than its beginning."""
    return (
        max(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        min(one[3], other[3]),
    )


def within(box: Box, outer: Box) -> tuple[slice, slice]:
    """Rows and columns of a box in an array of a larger one's pixels."""
    top, left = outer[:2]
    return slice(box[0] - top, box[2] - top), slice(box[1] - left, box[3] - left)
