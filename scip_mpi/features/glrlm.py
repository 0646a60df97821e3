"""Run lengths of grey levels, by IBSI's definitions (family ``glrlm``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.features.angles import (
    ANGLES,
    MERGED,
    Statistic,
    back_steps,
    in_words,
    over_angles,
    statistics_of,
)
from scip_mpi.features.emphases import NUMBER, emphases, logarithms
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.grey import (
    LEVELS,
    GreySettings,
    Levels,
    grey_levels,
    grey_settings,
    named,
)
from scip_mpi.features.regions import MaskWord
from scip_mpi.features.shared import Shared

NAMES = (
    ("short_runs_emphasis", "Mean of 1 / length^2 over runs (IBSI 22OV)"),
    ("long_runs_emphasis", "Mean of length^2 over runs (IBSI W4KF)"),
    ("low_grey_level_run_emphasis", "Mean of 1 / level^2 over runs (IBSI V3SW)"),
    ("high_grey_level_run_emphasis", "Mean of level^2 over runs (IBSI G3QZ)"),
    (
        "short_run_low_grey_level_emphasis",
        "Mean of 1 / (length^2 level^2) over runs (IBSI HTZT)",
    ),
    ("short_run_high_grey_level_emphasis", "Mean of level^2 / length^2 over runs (IBSI GD3A)"),
    ("long_run_low_grey_level_emphasis", "Mean of length^2 / level^2 over runs (IBSI IVPO)"),
    ("long_run_high_grey_level_emphasis", "Mean of length^2 level^2 over runs (IBSI 3KUM)"),
    (
        "grey_level_non_uniformity",
        "Sum over levels of the squared number of runs, by the number of runs (IBSI R5YN)",
    ),
    (
        "normalised_grey_level_non_uniformity",
        "Sum over levels of the squared share of runs (IBSI OVBL)",
    ),
    (
        "run_length_non_uniformity",
        "Sum over lengths of the squared number of runs, by the number of runs (IBSI W92Y)",
    ),
    (
        "normalised_run_length_non_uniformity",
        "Sum over lengths of the squared share of runs (IBSI IC23)",
    ),
    ("run_percentage", "Runs by pixels, a share (IBSI 9ZK5)"),
    ("grey_level_variance", "Variance of the level over runs (IBSI 8CE5)"),
    ("run_length_variance", "Variance of the length over runs (IBSI SXLW)"),
    ("run_entropy", "Entropy, in bits, of level and length over runs (IBSI HJ9O)"),
)


class Settings(NamedTuple):
    """What `select` was told."""

    grey: GreySettings
    statistics: Int64Array


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    levels: Levels = LEVELS,
    statistics: Sequence[Statistic] = ("mean",),
) -> Family:
    """Run lengths with settings of one's own.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``, or each channel's ``own``.
    levels : int or str
        Number of grey levels, 2 to 256, or ``given``: pixels are levels already, from 1 to 256.
    statistics : sequence of str
        ``mean`` and ``range`` over the angles (IBSI's 2D average), ``merged``: of the matrices of
        all angles added up (IBSI's 2D merged), or single angles: ``0deg``, ``45deg``, ``90deg``,
        ``135deg``.

    Raises
    ------
    UserError
        A setting is not one of those that there are.
    """
    settings = Settings(grey_settings(channels, mask, levels), statistics_of(statistics))
    return Family("glrlm", partial(_features, settings), partial(_compute, settings), select=select)


def _features(settings: Settings, channel_names: Sequence[str]) -> list[Feature]:
    return named(settings.grey, channel_names, partial(_of_channel, settings))


def _of_channel(settings: Settings, channel: str) -> list[Feature]:
    found = []
    for name, text in NAMES:
        for s in settings.statistics:
            word, meaning = in_words(int(s))
            column = f"glrlm_{name}_{word}_{channel}"
            found.append(Feature(column, channel, "1", f"{text}, {meaning}."))
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

    Pixels of the mask get grey levels (`scip_mpi.features.grey`). A run is as many pixels of one
    level as follow each other at an angle; pixels outside the mask end it. Always defined: a mask
    that is not empty has a run at every angle.

    References
    ----------
    Galloway, "Texture analysis using gray level run lengths", Computer Graphics and Image
    Processing 4(2), 1975; the definitions are those of IBSI's reference manual, arXiv:1612.07003,
    section 3.7.
    """
    if not len(batch):
        return
    grey = grey_levels(batch, masks, settings.grey, 1, scratch)
    pixels = grey.pixels
    size = int(np.diff(pixels.starts).max())
    longest = int(batch.shapes[:, 1:].max())
    single = bool((settings.statistics != MERGED).any())
    merged = bool((settings.statistics == MERGED).any())
    _run_lengths(
        grey.levels, grey.defined, pixels.places, pixels.bounds, pixels.starts, pixels.widths,
        settings.grey.most, longest, settings.statistics, single, merged,
        logarithms(pixels.most * (ANGLES if merged else 1)),
        scratch.array("runs_up_to", size, np.uint32), out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _run_lengths(
    levels, defined, places, bounds, starts, widths, most, longest, statistics, single, merged,
    logs, upto, out,
):  # fmt: skip
    channels = defined.shape[1]
    back = np.empty(ANGLES, np.int64)
    matrices = np.zeros((ANGLES + 1, most + 1, longest + 1), np.uint32)
    sizes = np.arange(longest + 1)
    rows = np.empty(most + 1, np.int64)
    columns = np.empty(longest + 1, np.int64)
    last = np.zeros(ANGLES + 1, np.int64)
    values = np.empty((ANGLES + 1, NUMBER))
    found = np.empty(NUMBER * len(statistics))
    for i in range(len(widths)):
        size = starts[i + 1] - starts[i]
        back_steps(1, widths[i], back)
        for j in range(channels):
            if not defined[i, j]:
                continue
            at = starts[i] * channels + j * size
            plane = levels[at : at + size]
            mine = places[bounds[i, j, 0] : bounds[i, j, 1]]
            n = len(mine)
            last[ANGLES] = 0
            for g in range(ANGLES):
                last[g] = _count_runs(plane, mine, back[g], upto, matrices[g])
                last[ANGLES] = max(last[ANGLES], last[g])
                if single:
                    emphases(matrices[g], sizes, last[g], n, logs, rows, columns, values[g])
            if merged:
                for g in range(ANGLES):
                    for level in range(1, most + 1):
                        for length in range(1, last[g] + 1):
                            matrices[ANGLES, level, length] += matrices[g, level, length]
                emphases(
                    matrices[ANGLES], sizes, last[ANGLES], ANGLES * n, logs, rows, columns,
                    values[ANGLES],
                )  # fmt: skip
            for g in range(ANGLES + 1):
                for level in range(1, most + 1):
                    for length in range(last[g] + 1):
                        matrices[g, level, length] = 0
            over_angles(values, statistics, found)
            for f in range(len(found)):
                out[i, j * len(found) + f] = found[f]


@njit(cache=True, nogil=True, error_model="numpy")
def _count_runs(plane, places, back, upto, matrix):
    """Count the runs at one angle by level and length; the longest.

    Parameters
    ----------
    places : int32
        In raster order, so that the pixel before another in a run comes first.
    back : int
        From a pixel to the one before it.
    upto : uint32, scratch
        How many pixels of its run end with a pixel.
    matrix : (levels + 1, >= longest + 1) uint32, out
        Column 0 is left with anything.
    """
    longest = np.uint32(1)
    step = np.uint64(back)
    for k in range(len(places)):
        place = np.uint64(places[k])
        level = plane[place]
        goes_on = plane[place - step] == level
        length = upto[place - step] * np.uint32(goes_on) + np.uint32(1)
        upto[place] = length
        longest = max(longest, length)
        # It counts as the end of its run until the next one says that the run goes on.
        matrix[np.uint64(level), np.uint64(length)] += np.uint32(1)
        matrix[np.uint64(level), np.uint64(length - goes_on)] -= np.uint32(goes_on)
    return np.int64(longest)


FAMILY = select()
measure = FAMILY.measure
