"""Size zones of grey levels, by IBSI's definitions (family ``glszm``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.emphases import NUMBER, emphases, logarithms
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

NAMES = (
    ("small_zone_emphasis", "Mean of 1 / size^2 over zones (IBSI 5QRC)"),
    ("large_zone_emphasis", "Mean of size^2 over zones (IBSI 48P8)"),
    ("low_grey_level_zone_emphasis", "Mean of 1 / level^2 over zones (IBSI XMSY)"),
    ("high_grey_level_zone_emphasis", "Mean of level^2 over zones (IBSI 5GN9)"),
    ("small_zone_low_grey_level_emphasis", "Mean of 1 / (size^2 level^2) over zones (IBSI 5RAI)"),
    ("small_zone_high_grey_level_emphasis", "Mean of level^2 / size^2 over zones (IBSI HW1V)"),
    ("large_zone_low_grey_level_emphasis", "Mean of size^2 / level^2 over zones (IBSI YH51)"),
    ("large_zone_high_grey_level_emphasis", "Mean of size^2 level^2 over zones (IBSI J17V)"),
    (
        "grey_level_non_uniformity",
        "Sum over levels of the squared number of zones, by the number of zones (IBSI JNSA)",
    ),
    (
        "normalised_grey_level_non_uniformity",
        "Sum over levels of the squared share of zones (IBSI Y1RO)",
    ),
    (
        "zone_size_non_uniformity",
        "Sum over sizes of the squared number of zones, by the number of zones (IBSI 4JP3)",
    ),
    (
        "normalised_zone_size_non_uniformity",
        "Sum over sizes of the squared share of zones (IBSI VB3A)",
    ),
    ("zone_percentage", "Zones by pixels, a share (IBSI P30P)"),
    ("grey_level_variance", "Variance of the level over zones (IBSI BYLV)"),
    ("zone_size_variance", "Variance of the size over zones (IBSI 3NSA)"),
    ("zone_size_entropy", "Entropy, in bits, of level and size over zones (IBSI GU8N)"),
)


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    levels: Levels = LEVELS,
) -> Family:
    """Size zones with settings of one's own.

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
        "glszm",
        partial(listed, "glszm", NAMES, settings),
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

    Pixels of the mask get grey levels (`scip_mpi.features.grey`). A zone are all pixels of one
    level that hang together by edges or corners; its size is their number. Always defined.

    References
    ----------
    Thibault et al., "Advanced statistical matrices for texture characterization: application to
    cell classification", IEEE Trans. Biomedical Engineering 61(3), 2014; the definitions are those
    of IBSI's reference manual, arXiv:1612.07003, section 3.8.
    """
    if not len(batch):
        return
    grey = grey_levels(batch, masks, settings, 1, scratch)
    pixels = grey.pixels
    _size_zones(
        grey.levels, grey.defined, pixels.places, pixels.bounds, pixels.starts, pixels.widths,
        settings.most, pixels.most, logarithms(pixels.most),
        scratch.array("zones", int(np.diff(pixels.starts).max()), np.int32), out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _size_zones(levels, defined, places, bounds, starts, widths, most, capacity, logs, zones, out):
    channels = defined.shape[1]
    # Sizes of zones add up to the pixels, so that few of them can differ.
    distinct = np.int64(math.sqrt(2.0 * capacity)) + 1
    parent = np.empty(capacity, np.int32)
    counts = np.empty(capacity, np.int64)
    level_of = np.empty(capacity, np.int64)
    column_of = np.zeros(capacity + 1, np.int32)
    sizes = np.empty(distinct + 1, np.int64)
    matrix = np.zeros((most + 1, distinct + 1), np.uint32)
    rows = np.empty(most + 1, np.int64)
    columns = np.empty(distinct + 1, np.int64)
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
            found = find_zones(plane, mine, widths[i], zones, parent, counts, level_of)
            largest = np.int64(0)
            for zone in range(found):
                if parent[zone] == zone:
                    column_of[counts[zone]] = 1
                    largest = max(largest, counts[zone])
            number = 0
            for k in range(1, largest + 1):
                if column_of[k]:
                    number += 1
                    column_of[k] = number
                    sizes[number] = k
            for zone in range(found):
                if parent[zone] == zone:
                    matrix[level_of[zone], column_of[counts[zone]]] += np.uint32(1)
            emphases(matrix, sizes, number, n, logs, rows, columns, values)
            for k in range(1, number + 1):
                column_of[sizes[k]] = 0
            for level in range(1, most + 1):
                for k in range(1, number + 1):
                    matrix[level, k] = 0
            for f in range(NUMBER):
                out[i, j * NUMBER + f] = values[f]


@njit(cache=True, nogil=True, error_model="numpy")
def find_zones(plane, places, width, zones, parent, counts, level_of):
    """Zones of pixels of one level; how many numbers they were given.

    Parameters
    ----------
    plane : uint16
        Grey levels in a padded plane.
    places : int32
        Its pixels, in raster order.
    zones : int32, scratch
        Number of each pixel's zone, in the plane.
    parent : (>= number,) int32, out
        The number itself for a zone, a lower number of the same zone for the others.
    counts, level_of : int64, out
        Pixels and level of each zone, at its own number.
    """
    number = np.int32(0)
    for k in range(len(places)):
        place = np.int64(places[k])
        level = plane[place]
        above = place - width
        if plane[above] == level:
            # Those to the left and right of it hang together with it already.
            zone = root_of(zones[above], parent)
        else:
            before = np.int64(-1)
            if plane[place - 1] == level:
                before = place - 1
            elif plane[above - 1] == level:
                before = above - 1
            if plane[above + 1] == level:
                zone = root_of(zones[above + 1], parent)
                if before >= 0:
                    other = root_of(zones[before], parent)
                    if other < zone:
                        parent[zone] = other
                        zone = other
                    else:
                        parent[other] = zone
            elif before >= 0:
                zone = root_of(zones[before], parent)
            else:
                zone = number
                parent[zone] = zone
                counts[zone] = 0
                level_of[zone] = level
                number += np.int32(1)
        zones[place] = zone
        counts[zone] += 1
    # A zone's own number is its least one.
    for zone in range(number - 1, -1, -1):
        if parent[zone] != zone:
            counts[parent[zone]] += counts[zone]
    return number


@njit(cache=True, nogil=True, error_model="numpy")
def root_of(zone, parent):
    """The least number of a zone."""
    while parent[zone] != zone:
        parent[zone] = parent[parent[zone]]
        zone = parent[zone]
    return zone


FAMILY = select()
measure = FAMILY.measure
