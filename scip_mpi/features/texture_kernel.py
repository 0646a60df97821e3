"""The work behind the texture columns, mask by mask of every channel."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.cooccurrence import (
    ANGLES,
    DISTANCES,
    LEVELS,
    MARGIN,
    PROPERTIES,
    bounds,
    properties,
    quantise,
)
from scip_mpi.features.gradient import gradient_statistics, sobel, surrounded
from scip_mpi.features.runs import find_runs, most_runs
from scip_mpi.features.selection import any_of, exact_sums, places, windows
from scip_mpi.features.tally import WIDEST
from scip_mpi.features.texture_columns import PAIRS, PER_MASK


def fill(
    batch: ImageBatch, masks: SetMasks, chosen: BoolArray, out: FloatArray, scratch: Scratch
) -> None:
    """Fill the columns asked for, of the objects that the mask set kept.

    Parameters
    ----------
    chosen : ndarray of bool, shape (C, 2, 28)
        Which columns are asked for of a channel's own and the combined mask; they stand in ``out``
        one after the other.
    """
    if not len(batch):
        return
    # What is to be done for a mask: each distance, the gradient.
    at = [range(d, PAIRS, len(DISTANCES)) for d in range(len(DISTANCES))]
    work = np.stack([any_of(chosen, s) for s in (*at, range(PAIRS, PER_MASK))], axis=-1)
    height, width = batch.shapes[:, 1], batch.shapes[:, 2]
    size = int((height * width).max())
    padded = int(((height + MARGIN) * (width + 2 * MARGIN)).max())
    _texture(
        batch.pixels, batch.offsets, batch.planes, batch.shapes, exact_sums(batch.pixels.dtype),
        masks.own, masks.combined, masks.kept, windows(masks.bbox),
        places(chosen), work, most_runs(batch.shapes),
        scratch.array("levels", padded, np.uint8),
        scratch.array("gradient", size, np.float64),
        scratch.array("gathered", size, np.float64),
        scratch.array("own_inner", size + 1, np.int32),
        scratch.array("combined_inner", size + 1, np.int32),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _texture(
    pixels,
    offsets,
    planes,
    shapes,
    exact,
    own,
    combined,
    kept,
    boxes,
    place,
    work,
    capacity,
    levels,
    gradient,
    gathered,
    own_inner,
    combined_inner,
    out,
):
    """Fill the columns asked for: ``place`` (C, 2, 28) says where, -1 for none."""
    widest = np.int64(shapes[:, 2].max())
    own_runs = np.empty((capacity, 3), np.int64)
    combined_runs = np.empty((capacity, 3), np.int64)
    counts = np.empty((ANGLES, LEVELS * (LEVELS + 1)), np.uint32)
    found = np.zeros((ANGLES, len(PROPERTIES)))
    table = np.empty(WIDEST, np.uint8)
    values = np.empty(PER_MASK)
    rows = np.empty(3 * (widest + 2))
    mask_rows = np.empty(3 * (widest + 2), np.uint8)
    flags = np.empty(widest, np.uint8)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        n = h * w
        box = boxes[i]
        # The combined mask is the same for all channels.
        union = combined[planes[i] : planes[i] + n].reshape(h, w)
        of_union = find_runs(union, box, combined_runs) if work[:, 1].any() else 0
        in_union = 0
        if work[:, 1, 2].any():
            in_union = surrounded(union, box, mask_rows, flags, combined_inner)
        for c in range(channels):
            at = offsets[i] + c * n
            plane = pixels[at : at + n].reshape(h, w)
            if work[c, 0, 2] or work[c, 1, 2]:
                sobel(plane, box, rows, gradient)
            for which in range(2):
                asked = work[c, which]
                if not (asked[0] or asked[1] or asked[2]):
                    continue
                if which:
                    runs = combined_runs[:of_union]
                    inner = combined_inner[:in_union]
                else:
                    mask = own[at : at + n].reshape(h, w)
                    runs = own_runs[: find_runs(mask, box, own_runs)]
                    inner = own_inner[:0]
                    if asked[2]:
                        inner = own_inner[: surrounded(mask, box, mask_rows, flags, own_inner)]
                values[:] = np.nan
                if len(runs):
                    if asked[0] or asked[1]:
                        tight, low, high = bounds(plane, runs)
                        down = tight[2] - tight[0] + MARGIN
                        across = tight[3] - tight[1] + 2 * MARGIN
                        padded = levels[: down * across].reshape(down, across)
                        quantise(plane, exact, runs, tight, low, high, table, padded)
                        for d in range(len(DISTANCES)):
                            if asked[d]:
                                properties(padded, runs, tight, d, counts, found, values)
                    if asked[2]:
                        gradient_statistics(gradient, inner, gathered, values[PAIRS:])
                for j in range(PER_MASK):
                    if place[c, which, j] >= 0:
                        out[i, place[c, which, j]] = values[j]
