"""The work behind the columns of ``cp_shape``, mask by mask."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.features.bit_rows import WORD
from scip_mpi.features.distance import ringed, tight_box, to_outside
from scip_mpi.features.enclosing import corners_of, widths
from scip_mpi.features.perimeter import perimeter
from scip_mpi.features.regions import Regions
from scip_mpi.features.runs import find_runs, most_runs
from scip_mpi.features.selection import windows

COLUMNS = 16


def fill(
    batch: ImageBatch,
    masks: SetMasks,
    where: Regions,
    channels: Int64Array,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the columns of some channels' masks, of the objects that the mask set kept."""
    height, width = batch.shapes[:, 1], batch.shapes[:, 2]
    size = int(((height + 2) * (width + 2)).max())
    words = int(((height + 2) * (width // WORD + 4)).max())
    _shapes(
        batch.shapes, where.bits, where.starts, masks.kept, windows(masks.bbox), channels,
        most_runs(batch.shapes),
        scratch.array("inside", size, np.uint8),
        scratch.array("places", size, np.int32),
        scratch.array("squared", size, np.int64),
        scratch.array("counts", size, np.int64),
        scratch.array("bits", words, np.uint64),
        scratch.array("border", words, np.uint64),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _shapes(
    shapes,
    bits,
    starts,
    kept,
    boxes,
    channels,
    capacity,
    inside,
    places,
    squared,
    counts,
    words,
    border,
    out,
):
    tallest, widest = shapes[:, 1].max(), shapes[:, 2].max()
    runs = np.empty((capacity, 3), np.int64)
    part = np.empty((capacity, 3), np.int64)
    columns = np.empty((3, widest + 2), np.int64)
    work = np.empty((5, tallest), np.int64)
    ys = np.empty(2 * tallest, np.int64)
    xs = np.empty(2 * tallest, np.int64)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        h, w = shapes[i, 1], shapes[i, 2]
        for j in range(len(channels)):
            start = starts[i, channels[j]]
            n = find_runs(bits[start : start + h * w].reshape(h, w), boxes[i], runs)
            if n == 0:
                continue
            row = out[i, j * COLUMNS : (j + 1) * COLUMNS]
            box = tight_box(runs[:n])
            height, width = box[2] - box[0], box[3] - box[1]
            for r in range(n):
                part[r, 0] = runs[r, 0] - box[0]
                part[r, 1] = runs[r, 1] - box[1]
                part[r, 2] = runs[r, 2] - box[1]
            down, across, area = ringed(runs[:n], box, inside, places)
            length = perimeter(part[:n], height, width, words, border)
            row[0] = area
            row[1] = length
            if length > 0.0:
                row[2] = 4.0 * math.pi * area / (length * length)
            row[3] = length * length / (4.0 * math.pi * area)
            row[4] = area / (height * width)
            row[5] = height * width
            row[6] = math.sqrt(4.0 * area / math.pi)
            row[7] = _euler_number(inside, down, across)
            _ellipse(part[:n], area, row[8:11])
            to_outside(inside, down, across, columns, squared)
            _radii(squared, places[:area], counts, row[11:14])
            row[14], row[15] = widths(ys, xs, corners_of(part[:n], work, ys, xs))


@njit(cache=True, nogil=True, error_model="numpy")
def _euler_number(inside, down, across):
    """Components less holes, by how many of each four pixels around a corner are in the mask."""
    four = 0
    for y in range(down - 1):
        for x in range(across - 1):
            at = y * across + x
            nw, ne = inside[at], inside[at + 1]
            sw, se = inside[at + across], inside[at + across + 1]
            held = nw + ne + sw + se
            if held == 1:
                four += 1
            elif held == 3:
                four -= 1
            elif held == 2 and nw == se:
                four -= 2
    return four // 4


@njit(cache=True, nogil=True, error_model="numpy")
def _ellipse(runs, area, out):
    """Axes and eccentricity of the ellipse with the same second moments, in whole numbers first."""
    y, x, yy, xx, yx = 0, 0, 0, 0, 0
    for r in range(len(runs)):
        first, stop = runs[r, 1], runs[r, 2]
        row = runs[r, 0]
        n = stop - first
        of_run = n * (first + stop - 1) // 2
        y += n * row
        yy += n * row * row
        x += of_run
        yx += row * of_run
        for column in range(first, stop):
            xx += column * column
    square = np.float64(area) * area
    along_y = np.float64(area * yy - y * y) / square
    along_x = np.float64(area * xx - x * x) / square
    mixed = np.float64(area * yx - y * x) / square
    half = 0.5 * (along_y + along_x)
    spread = math.sqrt(0.25 * (along_y - along_x) * (along_y - along_x) + mixed * mixed)
    major, minor = half + spread, max(half - spread, 0.0)
    out[0] = 4.0 * math.sqrt(major)
    out[1] = 4.0 * math.sqrt(minor)
    out[2] = math.sqrt(1.0 - minor / major) if major > 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _radii(squared, places, counts, out):
    """Largest, mean and median of the roots of whole numbers at some places.

    Parameters
    ----------
    counts : int64, scratch
        As many as the numbers go up to, and one more.
    """
    n = len(places)
    most = np.int64(0)
    for k in range(n):
        most = max(most, squared[places[k]])
    counts[: most + 1] = 0
    for k in range(n):
        counts[squared[places[k]]] += 1
    out[0] = math.sqrt(np.float64(most))
    total = 0.0
    upto = 0
    lower = np.int64(-1)
    upper = np.int64(-1)
    for value in range(most + 1):
        if counts[value]:
            total += counts[value] * math.sqrt(np.float64(value))
            upto += counts[value]
            if lower < 0 and upto > (n - 1) // 2:
                lower = value
            if upper < 0 and upto > n // 2:
                upper = value
    out[1] = total / n
    out[2] = 0.5 * (math.sqrt(np.float64(lower)) + math.sqrt(np.float64(upper)))
