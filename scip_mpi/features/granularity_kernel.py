"""The work behind the columns of ``granularity``: pictures of a channel, and their spectra."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.features.distance import ringed, tight_box
from scip_mpi.features.regions import Regions
from scip_mpi.features.resampling import open_by_disc, resample, spread
from scip_mpi.features.runs import find_runs, most_runs
from scip_mpi.features.selection import exact_sums, windows
from scip_mpi.features.spectrum import component_tree, erode, reconstructed

# Pixels of all steps that are held together.
AT_ONCE = 1 << 22


class Picture(NamedTuple):
    """How pictures are made; as in `scip_mpi.features.granularity.select`."""

    subsample: float
    background_radius: int
    background_subsample: float


def fill(
    batch: ImageBatch,
    masks: SetMasks,
    where: Regions,
    channels: Int64Array,
    steps: int,
    picture: Picture,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the columns of some channels, of the objects that the mask set kept."""
    # The crop with a ring of outside around it, and one of infinity.
    size = int(((batch.shapes[:, 1] + 4) * (batch.shapes[:, 2] + 4)).max())
    together = max(1, min(steps, AT_ONCE // size))
    floats = ("full", "small", "background", "weights", "picture", "eroded", "spare", "values")
    _granularity(
        batch.pixels, batch.offsets, batch.shapes, exact_sums(batch.pixels.dtype),
        where.bits, where.starts, masks.kept, windows(masks.bbox), channels, steps,
        together, picture.subsample, picture.background_radius, picture.background_subsample,
        most_runs(batch.shapes),
        scratch.array("inside", size, np.uint8),
        scratch.array("places", size, np.int32),
        tuple(scratch.array(f"granularity_{name}", size, np.float64) for name in floats),
        scratch.array("order", size, np.int64),
        scratch.array("spare_order", size, np.int64),
        tuple(
            scratch.array(f"granularity_{name}", size, np.int32)
            for name in ("node", "pixels", "parent", "root")
        ),
        scratch.array("granularity_left", size * together, np.float64),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _granularity(
    pixels,
    offsets,
    shapes,
    exact,
    bits,
    starts,
    kept,
    boxes,
    channels,
    steps,
    together,
    subsample,
    radius,
    background_subsample,
    capacity,
    inside,
    places,
    buffers,
    order,
    spare_order,
    tree,
    left,
    out,
):
    full, small, background, weights, picture, eroded, spare, values = buffers
    node, of_node, parent, root = tree
    runs = np.empty((capacity, 3), np.int64)
    sums = np.empty(together)
    whole = exact and subsample == 1.0 and radius == 0
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        h, w = shapes[i, 1], shapes[i, 2]
        n = h * w
        known = np.int64(-1)
        n_runs, down, across, area, rows, columns = 0, 0, 0, 0, 0, 0
        for j in range(len(channels)):
            c = channels[j]
            start = starts[i, c]
            if start != known:
                known = start
                n_runs = find_runs(bits[start : start + n].reshape(h, w), boxes[i], runs)
                if n_runs:
                    box = tight_box(runs[:n_runs])
                    down, across, area = ringed(runs[:n_runs], box, inside, places)
                    rows, columns = down, across
                    if subsample < 1.0:
                        rows, columns = np.int64(down * subsample), np.int64(across * subsample)
            if n_runs == 0 or rows < 2 or columns < 2:
                continue
            at = offsets[i] + c * n
            total = _cut(pixels[at : at + n], w, runs[:n_runs], places, full, down * across)
            if not total > 0.0 or not math.isfinite(total):
                continue
            if subsample < 1.0:
                step = 1.0 / subsample
                resample(full, down, across, step, step, rows, columns, small)
                spread(inside, down, across, rows, columns, weights)
            else:
                small[: rows * columns] = full[: rows * columns]
                for k in range(rows * columns):
                    weights[k] = inside[k]
            if radius:
                _less_background(
                    small, rows, columns, radius, background_subsample, background, spare, full
                )
            _frame(small, rows, columns, picture)
            eroded[: (rows + 2) * (columns + 2)] = np.inf
            spare[: (rows + 2) * (columns + 2)] = np.inf
            number = component_tree(
                picture, rows, columns, whole, values, order, spare_order, node, of_node, parent,
                root,
            )  # fmt: skip
            mean = first = total / area
            before, after = picture, eroded
            for start_step in range(0, steps, together):
                held = min(together, steps - start_step)
                for s in range(held):
                    erode(before, rows, columns, after)
                    for k in range(number):
                        left[np.uint64(k * held + s)] = after[np.uint64(of_node[k])]
                    # The picture itself is kept.
                    if start_step + s == 0:
                        before, after = eroded, spare
                    else:
                        before, after = after, before
                wide = columns + 2
                for k in range(number):
                    y = of_node[k] // wide
                    values[k] = weights[(y - 1) * columns + of_node[k] - y * wide - 1]
                reconstructed(picture, values, of_node[:number], parent, left, held, sums)
                for s in range(held):
                    now = sums[s] / area
                    out[i, j * steps + start_step + s] = (mean - now) * 100.0 / first
                    mean = now


@njit(cache=True, nogil=True, error_model="numpy")
def _cut(flat, width, runs, places, full, size):
    """The pixels of a mask on a picture of 0; their sum."""
    full[:size] = 0.0
    total = 0.0
    k = 0
    for r in range(len(runs)):
        for x in range(runs[r, 1], runs[r, 2]):
            value = np.float64(flat[runs[r, 0] * width + x])
            total += value
            full[places[k]] = value
            k += 1
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _less_background(picture, rows, columns, radius, subsample, background, spare, opened):
    """Take off what an opening leaves of the picture, made smaller before."""
    if subsample == 1.0:
        background[: rows * columns] = picture[: rows * columns]
        open_by_disc(background, rows, columns, radius, spare)
        for k in range(rows * columns):
            picture[k] -= background[k]
        return
    # CellProfiler counts in parts of a row and column.
    down, across = rows * subsample, columns * subsample
    few, fewer = math.ceil(down), math.ceil(across)
    step = 1.0 / subsample
    resample(picture, rows, columns, step, step, few, fewer, background)
    open_by_disc(background, few, fewer, radius, spare)
    y_step, x_step = (down - 1.0) / (rows - 1), (across - 1.0) / (columns - 1)
    resample(background, few, fewer, y_step, x_step, rows, columns, opened)
    for k in range(rows * columns):
        picture[k] -= opened[k]


@njit(cache=True, nogil=True, error_model="numpy")
def _frame(small, rows, columns, picture):
    """A picture without what is below 0, and with a ring of infinity around it."""
    wide = columns + 2
    picture[: (rows + 2) * wide] = np.inf
    for y in range(rows):
        for x in range(columns):
            picture[(y + 1) * wide + x + 1] = max(small[y * columns + x], 0.0)
