"""How sharp a cell is (family ``focus``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.mask_pixels import (
    are_numbers,
    inner_places,
    lay_out,
    mask_pixels,
    stand_out,
    tight_box,
)
from scip_mpi.features.power_spectrum import make_tables, ring_powers, side_of, slope_of
from scip_mpi.features.regions import MASKS, MaskWord
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared

NAMES = (
    ("gradient", "intensity^2", "Mean squared Sobel gradient (Tenengrad)."),
    ("laplacian", "intensity^2", "Variance of the Laplacian."),
    ("power_slope", "1", "Slope of the power spectrum, log power against log frequency."),
)


class Settings(NamedTuple):
    """What `select` was told."""

    channels: tuple[int, ...] | None
    mask: MaskWord


def select(*, channels: Sequence[int | str] | None = None, mask: MaskWord = "combined") -> Family:
    """Measures of focus with settings of one's own.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``, or each channel's ``own``.

    Raises
    ------
    UserError
        A setting is not one of those that there are.
    """
    pick([mask], MASKS, "mask")
    settings = Settings(channel_places(channels), mask)
    return Family("focus", partial(_features, settings), partial(_compute, settings), select=select)


def _features(settings: Settings, channel_names: Sequence[str]) -> list[Feature]:
    return [
        Feature(f"focus_{name}_{channel_names[c]}", channel_names[c], unit, text)
        for c in chosen_channels(settings.channels, len(channel_names))
        for name, unit, text in NAMES
    ]


def _compute(
    settings: Settings,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    gradient
        Mean of the squared Sobel gradient over the pixels that have all eight neighbours in the
        mask. The two filters are (1 2 1) by (-1 0 1), divided by 8 (a slope of 1 has gradient 1).
    laplacian
        Variance, over the same pixels, of the four nearest neighbours' sum less four times the
        pixel.
    power_slope
        The mask's pixels, their mean subtracted, stand in a square of 0 whose side is the least
        power of two that holds the mask's bounding box. The power of its Fourier transform is
        averaged over all frequencies of the same whole distance from 0, 1 to half the side; the
        slope is that of the least-squares line through log power against log frequency. It is
        negative, and less so for a sharper image. Powers of less than 1e-24 of the largest, which
        rounding leaves of 0, do not count.

    NaN: the first two where no pixel has all its neighbours; the slope of equal pixels, or where
    fewer than two powers are left; all where a pixel of the mask is no number.

    References
    ----------
    Pertuz, Puig and Garcia, "Analysis of focus measure operators for shape-from-focus", Pattern
    Recognition 46(5), 2013 (GRA6 and LAP4); Bray et al., "Workflow and metrics for image quality
    control in large-scale high-content screens", J. Biomolecular Screening 17(2), 2012 (the slope,
    of whole images).
    """
    if not len(batch):
        return
    channels = chosen_channels(settings.channels, batch.channels)
    pixels = mask_pixels(batch, masks, channels, settings.mask, 1, scratch)
    size = int(np.diff(pixels.starts).max())
    side = side_of(int((masks.bbox[:, 2:] - masks.bbox[:, :2]).max()))
    half = side // 2
    _focus(
        pixels.values, pixels.begins, pixels.sources, pixels.places, pixels.bounds, pixels.widths,
        batch.shapes,
        scratch.array("plane", size, np.float64), np.zeros(size, np.uint8),
        np.empty(pixels.most + 1, np.int32),
        scratch.array("square", side * side, np.float64),
        scratch.array("spectrum", 4 * side * (half + 1), np.float64)[: 4 * side * (half + 1)],
        np.empty((2, half)), np.empty(side, np.int64), np.empty(side * (half + 1), np.int32), out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _focus(
    values, begins, sources, places, bounds, widths, shapes, plane, flags, inner, square, work,
    turns, swaps, rings, out,
):  # fmt: skip
    held = 0
    powers = np.empty(len(swaps) // 2 + 1)
    counts = np.empty(len(swaps) // 2 + 1, np.int64)
    spectra = work.reshape(4, -1)
    for i in range(len(shapes)):
        seen = np.int64(-1)
        n = 0
        box = (np.int64(0), np.int64(0), np.int64(0), np.int64(0))
        for j in range(begins.shape[1]):
            first, end = bounds[i, j]
            if first == end:
                continue
            listed = sources[first:end]
            mine = places[first:end]
            if first != seen:
                seen = first
                n = inner_places(mine, widths[i], 1, flags, inner)
                box = tight_box(listed, shapes[i, 2])
            own = values[begins[i, j] : begins[i, j] + end - first]
            if not are_numbers(own):
                continue
            if n:
                lay_out(own, mine, plane)
                out[i, j * 3], out[i, j * 3 + 1] = of_neighbours(plane, inner[:n], widths[i])
            side = side_of(max(box[2], box[3]))
            if side != held:
                held = side
                make_tables(side, turns[0], turns[1], swaps, rings)
            if stand_out(own, listed, shapes[i, 2], box, side, square[: side * side]):
                ring_powers(square, side, turns[0], turns[1], swaps, rings, spectra, powers, counts)
                out[i, j * 3 + 2] = slope_of(powers, side // 2)


@njit(cache=True, nogil=True, error_model="numpy")
def of_neighbours(plane, inner, width):
    """Mean squared Sobel gradient, and variance of the Laplacian, over some places."""
    gradient = 0.0
    total = 0.0
    for k in range(len(inner)):
        place = np.int64(inner[k])
        above = plane[np.uint64(place - width)]
        below = plane[np.uint64(place + width)]
        before = plane[np.uint64(place - 1)]
        after = plane[np.uint64(place + 1)]
        upper_left = plane[np.uint64(place - width - 1)]
        upper_right = plane[np.uint64(place - width + 1)]
        lower_left = plane[np.uint64(place + width - 1)]
        lower_right = plane[np.uint64(place + width + 1)]
        down = (lower_left - upper_left) + 2.0 * (below - above) + (lower_right - upper_right)
        across = (upper_right - upper_left) + 2.0 * (after - before) + (lower_right - lower_left)
        gradient += down * down + across * across
        total += above + below + before + after - 4.0 * plane[np.uint64(place)]
    mean = total / len(inner)
    squares = 0.0
    for k in range(len(inner)):
        place = np.int64(inner[k])
        value = (
            plane[np.uint64(place - width)] + plane[np.uint64(place + width)]
            + plane[np.uint64(place - 1)] + plane[np.uint64(place + 1)]
            - 4.0 * plane[np.uint64(place)]
        )  # fmt: skip
        squares += (value - mean) * (value - mean)
    return gradient / 64.0 / len(inner), squares / len(inner)


FAMILY = select()
measure = FAMILY.measure
