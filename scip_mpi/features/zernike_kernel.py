"""The work behind the columns of ``zernike``: moments of a channel on a mask's smallest circle."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.features.enclosing import corners_of, smallest_circle
from scip_mpi.features.regions import Regions
from scip_mpi.features.runs import find_runs, most_runs
from scip_mpi.features.selection import windows
from scip_mpi.features.zernike_basis import terms

# Powers are summed so many at a time.
LANES = 4


def fill(
    batch: ImageBatch,
    masks: SetMasks,
    where: Regions,
    channels: Int64Array,
    degree: int,
    shapes: int,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the columns of some channels, of the objects that the mask set kept.

    Parameters
    ----------
    shapes : int
        How many channels, the first ones, also have columns of the mask itself.
    """
    starts, powers, factors = terms(degree)
    wide = -(-(degree + 1) // LANES) * LANES
    widest = int(batch.shapes[:, 2].max())
    _zernike(
        batch.pixels, batch.offsets, batch.shapes, where.bits, where.starts, masks.kept,
        windows(masks.bbox), channels, degree, shapes, starts, powers, factors,
        most_runs(batch.shapes), scratch.array("powers", widest * wide, np.float64), wide, out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _zernike(
    pixels,
    offsets,
    shapes,
    bits,
    starts,
    kept,
    boxes,
    channels,
    degree,
    of_masks,
    parts,
    powers,
    factors,
    capacity,
    table,
    wide,
    out,
):
    tallest = shapes[:, 1].max()
    runs = np.empty((capacity, 3), np.int64)
    work = np.empty((5, tallest), np.int64)
    ys = np.empty(2 * tallest, np.int64)
    xs = np.empty(2 * tallest, np.int64)
    of_row = np.empty(wide)
    moments = np.empty((degree + 1, wide))
    number = (len(parts) - 1) // 2
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        h, w = shapes[i, 1], shapes[i, 2]
        n = h * w
        known = np.int64(-1)
        n_runs = 0
        area = 0
        cy, cx, radius = 0.0, 0.0, 0.0
        for j in range(len(channels)):
            c = channels[j]
            start = starts[i, c]
            if start != known:
                known = start
                n_runs = find_runs(bits[start : start + n].reshape(h, w), boxes[i], runs)
                area = 0
                for r in range(n_runs):
                    area += runs[r, 2] - runs[r, 1]
                if area > 1:
                    corners = corners_of(runs[:n_runs], work, ys, xs)
                    cy, cx, radius = smallest_circle(ys, xs, corners)
                    _powers(runs[:n_runs], cx, radius, wide, table)
            # A circle around one pixel has no radius.
            if area < 2:
                continue
            at = offsets[i] + c * n
            plane = pixels[at : at + n]
            _moments(plane, w, runs[:n_runs], cy, radius, degree, table, of_row, moments)
            row = out[i, 2 * number * j : 2 * number * (j + 1)]
            _scores(moments, parts, powers, factors, number, 1.0 / area, row)
            if j < of_masks:
                # The mask itself is a channel whose pixels are 1.
                plane = bits[start : start + n]
                _moments(plane, w, runs[:n_runs], cy, radius, degree, table, of_row, moments)
                at = 2 * number * (len(channels) + j)
                scale = 1.0 / (math.pi * radius * radius)
                row = out[i, at : at + 2 * number]
                _scores(moments, parts, powers, factors, number, scale, row)


@njit(cache=True, nogil=True, error_model="numpy")
def _powers(runs, cx, radius, wide, table):
    """Powers 0, 1, ... of each column's distance from the centre, in radii, ``wide`` a column."""
    left = runs[0, 1]
    right = runs[0, 2]
    for r in range(len(runs)):
        left = min(left, runs[r, 1])
        right = max(right, runs[r, 2])
    for x in range(left, right):
        away = (x - cx) / radius
        power = 1.0
        for k in range(wide):
            table[x * wide + k] = power
            power *= away


@njit(cache=True, nogil=True, error_model="numpy")
def _moments(plane, width, runs, cy, radius, degree, table, of_row, moments):
    """Sums of the pixels times powers of their rows' and columns' distance from the centre.

    Parameters
    ----------
    moments : (degree + 1, lanes) float64, out
        By the powers of the row and of the column; right where they add up to ``degree`` at most.
    """
    wide = len(of_row)
    moments[:] = 0.0
    r = 0
    while r < len(runs):
        y = runs[r, 0]
        of_row[:] = 0.0
        while r < len(runs) and runs[r, 0] == y:
            for x in range(runs[r, 1], runs[r, 2]):
                value = np.float64(plane[np.uint64(y * width + x)])
                for k in range(0, wide, LANES):
                    at = np.uint64(k)
                    source = np.uint64(x * wide + k)
                    of_row[at] += value * table[source]
                    of_row[at + np.uint64(1)] += value * table[source + np.uint64(1)]
                    of_row[at + np.uint64(2)] += value * table[source + np.uint64(2)]
                    of_row[at + np.uint64(3)] += value * table[source + np.uint64(3)]
            r += 1
        away = (y - cy) / radius
        power = 1.0
        for p in range(degree + 1):
            for k in range(wide):
                moments[p, k] += power * of_row[k]
            power *= away


@njit(cache=True, nogil=True, error_model="numpy")
def _scores(moments, parts, powers, factors, number, scale, out):
    """Magnitudes, then phases of all polynomials.

    Parameters
    ----------
    parts, powers, factors
        As `scip_mpi.features.zernike_basis.terms` gives them.
    scale : float
        What magnitudes are multiplied by.
    """
    if not math.isfinite(moments[0, 0]):
        return
    for k in range(number):
        real = 0.0
        for t in range(parts[k], parts[k + 1]):
            real += factors[t] * moments[powers[t, 0], powers[t, 1]]
        imaginary = 0.0
        for t in range(parts[number + k], parts[number + k + 1]):
            imaginary += factors[t] * moments[powers[t, 0], powers[t, 1]]
        out[k] = math.sqrt(real * real + imaginary * imaginary) * scale
        if real != 0.0 or imaginary != 0.0:
            out[number + k] = math.atan2(real, imaginary)
