"""What is measured of every image in the first pass, in each of its channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, UInt8Array
from scip_mpi.measure import STATISTICS, measure_all

SUMMARY = ("saturated", "background", "focus")


def image_summary(
    batch: ImageBatch,
    raw: ImageBatch,
    foreground: ImageBatch,
    of_channel: Int64Array,
    saturation: FloatArray,
) -> dict[str, FloatArray]:
    """Per image and channel: fraction of saturated pixels, background and focus.

    Parameters
    ----------
    batch, raw : ImageBatch
        Images, corrected and as they were read.
    foreground : ImageBatch
        Planes for each image, not 0 where there are objects.
    of_channel : ndarray of int64, shape (C,)
        Which of them is each channel's.
    saturation : ndarray of float64, shape (C,)
        Value from which a pixel counts as saturated.

    Returns
    -------
    dict of str to ndarray, shape (n, C)
        ``saturated``; ``background``, the mean outside the foreground, NaN where there is nothing
        outside; ``focus``, the root mean square of the differences of neighbouring pixels, which
        blur lowers.
    """
    return named_summary(summary_table(batch, raw, foreground, of_channel, saturation))


def named_summary(table: FloatArray) -> dict[str, FloatArray]:
    """The table of `summary_table` by names."""
    return {name: table[:, :, k].copy() for k, name in enumerate(SUMMARY)}


def summary_table(
    batch: ImageBatch,
    raw: ImageBatch,
    foreground: ImageBatch,
    of_channel: Int64Array,
    saturation: FloatArray,
) -> FloatArray:
    """What `image_summary` gives, in one array of shape (n, C, len(SUMMARY))."""
    out = np.empty((len(batch), len(saturation), len(SUMMARY)))
    if len(batch):
        _summarise(
            batch.pixels, raw.pixels, batch.offsets, batch.shapes, foreground.pixels,
            foreground.offsets, of_channel, saturation, out,
        )  # fmt: skip
    return out


def whole_table(
    batch: ImageBatch,
    masks: UInt8Array,
    saturation: FloatArray,
    summary: bool,
    channels: Sequence[int],
) -> FloatArray:
    """What a device measures of images as they were read and of the masks of a set.

    Parameters
    ----------
    batch : ImageBatch
    masks : ndarray of uint8
    saturation : ndarray of float64, shape (C,)
    summary : bool
        Whether the images are summed up.
    channels : sequence of int
        Channels whose statistics are wanted.

    Returns
    -------
    ndarray of float64, shape (n, C, len(SUMMARY) + len(STATISTICS))
        `SUMMARY`, then `STATISTICS`; NaN where nothing was asked for.
    """
    first = len(SUMMARY)
    out = np.full((len(batch), len(saturation), first + len(STATISTICS)), np.nan)
    if summary:
        out[:, :, :first] = summary_table(
            batch, batch, replace(batch, pixels=masks), np.arange(batch.channels), saturation
        )
    for c in channels:
        out[:, c, first:] = measure_all(batch, batch, masks, c, float(saturation[c]))
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _summarise(
    pixels, raw, offsets, shapes, foreground, planes, of_channel, saturation, out
):  # fmt: skip
    widest = 0
    for i in range(len(shapes)):
        widest = max(widest, shapes[i, 2])
    # Sums of each column, many side by side, are added up at the end.
    squares = np.empty(widest)
    totals = np.empty(widest)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            at = offsets[i] + c * h * w
            plane = pixels[at : at + h * w].reshape(h, w)
            before = raw[at : at + h * w].reshape(h, w)
            plane_at = planes[i] + of_channel[c] * h * w
            covered = foreground[plane_at : plane_at + h * w].reshape(h, w)
            squares[:w] = 0.0
            totals[:w] = 0.0
            full = 0
            inside = 0
            for y in range(h):
                full += _at_least(before[y], saturation[c])
                inside += _set(covered[y])
                _add_outside(plane[y], covered[y], totals[:w])
                if w > 1:
                    _add_squares(plane[y, 1:], plane[y, :-1], squares[: w - 1])
                if y + 1 < h:
                    _add_squares(plane[y + 1], plane[y], squares[:w])
            total = 0.0
            steps = 0.0
            for x in range(w):
                total += totals[x]
                steps += squares[x]
            pairs = h * (w - 1) + (h - 1) * w
            out[i, c, 0] = full / (h * w)
            out[i, c, 1] = total / (h * w - inside)
            out[i, c, 2] = math.sqrt(steps / pairs) if pairs else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _at_least(line, level):
    count = 0
    for x in range(line.size):
        count += line[x] >= level
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _set(line):
    count = 0
    for x in range(line.size):
        count += line[x] != 0
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _add_outside(line, covered, totals):
    for x in range(totals.size):
        totals[x] += 0.0 if covered[x] else np.float64(line[x])


@njit(cache=True, nogil=True, error_model="numpy")
def _add_squares(line, other, squares):
    for x in range(squares.size):
        d = np.float64(line[x]) - np.float64(other[x])
        squares[x] += d * d
