"""What is known of the labels of one tile, and which of them are objects of its neighbours too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array
from scip_mpi.segmentation.crops import label_facts
from scip_mpi.segmentation.tiles.grid import Box, Grid, common, within

Plane = NDArray[np.int32]
# How labels of two tiles are told to be of one object: those of label files by their value, what
# is connected above a threshold by any pixel in common, all others by most of their pixels.
Seams = Literal["value", "touch", "overlap"]
# Objects of two tiles are one if they share more than this part of their pixels near the seam.
SAME = 0.5


@dataclass(frozen=True)
class Pieces:
    """Labels 1 to n of one plane of a tile, as far as they lie in its core.

    Attributes
    ----------
    key : ndarray of int64, shape (n,)
        What objects are numbered by: labels of files by their value, others by the place in the
        field (in raster order) of their seed or first pixel. -1 where neither is in the core.
    area : ndarray of int64, shape (n,)
        Pixels.
    edge : ndarray of int64, shape (n,)
        Pixels at the edge of the field.
    bbox : ndarray of int64, shape (n, 4)
        In the field, ends exclusive.
    """

    key: Int64Array
    area: Int64Array
    edge: Int64Array
    bbox: Int64Array


def pieces_of(labels: Plane, grid: Grid, tile: int, key: Int64Array) -> Pieces:
    """What is known of the labels of a tile.

    Parameters
    ----------
    labels : ndarray of int32
        Of `Grid.around`: 1 to n.
    key : ndarray of int64, shape (n,)
        As in `Pieces`.
    """
    core, count = grid.core(tile), len(key)
    own = np.ascontiguousarray(labels[within(core, grid.around(tile))])
    boxes = np.empty((count + 1, 4), np.int64)
    area, border = np.empty(count + 1, np.int64), np.empty(count + 1, np.int64)
    label_facts(own, count, boxes, area, border)
    edge = np.zeros(count + 1, np.int64)
    top, left, bottom, right = core
    for line, there in (
        (own[0], top == 0),
        (own[-1], bottom == grid.height),
        (own[:, 0], left == 0),
        (own[:, -1], right == grid.width),
    ):
        if there:
            edge += np.bincount(line, minlength=count + 1)
    corner = np.array([top, left, top, left])
    return Pieces(key, area[1:], edge[1:], boxes[1:] + corner)


def first_keys(labels: Plane, grid: Grid, tile: int, count: int) -> Int64Array:
    """Places in the field of the first pixels in the core of labels 1 to ``count``; -1 for none."""
    core = grid.core(tile)
    own = labels[within(core, grid.around(tile))]
    first = np.full(count + 1, -1, np.int64)
    # Of several values for a place the last one stays: the first pixel's.
    first[own.ravel()[::-1]] = np.arange(own.size)[::-1]
    row, column = np.divmod(first, own.shape[1])
    return np.where(first < 0, -1, (row + core[0]) * grid.width + column + core[1])[1:]


def seed_keys(seeds: Int64Array, grid: Grid, tile: int) -> Int64Array:
    """Places in the field of seeds, given in a tile with its halo; -1 for those in the halo."""
    around, core = grid.around(tile), grid.core(tile)
    row, column = np.divmod(seeds, around[3] - around[1])
    row, column = row + around[0], column + around[1]
    inside = (core[0] <= row) & (row < core[2]) & (core[1] <= column) & (column < core[3])
    return np.where(inside, row * grid.width + column, -1)


def same_objects(
    grid: Grid, tile: int, labels: Plane, other: int, others: Plane, seams: Seams
) -> Int64Array:
    """Pairs of labels of two tiles, both with their halos, that are of one object.

    Returns
    -------
    ndarray of int64, shape (n, 2)
        Label in ``tile``, label in ``other``.
    """
    here, there = grid.around(tile), grid.around(other)
    box = common(here, there)
    a, b = labels[within(box, here)].ravel(), others[within(box, there)].ravel()
    width = int(b.max(initial=0)) + 1
    both = (a > 0) & (b > 0)
    pairs, shared = np.unique(a[both].astype(np.int64) * width + b[both], return_counts=True)
    first, second = np.divmod(pairs, width)
    if seams == "overlap":
        union = np.bincount(a)[first] + np.bincount(b)[second] - shared
        first, second = first[shared > SAME * union], second[shared > SAME * union]
    return np.stack([first, second], axis=1)


def overlaps(children: Plane, parents: Plane, core: Box, around: Box) -> Int64Array:
    """How many pixels of a tile's core two labels have in common.

    Returns
    -------
    ndarray of int64, shape (n, 3)
        Child, parent, pixels.
    """
    a, b = children[within(core, around)], parents[within(core, around)]
    width = int(b.max(initial=0)) + 1
    both = (a > 0) & (b > 0)
    pairs, shared = np.unique(a[both].astype(np.int64) * width + b[both], return_counts=True)
    return np.stack([*np.divmod(pairs, width), shared], axis=1)
