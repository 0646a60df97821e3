"""Grey levels of the pixels of masks: what the texture matrices are counted from.

A fixed number of levels (IBSI K15C, "fixed bin number"): with the least pixel of the mask a, the
largest b and N levels, a pixel v has the level 1 + floor(N (v - a) / (b - a)), and b has the level
N. A mask of equal pixels has level 1 throughout. Or the pixels are levels already (``given``).

The quotient is taken in float64, as N (v - a) divided by b - a. For whole numbers of at most 32
bits this is the exact integer result: the product is below 2^53, hence exact; the true quotient, if
it is no whole number, is at least 1 / (b - a) below the next one, which is more than half a unit in
the last place of a number of at most N (N (b - a) < 2^53), so that rounding cannot reach it.
Multiplying all pixels by a positive whole number, or adding one, therefore changes no level.

References
----------
Zwanenburg et al., "The Image Biomarker Standardisation Initiative", Radiology 295, 2020; its
reference manual, arXiv:1612.07003.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, ImageBatch, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.family import Feature
from scip_mpi.features.mask_pixels import MaskPixels, are_numbers, ends_of, mask_pixels
from scip_mpi.features.regions import MASKS, MaskWord
from scip_mpi.features.selection import channel_places, chosen_channels, pick

# IBSI's own number where it fixes one (configurations D and E of its reference manual).
LEVELS = 32
MOST_LEVELS = 256
if TYPE_CHECKING:
    Levels = int | str
else:
    Levels = int | Literal["given"]


class GreySettings(NamedTuple):
    """What all families of grey levels are told.

    Attributes
    ----------
    channels : tuple of int, optional
        The channels to measure; all by default.
    mask : str
        Where: ``combined`` or ``own``.
    levels : int
        Number of levels; 0 where pixels are levels already.
    """

    channels: tuple[int, ...] | None
    mask: MaskWord
    levels: int

    @property
    def most(self) -> int:
        """The largest level that can be."""
        return self.levels or MOST_LEVELS


class Grey(NamedTuple):
    """Grey levels of a batch.

    Attributes
    ----------
    pixels : MaskPixels
    levels : ndarray of uint16
        Padded planes, a channel after the other of object after object: 1 to the number of levels
        within the mask, 0 elsewhere.
    defined : ndarray of bool, shape (m, k)
        Whether an object's channel has levels: its mask is not empty, and its pixels are numbers
        (or whole numbers from 1 to 256, where they are levels already).
    """

    pixels: MaskPixels
    levels: NDArray[np.uint16]
    defined: BoolArray


def grey_settings(
    channels: Sequence[int | str] | None, mask: MaskWord, levels: Levels
) -> GreySettings:
    """Settings as given, checked.

    Raises
    ------
    UserError
        A setting is not one of those that there are.
    """
    pick([mask], MASKS, "mask")
    if levels == "given":
        number = 0
    elif isinstance(levels, int) and 2 <= levels <= MOST_LEVELS:
        number = levels
    else:
        raise UserError(f"levels: a number from 2 to {MOST_LEVELS}, or given, not {levels!r}")
    return GreySettings(channel_places(channels), mask, number)


def named(
    settings: GreySettings,
    channel_names: Sequence[str],
    of_channel: Callable[[str], list[Feature]],
) -> list[Feature]:
    """The columns of the channels asked for, a channel after the other."""
    chosen = chosen_channels(settings.channels, len(channel_names))
    return [feature for c in chosen for feature in of_channel(channel_names[c])]


def listed(
    family: str,
    names: Sequence[tuple[str, str]],
    settings: GreySettings,
    channel_names: Sequence[str],
) -> list[Feature]:
    """The columns of a family that has the same ones for each channel: names and definitions."""

    def of_channel(channel: str) -> list[Feature]:
        return [Feature(f"{family}_{n}_{channel}", channel, "1", f"{text}.") for n, text in names]

    return named(settings, channel_names, of_channel)


def grey_levels(
    batch: ImageBatch, masks: SetMasks, settings: GreySettings, margin: int, scratch: Scratch
) -> Grey:
    """Levels of all pixels of the masks of a batch.

    Parameters
    ----------
    margin : int
        How far from a pixel its neighbours are looked for.
    """
    channels = chosen_channels(settings.channels, batch.channels)
    pixels = mask_pixels(batch, masks, channels, settings.mask, margin, scratch)
    levels = scratch.array("grey_levels", int(pixels.starts[-1]) * len(channels), np.uint16)
    defined = np.zeros((len(batch), len(channels)), bool)
    _quantise(
        pixels.values, pixels.begins, pixels.places, pixels.bounds, pixels.starts,
        settings.levels, levels, defined,
    )  # fmt: skip
    return Grey(pixels, levels, defined)


@njit(cache=True, nogil=True, error_model="numpy")
def _quantise(values, begins, places, bounds, starts, number, levels, defined):
    channels = begins.shape[1]
    for i in range(len(begins)):
        size = starts[i + 1] - starts[i]
        for j in range(channels):
            mine = places[bounds[i, j, 0] : bounds[i, j, 1]]
            n = len(mine)
            if n == 0:
                continue
            own = values[begins[i, j] : begins[i, j] + n]
            strange = not are_numbers(own)
            low, high = ends_of(own)
            if number == 0:
                strange |= not (low >= 1.0 and high <= MOST_LEVELS)
                for k in range(n):
                    strange |= own[k] != math.floor(own[k])
            else:
                strange |= not (number * (high - low) < np.inf)
            if strange:
                continue
            defined[i, j] = True
            at = starts[i] * channels + j * size
            plane = levels[at : at + size]
            for k in range(size):
                plane[k] = 0
            if number == 0:
                for k in range(n):
                    plane[np.uint64(mine[k])] = np.uint16(own[k])
            elif low == high:
                for k in range(n):
                    plane[np.uint64(mine[k])] = 1
            else:
                span = high - low
                for k in range(n):
                    step = np.int32(number * (own[k] - low) / span)
                    plane[np.uint64(mine[k])] = np.uint16(min(step, number - 1) + 1)
