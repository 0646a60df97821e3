"""Responses to Gabor filters (family ``gabor``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.angles import ANGLES, MERGED, Statistic, in_words, over_angles, statistics_of
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.mask_pixels import (
    are_numbers,
    mask_pixels,
    stand_out,
    tight_box,
)
from scip_mpi.features.regions import MASKS, MaskWord
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared

SHORTEST, LONGEST = 2, 64
# Width of the envelope by wavelength, for a bandwidth of one octave.
WIDTH = math.sqrt(math.log(2.0) / 2.0) / math.pi * 3.0
# Where the envelope ends, in such widths.
REACH = 3.0
# The Gaussian alone, cosine and sine of the full frequency, and of that at 45 degrees.
PARTS = 5


class Settings(NamedTuple):
    """What `select` was told."""

    channels: tuple[int, ...] | None
    mask: MaskWord
    wavelengths: tuple[int, ...]
    statistics: Int64Array


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    wavelengths: Sequence[int] = (4, 8),
    statistics: Sequence[Statistic] = ("mean", "range"),
) -> Family:
    """Gabor filters with settings of one's own.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``, or each channel's ``own``.
    wavelengths : sequence of int
        In pixels, 2 to 64.
    statistics : sequence of str
        ``mean`` and ``range`` over the angles, or single angles, in which the waves run: ``0deg``
        (along rows), ``45deg`` (to the upper right), ``90deg``, ``135deg``.

    Raises
    ------
    UserError
        A setting is not one of those that there are.
    """
    pick([mask], MASKS, "mask")
    waves = sorted(set(wavelengths))
    if not waves or waves[0] < SHORTEST or waves[-1] > LONGEST:
        raise UserError(
            f"wavelengths: numbers from {SHORTEST} to {LONGEST}, not {list(wavelengths)}"
        )
    over = statistics_of(statistics)
    if MERGED in over:
        raise UserError("statistics: responses to filters are not merged; ask for their mean")
    settings = Settings(channel_places(channels), mask, tuple(waves), over)
    return Family("gabor", partial(_features, settings), partial(_compute, settings), select=select)


def _features(settings: Settings, channel_names: Sequence[str]) -> list[Feature]:
    found = []
    for c in chosen_channels(settings.channels, len(channel_names)):
        channel = channel_names[c]
        for wave in settings.wavelengths:
            for s in settings.statistics:
                word, meaning = in_words(int(s))
                text = (
                    f"Mean magnitude of the response to a Gabor filter of wavelength {wave} "
                    f"pixels, {meaning}."
                )
                name = f"gabor_{word}_w{wave}_{channel}"
                found.append(Feature(name, channel, "intensity", text))
    return found


def _compute(
    settings: Settings,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    The pixels of the mask, their mean subtracted, on a ground of 0, are convolved with complex
    Gabor filters: a wave exp(2 pi i r / wavelength) along one of four directions, under a round
    Gaussian of volume 1 that makes the bandwidth one octave (its standard deviation is 0.56
    wavelengths) and is cut off three standard deviations away along rows and columns. The value is
    the mean magnitude over the mask's pixels. NaN where a pixel of the mask is no number.

    References
    ----------
    Daugman, "Uncertainty relation for resolution in space, spatial frequency, and orientation
    optimized by two-dimensional visual cortical filters", J. Optical Society of America A 2(7),
    1985; Petkov and Kruizinga, Biological Cybernetics 76, 1997 (the bandwidth).
    """
    if not len(batch):
        return
    channels = chosen_channels(settings.channels, batch.channels)
    pixels = mask_pixels(batch, masks, channels, settings.mask, 0, scratch)
    size = max(int(np.diff(pixels.starts).max()), 1)
    reaches = np.array([reach_of(wave) for wave in settings.wavelengths], np.int64)
    taps = np.zeros((len(reaches), PARTS, 2 * int(reaches.max()) + 1))
    for w, wave in enumerate(settings.wavelengths):
        taps[w, :, : 2 * reaches[w] + 1] = parts_of(wave)
    _responses(
        pixels.values, pixels.begins, pixels.sources, pixels.bounds, batch.shapes, reaches, taps,
        settings.statistics,
        scratch.array("gabor", 12 * size, np.float64)[: 12 * size], out,
    )  # fmt: skip


def reach_of(wave: int) -> int:
    """How many pixels a filter reaches to each side."""
    return math.ceil(REACH * WIDTH * wave)


def parts_of(wave: int) -> FloatArray:
    """What filters are made of along rows and columns, shape (5, 2 * reach + 1)."""
    at = np.arange(-reach_of(wave), reach_of(wave) + 1.0)
    deviation = WIDTH * wave
    envelope = np.exp(-0.5 * (at / deviation) ** 2) / (deviation * math.sqrt(2.0 * math.pi))
    full = 2.0 * math.pi / wave * at
    aslant = full * math.sqrt(0.5)
    return np.stack([
        envelope, envelope * np.cos(full), envelope * np.sin(full), envelope * np.cos(aslant),
        envelope * np.sin(aslant),
    ])  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _responses(values, begins, sources, bounds, shapes, reaches, taps, statistics, work, out):
    room = work.reshape(12, -1)
    cell, smooth, even, odd = room[0], room[1], room[2], room[3]
    slant_even, slant_odd = room[4], room[5]
    first, second, third, fourth = room[6], room[7], room[8], room[9]
    at = np.empty((ANGLES + 1, 1))
    at[:] = np.nan
    found = np.empty(len(statistics))
    for i in range(len(shapes)):
        for j in range(begins.shape[1]):
            listed = sources[bounds[i, j, 0] : bounds[i, j, 1]]
            n = len(listed)
            if n == 0:
                continue
            own = values[begins[i, j] : begins[i, j] + n]
            if not are_numbers(own):
                continue
            box = tight_box(listed, shapes[i, 2])
            rows, columns = box[2], box[3]
            size = rows * columns
            uneven = stand_out(own, listed, shapes[i, 2], box, columns, cell[:size])
            for w in range(len(reaches)):
                reach = reaches[w]
                part = taps[w]
                at[:ANGLES, 0] = 0.0
                if uneven:
                    along_rows(cell, rows, columns, part[0], reach, smooth)
                    along_rows(cell, rows, columns, part[1], reach, even)
                    along_rows(cell, rows, columns, part[2], reach, odd)
                    along_rows(cell, rows, columns, part[3], reach, slant_even)
                    along_rows(cell, rows, columns, part[4], reach, slant_odd)
                    along_columns(even, rows, columns, part[0], reach, first)
                    along_columns(odd, rows, columns, part[0], reach, second)
                    at[0, 0] = magnitude(first, second, listed, shapes[i, 2], box)
                    along_columns(smooth, rows, columns, part[1], reach, first)
                    along_columns(smooth, rows, columns, part[2], reach, second)
                    at[2, 0] = magnitude(first, second, listed, shapes[i, 2], box)
                    along_columns(slant_even, rows, columns, part[3], reach, first)
                    along_columns(slant_odd, rows, columns, part[4], reach, second)
                    along_columns(slant_odd, rows, columns, part[3], reach, third)
                    along_columns(slant_even, rows, columns, part[4], reach, fourth)
                    for k in range(size):
                        a, b, c, d = first[k], second[k], third[k], fourth[k]
                        # The product of the waves along rows and columns, and of one of them with
                        # the other's mirror image.
                        first[k] = a + b
                        second[k] = c - d
                        third[k] = a - b
                        fourth[k] = c + d
                    at[1, 0] = magnitude(first, second, listed, shapes[i, 2], box)
                    at[3, 0] = magnitude(third, fourth, listed, shapes[i, 2], box)
                over_angles(at, statistics, found)
                for s in range(len(statistics)):
                    out[i, (j * len(reaches) + w) * len(statistics) + s] = found[s]


@njit(cache=True, nogil=True, error_model="numpy")
def along_rows(plane, rows, columns, taps, reach, out):
    """Correlate each row of a plane with some taps; outside it is 0."""
    for k in range(rows * columns):
        out[k] = 0.0
    for y in range(rows):
        at = y * columns
        for t in range(-min(reach, columns - 1), min(reach, columns - 1) + 1):
            tap = taps[t + reach]
            for x in range(np.uint64(max(0, -t) + at), np.uint64(min(columns, columns - t) + at)):
                out[x] += tap * plane[x + np.uint64(t)]


@njit(cache=True, nogil=True, error_model="numpy")
def along_columns(plane, rows, columns, taps, reach, out):
    """Correlate each column of a plane with some taps; outside it is 0."""
    for k in range(rows * columns):
        out[k] = 0.0
    for y in range(rows):
        at = np.uint64(y * columns)
        for t in range(max(-reach, -y), min(reach, rows - 1 - y) + 1):
            tap = taps[t + reach]
            other = np.uint64((y + t) * columns)
            for x in range(np.uint64(columns)):
                out[at + x] += tap * plane[other + x]


@njit(cache=True, nogil=True, error_model="numpy")
def magnitude(real, imaginary, sources, width, box):
    """Mean magnitude of a complex plane over a mask."""
    total = 0.0
    for k in range(len(sources)):
        y = np.int64(sources[k]) // width - box[0]
        x = np.int64(sources[k]) % width - box[1]
        at = np.uint64(y * box[3] + x)
        total += math.sqrt(real[at] * real[at] + imaginary[at] * imaginary[at])
    return total / len(sources)


FAMILY = select()
measure = FAMILY.measure
