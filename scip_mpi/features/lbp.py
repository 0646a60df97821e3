"""Local binary patterns (family ``lbp``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.mask_pixels import (
    are_numbers,
    inner_places,
    lay_out,
    mask_pixels,
)
from scip_mpi.features.regions import MASKS, MaskWord
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared

NEIGHBOURS = 8
FARTHEST = 64
BINS = NEIGHBOURS + 2


class Settings(NamedTuple):
    """What `select` was told."""

    channels: tuple[int, ...] | None
    mask: MaskWord
    distance: int


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    distance: int = 1,
) -> Family:
    """Local binary patterns with settings of one's own.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``, or each channel's ``own``.
    distance : int
        Rows, columns or both from a pixel to each of its eight neighbours, 1 to 64.

    Raises
    ------
    UserError
        A setting is not one of those that there are.
    """
    pick([mask], MASKS, "mask")
    if not 1 <= distance <= FARTHEST:
        raise UserError(f"distance: a number from 1 to {FARTHEST}, not {distance}")
    settings = Settings(channel_places(channels), mask, distance)
    return Family("lbp", partial(_features, settings), partial(_compute, settings), select=select)


def _features(settings: Settings, channel_names: Sequence[str]) -> list[Feature]:
    found = []
    for c in chosen_channels(settings.channels, len(channel_names)):
        channel = channel_names[c]
        for bright in range(BINS - 1):
            text = f"Share of pixels with {bright} neighbours in a row that are no darker."
            found.append(Feature(f"lbp_uniform_{bright}_{channel}", channel, "1", text))
        text = "Share of pixels whose neighbours change between no darker and darker over twice."
        found.append(Feature(f"lbp_non_uniform_{channel}", channel, "1", text))
    return found


def bins_of_codes() -> NDArray[np.int64]:
    """The bin of each pattern of eight neighbours, a bit for each in the order of a circle."""
    codes = np.arange(1 << NEIGHBOURS)
    bits = codes[:, None] >> np.arange(NEIGHBOURS) & 1
    changes = (bits != np.roll(bits, 1, axis=1)).sum(axis=1)
    return np.where(changes <= 2, bits.sum(axis=1), BINS - 1)


def _compute(
    settings: Settings,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    The rotation-invariant uniform patterns of eight neighbours. A neighbour counts if it is no
    darker than the pixel. Going round, a pattern that changes at most twice is uniform, and told by
    how many count, 0 to 8; the others share a bin. Shares are of the pixels that have all eight
    neighbours in the mask: NaN where no pixel has, or where a pixel of the mask is no number.

    Neighbours are pixels, as in the first definition, not points of a circle between them: nothing
    is interpolated, so that no rounding decides between equal pixels.

    References
    ----------
    Ojala, Pietikainen and Harwood, Pattern Recognition 29(1), 1996 (the neighbours); Ojala,
    Pietikainen and Maenpaa, IEEE Trans. Pattern Analysis and Machine Intelligence 24(7), 2002 (the
    patterns, LBP 8 riu2).
    """
    if not len(batch):
        return
    channels = chosen_channels(settings.channels, batch.channels)
    pixels = mask_pixels(batch, masks, channels, settings.mask, settings.distance, scratch)
    size = int(np.diff(pixels.starts).max())
    _patterns(
        pixels.values, pixels.begins, pixels.places, pixels.bounds, pixels.widths,
        settings.distance, bins_of_codes(),
        scratch.array("plane", size, np.float64), np.zeros(size, np.uint8),
        np.empty(pixels.most + 1, np.int32), out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _patterns(values, begins, places, bounds, widths, distance, bins, plane, flags, inner, out):
    counts = np.zeros(1 << NEIGHBOURS, np.int64)
    for i in range(len(widths)):
        seen = np.int64(-1)
        n = 0
        for j in range(begins.shape[1]):
            first, end = bounds[i, j]
            if first == end:
                continue
            mine = places[first:end]
            if first != seen:
                seen = first
                n = inner_places(mine, widths[i], distance, flags, inner)
            own = values[begins[i, j] : begins[i, j] + end - first]
            if n == 0 or not are_numbers(own):
                continue
            lay_out(own, mine, plane)
            _count_patterns(plane, inner[:n], distance, widths[i], counts)
            for b in range(BINS):
                out[i, j * BINS + b] = 0.0
            for code in range(1 << NEIGHBOURS):
                out[i, j * BINS + bins[code]] += counts[code]
                counts[code] = 0
            for b in range(BINS):
                out[i, j * BINS + b] /= n


@njit(cache=True, nogil=True, error_model="numpy")
def _count_patterns(plane, inner, distance, width, counts):
    down = distance * width
    for k in range(len(inner)):
        place = np.int64(inner[k])
        value = plane[np.uint64(place)]
        code = (
            np.uint64(plane[np.uint64(place - down - distance)] >= value)
            | np.uint64(plane[np.uint64(place - down)] >= value) << np.uint64(1)
            | np.uint64(plane[np.uint64(place - down + distance)] >= value) << np.uint64(2)
            | np.uint64(plane[np.uint64(place + distance)] >= value) << np.uint64(3)
            | np.uint64(plane[np.uint64(place + down + distance)] >= value) << np.uint64(4)
            | np.uint64(plane[np.uint64(place + down)] >= value) << np.uint64(5)
            | np.uint64(plane[np.uint64(place + down - distance)] >= value) << np.uint64(6)
            | np.uint64(plane[np.uint64(place - distance)] >= value) << np.uint64(7)
        )
        counts[code] += 1


FAMILY = select()
measure = FAMILY.measure
