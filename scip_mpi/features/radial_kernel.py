"""The work behind the columns of ``radial``: rings and wedges of a mask, sums of a channel."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.features.distance import FAR, STEP, from_place, ringed, tight_box, to_outside
from scip_mpi.features.regions import Regions
from scip_mpi.features.runs import find_runs, most_runs
from scip_mpi.features.selection import windows

WEDGES = 8
# CellProfiler's: keeps the outermost pixels in the outermost ring.
WITHIN = 0.001


class Rings(NamedTuple):
    """How a mask is divided into rings; as in `scip_mpi.features.radial.select`."""

    bins: int
    scaled: bool
    maximum_radius: float


def fill(
    batch: ImageBatch,
    masks: SetMasks,
    where: Regions,
    channels: Int64Array,
    rings: Rings,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the columns of some channels, of the objects that the mask set kept."""
    size = int(((batch.shapes[:, 1] + 2) * (batch.shapes[:, 2] + 2)).max())
    _radial(
        batch.pixels, batch.offsets, batch.shapes, where.bits, where.starts, masks.kept,
        windows(masks.bbox), channels, rings.bins, rings.scaled, rings.maximum_radius,
        most_runs(batch.shapes),
        scratch.array("inside", size, np.uint8),
        scratch.array("places", size, np.int32),
        scratch.array("squared", size, np.int64),
        scratch.array("steps", size, np.int64),
        scratch.array("wedge", size, np.int32),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _radial(
    pixels,
    offsets,
    shapes,
    bits,
    starts,
    kept,
    boxes,
    channels,
    bins,
    scaled,
    radius,
    capacity,
    inside,
    places,
    squared,
    steps,
    wedge,
    out,
):
    runs = np.empty((capacity, 3), np.int64)
    work = np.empty((3, shapes[:, 2].max() + 2), np.int64)
    # Pixels that do not count go into one more wedge, the last.
    rings = bins + 1
    counts = np.empty(rings * WEDGES + 1, np.int64)
    sums = np.empty(rings * WEDGES + 1)
    reported = bins if scaled else rings
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        h, w = shapes[i, 1], shapes[i, 2]
        n = h * w
        known = np.int64(-1)
        n_runs = 0
        for j in range(len(channels)):
            c = channels[j]
            start = starts[i, c]
            if start != known:
                known = start
                mask = bits[start : start + n].reshape(h, w)
                n_runs = find_runs(mask, boxes[i], runs)
                if n_runs:
                    _divide(
                        runs[:n_runs], bins, scaled, radius, inside, places, squared, steps, work,
                        wedge, counts,
                    )  # fmt: skip
            if n_runs == 0:
                continue
            sums[:] = 0.0
            at = np.uint64(0)
            for r in range(n_runs):
                first = offsets[i] + c * n + runs[r, 0] * w
                for x in range(runs[r, 1], runs[r, 2]):
                    sums[np.uint64(wedge[at])] += np.float64(pixels[np.uint64(first + x)])
                    at += np.uint64(1)
            _of_rings(sums, counts, reported, out[i, 3 * reported * j : 3 * reported * (j + 1)])


@njit(cache=True, nogil=True, error_model="numpy")
def _divide(
    runs, bins, scaled, radius, inside, places, squared, steps, work, wedge, counts
):  # fmt: skip
    """Wedge of each pixel of a mask, in raster order, and how many pixels each wedge has."""
    box = tight_box(runs)
    down, across, n = ringed(runs, box, inside, places)
    inside = inside[: down * across]
    places = places[:n]
    to_outside(inside, down, across, work, squared)
    origin = places[0]
    for k in range(n):
        if squared[places[k]] > squared[origin]:
            origin = places[k]
    from_place(inside, across, places, origin, steps)
    y0 = origin // across
    x0 = origin - y0 * across
    counts[:] = 0
    for k in range(n):
        at = places[k]
        if steps[at] >= FAR:
            wedge[k] = len(counts) - 1
        else:
            away = steps[at] / STEP
            if scaled:
                part = away / (away + math.sqrt(np.float64(squared[at])) + WITHIN)
            else:
                part = away / radius
            ring = min(np.int64(part * bins), bins)
            dy = at // across - y0
            dx = at % across - x0
            side = (dy > 0) + 2 * (dx > 0) + 4 * (abs(dy) > abs(dx))
            wedge[k] = ring * WEDGES + side
        counts[wedge[k]] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _of_rings(sums, counts, reported, out):
    """Fraction, mean fraction and variation of each ring."""
    total = 0.0
    pixels = 0
    for k in range(len(sums) - 1):
        total += sums[k]
        pixels += counts[k]
    if not math.isfinite(total):
        return
    for ring in range(reported):
        of_ring = 0.0
        within = 0
        wedges = 0
        mean = 0.0
        for k in range(ring * WEDGES, (ring + 1) * WEDGES):
            of_ring += sums[k]
            within += counts[k]
            if counts[k]:
                wedges += 1
                mean += sums[k] / counts[k]
        fraction = of_ring / total if total != 0.0 else np.nan
        out[ring] = fraction
        if within == 0:
            continue
        out[reported + ring] = fraction / (within / pixels)
        mean /= wedges
        squares = 0.0
        for k in range(ring * WEDGES, (ring + 1) * WEDGES):
            if counts[k]:
                d = sums[k] / counts[k] - mean
                squares += d * d
        if mean != 0.0:
            out[2 * reported + ring] = math.sqrt(squares / wedges) / mean
