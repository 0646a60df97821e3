"""The work behind the shape columns, component by component of every mask."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, SetMasks
from scip_mpi.features.bit_rows import WORD
from scip_mpi.features.component import (
    N_SHAPE,
    WORK,
    ZERO_IF_EMPTY,
    add_component,
    component_scratch,
)
from scip_mpi.features.runs import find_runs, group_runs, join_runs, most_runs
from scip_mpi.features.selection import any_of, places, windows


def fill(batch: ImageBatch, masks: SetMasks, chosen: BoolArray, out: FloatArray) -> None:
    """Fill the columns asked for, of the objects that the mask set kept.

    Parameters
    ----------
    chosen : ndarray of bool, shape (2, 1 + C, 59)
        Means over components, then the largest component; the combined mask, then each channel's
        own. Those asked for stand in ``out`` one after the other.
    """
    if not len(batch):
        return
    work = np.stack([any_of(chosen, columns) for columns in WORK], axis=-1)
    height, width = batch.shapes[:, 1], batch.shapes[:, 2]
    words = int(((height + 2) * ((width + WORD - 1) // WORD + 2)).max())
    _shape(
        batch.offsets, batch.planes, batch.shapes, masks.own, masks.combined, masks.kept,
        windows(masks.bbox), most_runs(batch.shapes), int(height.max()), words,
        chosen.any(axis=-1), places(chosen), work, out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _shape(
    offsets,
    planes,
    shapes,
    own,
    combined,
    kept,
    boxes,
    capacity,
    height,
    words,
    asked,
    place,
    work,
    out,
):
    """Fill the columns asked for.

    Parameters
    ----------
    asked : (2, 1 + C) bool
        Whether means over components, and the largest component, are asked for of each mask.
    place : (2, 1 + C, 59) int64
        Column of ``out``, or -1.
    work : (2, 1 + C, 6) uint8
        What `add_component` is to do.
    """
    runs = np.empty((capacity, 3), np.int64)
    touching = np.empty((capacity, 3), np.int64)
    parent = np.empty(capacity, np.int64)
    number = np.empty(capacity, np.int64)
    order = np.empty(capacity, np.int64)
    first = np.empty(capacity + 1, np.int64)
    scratch = component_scratch(capacity, height, words)
    values = np.empty(N_SHAPE)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        for k in range(channels + 1):
            if not (asked[0, k] or asked[1, k]):
                continue
            if k == 0:
                mask = combined[planes[i] : planes[i] + h * w].reshape(h, w)
            else:
                at = offsets[i] + (k - 1) * h * w
                mask = own[at : at + h * w].reshape(h, w)
            n = find_runs(mask, boxes[i], runs)
            join_runs(runs, n, parent, touching)
            count = group_runs(parent, n, number, order, first)
            for which in range(2):
                if not asked[which, k]:
                    continue
                values[:] = 0.0
                low, high = 0, count
                if which == 1:
                    low = _largest(runs, order, first, count)
                    high = min(low + 1, count)
                for component in range(low, high):
                    members = order[first[component] : first[component + 1]]
                    add_component(runs, members, touching, scratch, work[which, k], values)
                if count == 0:
                    values[ZERO_IF_EMPTY:] = np.nan
                for j in range(N_SHAPE):
                    if place[which, k, j] >= 0:
                        out[i, place[which, k, j]] = values[j] / max(high - low, 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _largest(runs, order, first, count):
    """The component with the most pixels, the first of several."""
    best = 0
    most = 0
    for component in range(count):
        size = 0
        for r in order[first[component] : first[component + 1]]:
            size += runs[r, 2] - runs[r, 1]
        if size > most:
            most = size
            best = component
    return best
