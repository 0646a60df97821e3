"""Objects of a field from the labels of its tiles: which are one, their numbers and their facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, Int64Array, offsets_of
from scip_mpi.segmentation.components import find
from scip_mpi.segmentation.fields import chosen_parents
from scip_mpi.segmentation.tiles.pieces import Pieces, Seams


@dataclass(frozen=True)
class Stitched:
    """Objects of one plane of labels of a field.

    Attributes
    ----------
    number : ndarray of int64, shape (n,)
        Number of the object that each tile's labels are of, 1, 2, ..., 0 for none; the labels of
        tile k are those from ``starts[k]`` to ``starts[k + 1]``.
    starts : ndarray of int64, shape (tiles + 1,)
    label : ndarray of int64, shape (m,)
        What each object is called.
    area, edge : ndarray of int64, shape (m,)
    bbox : ndarray of int64, shape (m, 4)
    tile : ndarray of int64, shape (m,)
        The tile that most of it is in, of equal parts the first.
    """

    number: Int64Array
    starts: Int64Array
    label: Int64Array
    area: Int64Array
    edge: Int64Array
    bbox: Int64Array
    tile: Int64Array


def stitch(
    pieces: Sequence[Pieces], pairs: Sequence[tuple[int, int, Int64Array]], seams: Seams
) -> Stitched:
    """Unite the labels of all tiles of a field.

    Parameters
    ----------
    pieces : sequence of Pieces
        Of every tile.
    pairs : sequence of (tile, tile, ndarray of int64, shape (n, 2))
        Labels of two tiles that are of one object.
    seams : {"value", "touch", "overlap"}
        Of labels of one value no pairs are needed.
    """
    starts = offsets_of(np.array([len(p.key) for p in pieces]))
    key = np.concatenate([p.key for p in pieces])
    area = np.concatenate([p.area for p in pieces])
    edge = np.concatenate([p.edge for p in pieces])
    bbox = np.concatenate([p.bbox for p in pieces])
    if seams == "value":
        _, root = np.unique(key, return_inverse=True)
    else:
        nodes = [p - 1 + np.array([starts[a], starts[b]]) for a, b, p in pairs]
        root = np.arange(len(key))
        _unite(np.concatenate([np.empty((0, 2), np.int64), *nodes]), root)
        _, root = np.unique(root, return_inverse=True)
    count = int(root.max(initial=-1)) + 1
    # An object whose seed is in no core comes last.
    first = np.full(count, np.iinfo(np.int64).max)
    there = (key >= 0) & (area > 0)
    np.minimum.at(first, root[there], key[there])
    total = np.bincount(root, area, count).astype(np.int64)
    boxes = np.repeat([[np.iinfo(np.int64).max] * 2 + [0, 0]], count, axis=0)
    np.minimum.at(boxes[:, :2], root[area > 0], bbox[area > 0, :2])
    np.maximum.at(boxes[:, 2:], root[area > 0], bbox[area > 0, 2:])
    # Those that have pixels in some core, in the order of their keys.
    order = np.lexsort((boxes[:, 1], boxes[:, 0], first))
    order = order[total[order] > 0]
    number = np.zeros(count, np.int64)
    number[order] = np.arange(1, len(order) + 1)
    return Stitched(
        number=number[root],
        starts=starts,
        label=first[order] if seams == "value" else np.arange(1, len(order) + 1),
        area=total[order],
        edge=np.bincount(root, edge, count).astype(np.int64)[order],
        bbox=boxes[order],
        tile=_largest(root, area, np.repeat(np.arange(len(pieces)), np.diff(starts)))[order],
    )


def _largest(root: Int64Array, area: Int64Array, tile: Int64Array) -> Int64Array:
    """The tile in which each object has most pixels."""
    tiles = int(tile.max(initial=0)) + 1
    both, which = np.unique(root * tiles + tile, return_inverse=True)
    sums = np.bincount(which, area).astype(np.int64)
    owner, where = np.divmod(both, tiles)
    order = np.lexsort((where, -sums, owner))
    return where[order[np.flatnonzero(np.diff(owner[order], prepend=-1))]]


@njit(cache=True, nogil=True, error_model="numpy")
def _unite(pairs, parent):
    """Union-find: the root of each node is the least of those that pairs connect it with."""
    for k in range(len(pairs)):
        a, b = find(parent, pairs[k, 0]), find(parent, pairs[k, 1])
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b
    for i in range(len(parent)):
        parent[i] = find(parent, i)


def warm_up() -> None:
    """Have all kernels compiled, and cached, by a rank that others wait for."""
    _unite(np.zeros((1, 2), np.int64), np.zeros(1, np.int64))


def kept(parents: Stitched, min_size: int, max_size: int | None, drop_border: bool) -> BoolArray:
    """Which of the parents are objects of the field, by their area and their place."""
    good = parents.area >= min_size
    if max_size is not None:
        good &= parents.area <= max_size
    if drop_border:
        good &= parents.edge == 0
    return good


def parents_of(
    children: Stitched,
    parents: Stitched,
    good: BoolArray,
    shared: Sequence[Int64Array],
) -> Int64Array:
    """Number of the parent of every child, 0 for none; by the child's number, from 0 on.

    Parameters
    ----------
    good : ndarray of bool, shape (m,)
        Which parents are objects.
    shared : sequence of ndarray of int64, shape (n, 3)
        Of every tile, as of `scip_mpi.segmentation.tiles.pieces.overlaps`.
    """
    rows = []
    for k, own in enumerate(shared):
        child = children.number[children.starts[k] : children.starts[k + 1]][own[:, 0] - 1]
        parent = parents.number[parents.starts[k] : parents.starts[k + 1]][own[:, 1] - 1]
        rows.append(np.stack([child, parent, own[:, 2]], axis=1))
    child, parent, pixels = np.concatenate([np.empty((0, 3), np.int64), *rows]).T
    chosen = good[parent - 1] if len(parent) else np.empty(0, bool)
    count = len(parents.label)
    both, which = np.unique(child[chosen] * (count + 1) + parent[chosen], return_inverse=True)
    together = np.bincount(which, pixels[chosen], len(both)).astype(np.int64)
    areas = np.concatenate([[0], parents.area])
    return chosen_parents(both, together, areas, len(children.label))
