"""Differences from neighbouring grey tones, by IBSI's definitions (family ``ngtdm``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family
from scip_mpi.features.grey import (
    LEVELS,
    GreySettings,
    Levels,
    grey_levels,
    grey_settings,
    listed,
)
from scip_mpi.features.regions import MaskWord
from scip_mpi.features.shared import Shared

NEIGHBOURS = 8
# What their sums of differences are multiplied with, so that any mean of up to eight is whole.
COMMON = 840
NAMES = (
    ("coarseness", "1 / the mean over pixels of their level's difference (IBSI QCDE)"),
    ("contrast", "Spread of the levels times the mean difference (IBSI 65HE)"),
    ("busyness", "Difference by the change from level to level (IBSI NQ30)"),
    ("complexity", "Differences of levels, weighted by how often they occur (IBSI HDEZ)"),
    ("strength", "Spread of the levels by the difference (IBSI 1X9X)"),
)


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    levels: Levels = LEVELS,
) -> Family:
    """Differences of grey tones with settings of one's own.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``, or each channel's ``own``.
    levels : int or str
        Number of grey levels, 2 to 256, or ``given``: pixels are levels already, from 1 to 256.

    Raises
    ------
    UserError
        A setting is not one of those that there are.
    """
    settings = grey_settings(channels, mask, levels)
    return Family(
        "ngtdm",
        partial(listed, "ngtdm", NAMES, settings),
        partial(_compute, settings),
        select=select,
    )


def _compute(
    settings: GreySettings,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    Pixels of the mask get grey levels (`scip_mpi.features.grey`). A pixel's difference is that of
    its level from the mean level of those of its eight neighbours that are in the mask; pixels
    without any do not count. With n(i) pixels of level i that count, N in all, p(i) = n(i) / N,
    s(i) the sum of the differences of those of level i, and G levels that occur:

    coarseness
        1 / sum p(i) s(i); NaN where all differences are 0.
    contrast
        sum p(i) p(j) (i - j)^2 / (G (G - 1)) times sum s(i) / N; NaN where only one level occurs.
    busyness
        sum p(i) s(i) / sum |i p(i) - j p(j)|; NaN where the latter is 0, as for a single level.
    complexity
        sum |i - j| (p(i) s(i) + p(j) s(j)) / (p(i) + p(j)), by N.
    strength
        sum (p(i) + p(j)) (i - j)^2 / sum s(i); NaN where all differences are 0.

    Sums are over the levels that occur, or over all pairs i, j of them. Some programs write 0 or
    10^6 where this says NaN: values that no texture has. All are NaN where no pixel counts.

    References
    ----------
    Amadasun and King, "Textural features corresponding to textural properties", IEEE Trans.
    Systems, Man and Cybernetics 19(5), 1989; the definitions are those of IBSI's reference manual,
    arXiv:1612.07003, section 3.10.
    """
    if not len(batch):
        return
    grey = grey_levels(batch, masks, settings, 1, scratch)
    pixels = grey.pixels
    _differences(
        grey.levels, grey.defined, pixels.places, pixels.bounds, pixels.starts, pixels.widths,
        pixels.most, settings.most, out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _differences(levels, defined, places, bounds, starts, widths, capacity, most, out):
    channels = defined.shape[1]
    beside = np.empty(capacity, np.int64)
    share = np.zeros(NEIGHBOURS + 1, np.int64)
    for k in range(1, NEIGHBOURS + 1):
        share[k] = COMMON // k
    counts = np.zeros(most + 1, np.int64)
    sums = np.zeros(most + 1, np.int64)
    tones = np.empty(most)
    p = np.empty(most)
    s = np.empty(most)
    for i in range(len(widths)):
        size = starts[i + 1] - starts[i]
        seen = np.int64(-1)
        for j in range(channels):
            if not defined[i, j]:
                continue
            first, end = bounds[i, j]
            at = starts[i] * channels + j * size
            plane = levels[at : at + size]
            mine = places[first:end]
            if first != seen:
                seen = first
                for k in range(len(mine)):
                    beside[k] = neighbours(plane, np.int64(mine[k]), widths[i])
            for k in range(len(mine)):
                place = np.uint64(mine[k])
                level = np.int64(plane[place])
                total = sum_around(plane, place, np.uint64(widths[i]))
                counts[level] += beside[k] != 0
                sums[level] += abs(level * beside[k] - total) * share[beside[k]]
            occurring = 0
            all_counted = np.int64(0)
            for level in range(1, most + 1):
                if counts[level]:
                    tones[occurring] = level
                    p[occurring] = counts[level]
                    s[occurring] = sums[level] / COMMON
                    all_counted += counts[level]
                    occurring += 1
                    counts[level] = 0
                    sums[level] = 0
            if all_counted == 0:
                continue
            for k in range(occurring):
                p[k] /= all_counted
            five(
                tones[:occurring], p[:occurring], s[:occurring], all_counted,
                out[i, j * len(NAMES) : (j + 1) * len(NAMES)],
            )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def sum_around(plane, place, width):
    """Sum of the levels of the eight neighbours of a place."""
    one = np.uint64(1)
    above = place - width
    below = place + width
    return (
        np.int64(plane[above - one])
        + np.int64(plane[above])
        + np.int64(plane[above + one])
        + np.int64(plane[place - one])
        + np.int64(plane[place + one])
        + np.int64(plane[below - one])
        + np.int64(plane[below])
        + np.int64(plane[below + one])
    )


@njit(cache=True, nogil=True, error_model="numpy")
def neighbours(plane, place, width):
    """How many of the eight neighbours of a place are in the mask."""
    found = np.int64(-1)
    for y in range(-1, 2):
        for x in range(-1, 2):
            found += plane[np.uint64(place + y * width + x)] != 0
    return found


@njit(cache=True, nogil=True, error_model="numpy")
def five(tones, p, s, counted, out):
    """The features, of levels that occur, their shares of pixels, and sums of differences."""
    weighted = 0.0
    total = 0.0
    for k in range(len(tones)):
        weighted += p[k] * s[k]
        total += s[k]
    spread = 0.0
    change = 0.0
    complexity = 0.0
    strength = 0.0
    for k in range(len(tones)):
        for m in range(k):
            gap = tones[k] - tones[m]
            spread += p[k] * p[m] * gap * gap
            change += abs(tones[k] * p[k] - tones[m] * p[m])
            complexity += gap * (p[k] * s[k] + p[m] * s[m]) / (p[k] + p[m])
            strength += (p[k] + p[m]) * gap * gap
    # Each pair of levels once above, twice in the definitions.
    g = np.float64(len(tones))
    out[0] = 1.0 / weighted if weighted > 0.0 else np.nan
    out[1] = 2.0 * spread / (g * (g - 1.0)) * total / counted if g > 1.0 else np.nan
    out[2] = weighted / (2.0 * change) if change > 0.0 else np.nan
    out[3] = 2.0 * complexity / counted
    out[4] = 2.0 * strength / total if total > 0.0 else np.nan


FAMILY = select()
measure = FAMILY.measure
