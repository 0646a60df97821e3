"""Responses to Gabor filters (family ``gabor``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.angles import MERGED, Statistic, in_words, statistics_of
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.gabor_kernel import BUFFERS, PARTS, fill
from scip_mpi.features.mask_pixels import mask_pixels
from scip_mpi.features.regions import MASKS, MaskWord
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared

SHORTEST, LONGEST = 2, 64
# Width of the envelope by wavelength, for a bandwidth of one octave.
WIDTH = math.sqrt(math.log(2.0) / 2.0) / math.pi * 3.0
# Where the envelope ends, in such widths.
REACH = 3.0


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
    reaches = np.array([reach_of(wave) for wave in settings.wavelengths], np.int64)
    pad = int(reaches.max()) + 1
    taps = np.zeros((len(reaches), PARTS, pad + 1))
    for w, wave in enumerate(settings.wavelengths):
        taps[w, :, : reaches[w] + 1] = parts_of(wave)
    sides = (masks.bbox[:, 2:] - masks.bbox[:, :2]).max(axis=0)
    size = int((sides[0] + 2 * pad) * (sides[1] + pad))
    work = scratch.array("gabor", BUFFERS * size, np.float64)[: BUFFERS * size].reshape(BUFFERS, -1)
    fill(
        pixels.values, pixels.begins, pixels.sources, pixels.bounds, batch.shapes, reaches, taps,
        settings.statistics, work, out,
    )  # fmt: skip


def reach_of(wave: int) -> int:
    """How many pixels a filter reaches to each side."""
    return math.ceil(REACH * WIDTH * wave)


def parts_of(wave: int) -> FloatArray:
    """What filters are made of along rows and columns, shape (5, reach + 1), from the middle on."""
    at = np.arange(reach_of(wave) + 1.0)
    deviation = WIDTH * wave
    envelope = np.exp(-0.5 * (at / deviation) ** 2) / (deviation * math.sqrt(2.0 * math.pi))
    full = 2.0 * math.pi / wave * at
    aslant = full * math.sqrt(0.5)
    return np.stack([
        envelope, envelope * np.cos(full), envelope * np.sin(full), envelope * np.cos(aslant),
        envelope * np.sin(aslant),
    ])  # fmt: skip


FAMILY = select()
measure = FAMILY.measure
