"""The work behind the columns of ``moments``, channel by channel."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, SetMasks
from scip_mpi.features.component import add_hu
from scip_mpi.features.regions import Regions
from scip_mpi.features.runs import find_runs, most_runs
from scip_mpi.features.selection import windows

COLUMNS = 22


def fill(
    batch: ImageBatch, masks: SetMasks, where: Regions, channels: Int64Array, out: FloatArray
) -> None:
    """Fill the columns of some channels, of the objects that the mask set kept."""
    _moments(
        batch.pixels, batch.offsets, batch.shapes, where.bits, where.starts, masks.kept,
        windows(masks.bbox), channels, most_runs(batch.shapes), out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _moments(pixels, offsets, shapes, bits, starts, kept, boxes, channels, capacity, out):
    runs = np.empty((capacity, 3), np.int64)
    central = np.empty((4, 4))
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        h, w = shapes[i, 1], shapes[i, 2]
        n = h * w
        known = np.int64(-1)
        n_runs = 0
        for j in range(len(channels)):
            start = starts[i, channels[j]]
            if start != known:
                known = start
                n_runs = find_runs(bits[start : start + n].reshape(h, w), boxes[i], runs)
            if n_runs == 0:
                continue
            at = offsets[i] + channels[j] * n
            plane = pixels[at : at + n]
            total, cy, cx = _centre(plane, w, runs[:n_runs])
            if not 0.0 < total < np.inf:
                continue
            _central(plane, w, runs[:n_runs], cy, cx, central)
            _columns(central, total, out[i, j * COLUMNS : (j + 1) * COLUMNS])


@njit(cache=True, nogil=True, error_model="numpy")
def _centre(plane, width, runs):
    """Sum of the pixels, and their centre (y, x)."""
    total, sum_y, sum_x = 0.0, 0.0, 0.0
    # From a corner of the mask, not of the crop, so that the place of the mask changes nothing.
    top, left = runs[0, 0], runs[0, 1]
    for r in range(len(runs)):
        of_run, of_run_x = 0.0, 0.0
        for x in range(runs[r, 1], runs[r, 2]):
            value = np.float64(plane[np.uint64(runs[r, 0] * width + x)])
            of_run += value
            of_run_x += value * (x - left)
        total += of_run
        sum_x += of_run_x
        sum_y += of_run * (runs[r, 0] - top)
    return total, top + sum_y / total, left + sum_x / total


@njit(cache=True, nogil=True, error_model="numpy")
def _central(plane, width, runs, cy, cx, out):
    """Sums of the pixels times powers of the distance of their row and column from the centre."""
    out[:] = 0.0
    for r in range(len(runs)):
        s0, s1, s2, s3 = 0.0, 0.0, 0.0, 0.0
        for x in range(runs[r, 1], runs[r, 2]):
            dx = x - cx
            value = np.float64(plane[np.uint64(runs[r, 0] * width + x)])
            first = value * dx
            second = first * dx
            s0 += value
            s1 += first
            s2 += second
            s3 += second * dx
        dy = runs[r, 0] - cy
        power = 1.0
        for p in range(4):
            out[p, 0] += power * s0
            out[p, 1] += power * s1
            out[p, 2] += power * s2
            out[p, 3] += power * s3
            power *= dy


@njit(cache=True, nogil=True, error_model="numpy")
def _columns(central, total, out):
    """Central and normalised moments, and invariants, in the order of the columns."""
    out[0] = total
    out[1], out[2], out[3], out[4] = central[0, 2], central[0, 3], central[1, 1], central[1, 2]
    out[5], out[6], out[7] = central[2, 0], central[2, 1], central[3, 0]
    second = total * total
    third = second * math.sqrt(total)
    out[8], out[9], out[10] = central[0, 2] / second, central[0, 3] / third, central[1, 1] / second
    out[11], out[12] = central[1, 2] / third, central[2, 0] / second
    out[13], out[14] = central[2, 1] / third, central[3, 0] / third
    out[15:] = 0.0
    add_hu(central, total, out[15:])
