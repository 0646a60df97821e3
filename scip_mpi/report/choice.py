"""Which columns of X the report looks at: there may be thousands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scip_mpi.batches import Int64Array
from scip_mpi.report.sample import Columns

# What stands for the intensity of a channel, the first that there is: column and mask set, "" for
# the first mask set, and what it is called.
INTENSITIES = (
    ("mean", "", "mean in the channel's mask"),
    ("combined_mean", "", "mean in the combined mask"),
    ("mean", "raw", "mean of the whole crop"),
    ("bgcorr_sum", "", "sum in the channel's mask, less the background"),
    ("bgcorr_mean", "", "mean in the channel's mask, less the background"),
    ("max", "", "maximum in the channel's mask"),
)
AREAS = ("area", "largest_area")
# Columns that the map is made of, and those that it can be coloured by.
MAP_COLUMNS = 256
COLOURS = 14
# A column with more missing values than this is not in the map.
MISSING = 0.5


@dataclass(frozen=True)
class Choice:
    """Columns of X.

    Attributes
    ----------
    intensity : dict of str to int
        Of each channel that has one.
    intensity_of : str
        What it is.
    areas : dict of (str, str) to int
        By mask set and channel, ``combined`` among them.
    mapped : ndarray of int64
        What the map is made of.
    eligible : int
        Columns that it could be made of.
    """

    intensity: dict[str, int]
    intensity_of: str
    areas: dict[tuple[str, str], int]
    mapped: Int64Array
    eligible: int

    @property
    def all(self) -> list[int]:
        """Every column, once."""
        return sorted({*self.intensity.values(), *self.areas.values(), *self.mapped.tolist()})


def choose(columns: Columns, channels: Sequence[str], sets: Sequence[str], rows: int) -> Choice:
    """Choose the columns to look at.

    Parameters
    ----------
    columns : Columns
    channels, sets : sequence of str
        One empty name where there is no masking.
    rows : int
        Of the table.
    """
    intensity, intensity_of = dict[str, int](), ""
    for feature, mask_set, what in INTENSITIES:
        places = {c: columns.find(f"{feature}_{c}", mask_set or sets[0]) for c in channels}
        if not intensity and any(place is not None for place in places.values()):
            intensity = {c: place for c, place in places.items() if place is not None}
            intensity_of = what
    areas = {}
    for mask_set in sets:
        for channel in ("combined", *channels):
            for feature in AREAS:
                place = columns.find(f"{feature}_{channel}", mask_set)
                if place is not None:
                    areas[mask_set, channel] = place
                    break
    usable = np.flatnonzero(~columns.constant & (columns.n_nan <= MISSING * rows))
    return Choice(intensity, intensity_of, areas, spread(columns, usable), len(usable))


def spread(columns: Columns, usable: Int64Array, most: int = MAP_COLUMNS) -> Int64Array:
    """At most so many of the columns, all families, mask sets and channels among them alike."""
    if len(usable) <= most:
        return usable
    kinds = [columns.facts[name][usable].astype(str) for name in ("family", "mask_set", "channel")]
    _, kind = np.unique(np.stack(kinds), axis=1, return_inverse=True)
    turn = np.empty(len(usable), np.float64)
    for k in range(int(kind.max()) + 1):
        mine = np.flatnonzero(kind.reshape(-1) == k)
        # The first, the middle, the quarters, ... of each kind: neighbours say much the same.
        turn[mine] = np.argsort(np.argsort([_reversed_bits(i) for i in range(len(mine))]))
    return np.sort(usable[np.argsort(turn, kind="stable")[:most]])


def _reversed_bits(number: int) -> int:
    return int(f"{number:016b}"[::-1], 2)
