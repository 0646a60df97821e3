"""Some of the texture columns, without the work that the others need."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.cooccurrence import (
    DISTANCES,
    LEVELS,
    OFFSETS,
    PROPERTIES,
    bounds,
    count_at,
    properties_of,
    quantise_within,
)
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.gradient import SOBEL, gradient_within
from scip_mpi.features.selection import Part, any_of, channel_places, pick, places, wanted, windows
from scip_mpi.features.shared import Shared
from scip_mpi.features.texture_columns import PER_MASK, features
from scip_mpi.segmentation.components import find_runs, run_scratch

MASKS = ("own", "combined")
OVER_ANGLES = ("mean", "std")
WORDS = tuple(name for name, _ in PROPERTIES)
PAIRS = len(WORDS) * len(OVER_ANGLES) * len(DISTANCES)
if TYPE_CHECKING:
    MaskWord = str
    Over = str
    Property = str
    Sobel = str
else:
    MaskWord = Literal[MASKS]
    Over = Literal[OVER_ANGLES]
    Property = Literal[WORDS]
    Sobel = Literal[SOBEL]
Distance = Literal[3, 5]


def select(
    *,
    masks: Sequence[MaskWord] | None = None,
    distances: Sequence[Distance] | None = None,
    statistics: Sequence[Over] | None = None,
    properties: Sequence[Property] | None = None,
    sobel: Sequence[Sobel] | None = None,
    channels: Sequence[int | str] | None = None,
) -> Family:
    """Some properties of co-occurrence, and some statistics of the gradient.

    Parameters
    ----------
    masks : sequence of str, optional
        ``own``, ``combined``; both by default.
    distances : sequence of int, optional
        3, 5 pixels; both by default.
    statistics : sequence of str, optional
        ``mean``, ``std`` over the angles; both by default.
    properties : sequence of str, optional
        Of the co-occurrence; all six by default, none where the list is empty.
    sobel : sequence of str, optional
        ``mean``, ``std``, ``max``, ``min``; all by default, none where the list is empty.
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.

    Raises
    ------
    UserError
        A word is unknown, or nothing is left.
    """
    chosen_properties = [] if properties == [] and sobel != [] else pick(
        properties, WORDS, "property"
    )  # fmt: skip
    chosen_sobel = [] if sobel == [] else pick(sobel, SOBEL, "sobel")
    words = None if distances is None else [str(d) for d in distances]
    chosen_distances = pick(words, [str(d) for d in DISTANCES], "distance")
    chosen_over = pick(statistics, OVER_ANGLES, "statistic")
    columns = [
        (p * len(OVER_ANGLES) + over) * len(DISTANCES) + d
        for p in chosen_properties
        for over in chosen_over
        for d in chosen_distances
    ]
    columns += [PAIRS + s for s in chosen_sobel]
    both = [m * PER_MASK + j for m in pick(masks, MASKS, "mask") for j in columns]
    return joined((Part(tuple(both), channel_places(channels)),))


def joined(parts: tuple[Part, ...]) -> Family:
    """The family with the columns of some selections."""
    return Family(
        "texture", partial(_features, parts), partial(_compute, parts), parts=parts, joined=joined
    )


def _chosen(parts: Sequence[Part], channels: int) -> BoolArray:
    return wanted(parts, channels, 2 * PER_MASK)[1:].reshape(-1, 2, PER_MASK)


def _features(parts: Sequence[Part], channel_names: Sequence[str]) -> list[Feature]:
    chosen = _chosen(parts, len(channel_names)).reshape(-1)
    return [f for f, asked in zip(features(channel_names), chosen, strict=True) if asked]


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
    # What is to be done for a mask: each distance, the gradient, its std.
    at = [[j for j in range(PAIRS) if j % len(DISTANCES) == d] for d in range(len(DISTANCES))]
    work = np.stack(
        [any_of(chosen, s) for s in (*at, range(PAIRS, PER_MASK), [PAIRS + SOBEL.index("std")])],
        axis=-1,
    )
    height, width = (int(n) for n in batch.shapes[:, 1:].max(axis=0))
    size = height * width
    _texture(
        batch.pixels, batch.offsets, batch.planes, batch.shapes,
        masks.own, masks.combined, masks.kept, windows(masks.bbox), height, width,
        places(chosen), work,
        scratch.array("levels", size, np.uint8),
        scratch.array("gradient", size, np.float64),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _texture(
    pixels,
    offsets,
    planes,
    shapes,
    own,
    combined,
    kept,
    boxes,
    height,
    width,
    place,
    work,
    levels,
    gradient,
    out,
):
    """Fill the columns asked for: ``place`` (C, 2, 28) says where, -1 for none."""
    runs, row_start, parent, _ = run_scratch(height, width)
    counts = np.empty((LEVELS + 1, LEVELS + 1), np.int64)
    found = np.zeros((len(OFFSETS), len(PROPERTIES)))
    values = np.empty(PER_MASK)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        n = h * w
        for c in range(channels):
            at = offsets[i] + c * n
            plane = pixels[at : at + n].reshape(h, w)
            for which in range(2):
                asked = work[c, which]
                if not (asked[0] or asked[1] or asked[2]):
                    continue
                mask = combined[planes[i] : planes[i] + n] if which else own[at : at + n]
                mask = mask.reshape(h, w)
                found_runs = find_runs(mask, boxes[i], runs, row_start, parent)
                if found_runs == 0:
                    values[:] = np.nan
                else:
                    for r in range(found_runs):
                        runs[r, 0] += boxes[i, 0]
                        runs[r, 1] += boxes[i, 1]
                        runs[r, 2] += boxes[i, 1]
                    box, low, high = bounds(plane, runs[:found_runs])
                    rows, columns = box[2] - box[0], box[3] - box[1]
                    if asked[0] or asked[1]:
                        own_levels = levels[: rows * columns].reshape(rows, columns)
                        quantise_within(plane, runs[:found_runs], box, low, high, own_levels)
                        _pairs(own_levels, asked, counts, found, values)
                    if asked[2]:
                        gradient_within(plane, mask, box, asked[3], gradient, values[PAIRS:])
                for j in range(PER_MASK):
                    if place[c, which, j] >= 0:
                        out[i, place[c, which, j]] = values[j]


@njit(cache=True, nogil=True, error_model="numpy")
def _pairs(levels, asked, counts, found, out):
    """Mean and std over the angles of the properties, at the distances asked for."""
    for d in range(len(DISTANCES)):
        if not asked[d]:
            continue
        for angle in range(2):
            dy, dx = OFFSETS[2 * d + angle]
            count_at(levels, dy, dx, counts)
            properties_of(counts, found[angle])
        for p in range(len(PROPERTIES)):
            a = found[0, p]
            b = found[1, p]
            out[4 * p + d] = 0.5 * (a + b)
            out[4 * p + 2 + d] = 0.5 * abs(a - b)
