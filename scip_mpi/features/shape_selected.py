"""Some of the shape columns, without the work of the others; of the largest component too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.component import N_SHAPE, WORK, ZERO_IF_EMPTY, add_component, group_runs
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.hull import hull_scratch
from scip_mpi.features.selection import Part, any_of, channel_places, pick, places, wanted, windows
from scip_mpi.features.shape_columns import one_mask
from scip_mpi.features.shared import Shared
from scip_mpi.segmentation.components import find_runs, join_runs, run_scratch

MASKS = ("own", "combined")
COMPONENTS = ("mean", "largest")
NAMES = tuple(name for name, _, _ in one_mask())
# `moments_hu` stands for moments_hu-0 to -6, and so on.
GROUPS = tuple(dict.fromkeys(name.partition("-")[0] for name in NAMES if "-" in name))
WORDS = (*(name for name in NAMES if "-" not in name), *GROUPS)
WORDS = (*WORDS, *(name for name in NAMES if "-" in name))
PREFIXES = ("", "largest_")
TEXTS = ("Mean over components.", "Of the component with the most pixels.")
if TYPE_CHECKING:
    Component = str
    MaskWord = str
    Property = str
else:
    Component = Literal[COMPONENTS]
    MaskWord = Literal[MASKS]
    Property = Literal[WORDS]


def select(
    *,
    component: Component = "mean",
    properties: Sequence[Property] | None = None,
    masks: Sequence[MaskWord] | None = None,
    channels: Sequence[int | str] | None = None,
) -> Family:
    """Some properties of some masks.

    Parameters
    ----------
    component : str
        ``mean``, over all components; or ``largest``, of the component with the most pixels, the
        first in raster order of several: columns ``largest_...``, which the full family lacks.
    properties : sequence of str, optional
        Names of columns without the channel, or of a group of them such as ``moments_hu``; all 59
        by default.
    masks : sequence of str, optional
        ``own``, ``combined``; both by default.
    channels : sequence of int, optional
        Places of channels (a config may name them) whose own masks are meant; all by default.

    Raises
    ------
    UserError
        A word is unknown, or a list is empty.
    """
    (largest,) = pick([component], COMPONENTS, "component")
    words = [WORDS[k] for k in pick(properties, WORDS, "property")]
    chosen = [j for j, n in enumerate(NAMES) if n in words or n.partition("-")[0] in words]
    columns = tuple(largest * N_SHAPE + j for j in chosen)
    extra = bool(largest)
    parts = {
        "own": Part(columns, channel_places(channels), extra=extra),
        "combined": Part(columns, combined=True, extra=extra),
    }
    return joined(tuple(parts[MASKS[m]] for m in pick(masks, MASKS, "mask")))


def joined(parts: tuple[Part, ...]) -> Family:
    """The family with the columns of some selections."""
    return Family(
        "shape", partial(_features, parts), partial(_compute, parts), parts=parts, joined=joined
    )


def _chosen(parts: Sequence[Part], channels: int) -> BoolArray:
    """What is asked for, shape (2, 1 + channels, 59): means over components, then the largest."""
    found = wanted(parts, channels, 2 * N_SHAPE).reshape(1 + channels, 2, N_SHAPE)
    return np.ascontiguousarray(found.swapaxes(0, 1))


def _features(parts: Sequence[Part], channel_names: Sequence[str]) -> list[Feature]:
    chosen = _chosen(parts, len(channel_names))
    masks = ("combined", *channel_names)
    properties = one_mask()
    found = []
    for largest, row, j in np.argwhere(chosen):
        name, unit, text = properties[j]
        column = f"{PREFIXES[largest]}{name}_{masks[row]}"
        found.append(Feature(column, masks[row], unit, f"{text} {TEXTS[largest]}"))
    return found


def _compute(
    parts: Sequence[Part],
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    if not len(batch):
        return
    chosen = _chosen(parts, batch.channels)
    work = np.stack([any_of(chosen, columns) for columns in WORK], axis=-1)
    height, width = (int(n) for n in batch.shapes[:, 1:].max(axis=0))
    _shape(
        batch.offsets, batch.planes, batch.shapes, masks.own, masks.combined, masks.kept,
        windows(masks.bbox), height, width, chosen.any(axis=-1), places(chosen), work, out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _shape(
    offsets, planes, shapes, own, combined, kept, boxes, height, width, asked, place, work, out
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
    runs, row_start, parent, order = run_scratch(height, width)
    first = np.empty(order.size + 1, np.int64)
    image = np.zeros((height + 4, width + 4), np.uint8)
    seen = np.empty((height + 2, width + 2), np.uint8)
    stack = np.empty((height + 2) * (width + 2), np.int64)
    extents = np.empty((2, height), np.int64)
    hull = hull_scratch(height)
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
            n = find_runs(mask, boxes[i], runs, row_start, parent)
            join_runs(runs, n, boxes[i, 2] - boxes[i, 0], 1, row_start, parent)
            count = group_runs(parent, n, order, first)
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
                    add_component(
                        runs, members, image, seen, stack, extents, hull, work[which, k], values
                    )  # fmt: skip
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
