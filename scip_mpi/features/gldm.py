"""Dependence on neighbouring grey levels, IBSI's NGLDM (family ``gldm``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.emphases import NUMBER, emphases, logarithms
from scip_mpi.features.family import Family
from scip_mpi.features.grey import (
    LEVELS,
    MOST_LEVELS,
    GreySettings,
    Levels,
    grey_levels,
    grey_settings,
    listed,
)
from scip_mpi.features.regions import MaskWord
from scip_mpi.features.shared import Shared

# A pixel and its eight neighbours.
MOST_DEPENDENT = 9
NAMES = (
    ("low_dependence_emphasis", "Mean of 1 / dependence^2 over pixels (IBSI SODN)"),
    ("high_dependence_emphasis", "Mean of dependence^2 over pixels (IBSI IMOQ)"),
    ("low_grey_level_count_emphasis", "Mean of 1 / level^2 over pixels (IBSI TL9H)"),
    ("high_grey_level_count_emphasis", "Mean of level^2 over pixels (IBSI OAE7)"),
    (
        "low_dependence_low_grey_level_emphasis",
        "Mean of 1 / (dependence^2 level^2) over pixels (IBSI EQ3F)",
    ),
    (
        "low_dependence_high_grey_level_emphasis",
        "Mean of level^2 / dependence^2 over pixels (IBSI JA6D)",
    ),
    (
        "high_dependence_low_grey_level_emphasis",
        "Mean of dependence^2 / level^2 over pixels (IBSI NBZI)",
    ),
    (
        "high_dependence_high_grey_level_emphasis",
        "Mean of dependence^2 level^2 over pixels (IBSI 9QMG)",
    ),
    (
        "grey_level_non_uniformity",
        "Sum over levels of the squared number of pixels, by the number of pixels (IBSI FP8K)",
    ),
    (
        "normalised_grey_level_non_uniformity",
        "Sum over levels of the squared share of pixels (IBSI 5SPA)",
    ),
    (
        "dependence_count_non_uniformity",
        "Sum over dependences of the squared number of pixels, by the number of pixels (IBSI Z87G)",
    ),
    (
        "normalised_dependence_count_non_uniformity",
        "Sum over dependences of the squared share of pixels (IBSI OKJI)",
    ),
    ("dependence_count_percentage", "Dependences by pixels: 1 by definition (IBSI 6XV8)"),
    ("grey_level_variance", "Variance of the level over pixels (IBSI 1PFV)"),
    ("dependence_count_variance", "Variance of the dependence over pixels (IBSI DNX2)"),
    (
        "dependence_count_entropy",
        "Entropy, in bits, of level and dependence over pixels (IBSI FCBV)",
    ),
    (
        "dependence_count_energy",
        "Sum of the squared shares of pixels by level and dependence (IBSI CAS9)",
    ),
)


class Settings(NamedTuple):
    """What `select` was told."""

    grey: GreySettings
    alpha: int


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    levels: Levels = LEVELS,
    alpha: int = 0,
) -> Family:
    """Dependences with settings of one's own.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``, or each channel's ``own``.
    levels : int or str
        Number of grey levels, 2 to 256, or ``given``: pixels are levels already, from 1 to 256.
    alpha : int
        Levels that differ by no more than this depend on each other (IBSI's coarseness).

    Raises
    ------
    UserError
        A setting is not one of those that there are.
    """
    if not 0 <= alpha < MOST_LEVELS:
        raise UserError(f"alpha: a number from 0 to {MOST_LEVELS - 1}, not {alpha}")
    settings = Settings(grey_settings(channels, mask, levels), alpha)
    return Family(
        "gldm",
        partial(listed, "gldm", NAMES, settings.grey),
        partial(_compute, settings),
        select=select,
    )


def _compute(
    settings: Settings,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    Pixels of the mask get grey levels (`scip_mpi.features.grey`). The dependence of a pixel is the
    number of pixels of the mask among it and its eight neighbours whose level is the same (or
    differs by at most ``alpha``): 1 to 9. IBSI calls the matrix of levels and dependences NGLDM,
    others GLDM. Always defined.

    References
    ----------
    Sun and Wee, "Neighboring gray level dependence matrix for texture classification", Computer
    Vision, Graphics, and Image Processing 23(3), 1983; the definitions are those of IBSI's
    reference manual, arXiv:1612.07003, section 3.11.
    """
    if not len(batch):
        return
    grey = grey_levels(batch, masks, settings.grey, 1, scratch)
    pixels = grey.pixels
    _dependences(
        grey.levels, grey.defined, pixels.places, pixels.bounds, pixels.starts, pixels.widths,
        settings.grey.most, settings.alpha, logarithms(pixels.most), out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _dependences(levels, defined, places, bounds, starts, widths, most, alpha, logs, out):
    channels = defined.shape[1]
    matrix = np.zeros((most + 1, MOST_DEPENDENT + 1), np.uint32)
    sizes = np.arange(MOST_DEPENDENT + 1)
    rows = np.empty(most + 1, np.int64)
    columns = np.empty(MOST_DEPENDENT + 1, np.int64)
    values = np.empty(NUMBER)
    for i in range(len(widths)):
        size = starts[i + 1] - starts[i]
        for j in range(channels):
            if not defined[i, j]:
                continue
            at = starts[i] * channels + j * size
            plane = levels[at : at + size]
            mine = places[bounds[i, j, 0] : bounds[i, j, 1]]
            n = len(mine)
            _count_dependences(plane, mine, widths[i], alpha, matrix)
            emphases(matrix, sizes, MOST_DEPENDENT, n, logs, rows, columns, values)
            squares = np.int64(0)
            for level in range(1, most + 1):
                for k in range(1, MOST_DEPENDENT + 1):
                    squares += np.int64(matrix[level, k]) * np.int64(matrix[level, k])
                    matrix[level, k] = 0
            column = j * len(NAMES)
            for f in range(NUMBER):
                out[i, column + f] = values[f]
            out[i, column + NUMBER] = squares / (np.float64(n) * n)


@njit(cache=True, nogil=True, error_model="numpy")
def _count_dependences(plane, places, width, alpha, matrix):
    """Count pixels by level and dependence."""
    one = np.uint64(1)
    for k in range(len(places)):
        place = np.uint64(places[k])
        level = np.int64(plane[place])
        # From the least level that counts on, one comparison tells: those below wrap around, and 0
        # is outside the mask.
        least = np.uint64(max(level - alpha, 1))
        span = np.uint64(level + alpha) - least
        above = place - np.uint64(width)
        below = place + np.uint64(width)
        alike = (
            one
            + within(plane[above - one], least, span)
            + within(plane[above], least, span)
            + within(plane[above + one], least, span)
            + within(plane[place - one], least, span)
            + within(plane[place + one], least, span)
            + within(plane[below - one], least, span)
            + within(plane[below], least, span)
            + within(plane[below + one], least, span)
        )
        matrix[np.uint64(level), alike] += np.uint32(1)


@njit(cache=True, nogil=True, error_model="numpy")
def within(level, least, span):
    """Whether a level is one of some that follow each other, as a number."""
    return np.uint64(np.uint64(level) - least <= span)


FAMILY = select()
measure = FAMILY.measure
