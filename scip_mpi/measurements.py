"""What is measured of every object, by the config: for the filter, for gating, for background."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scip_mpi.columns import prefix
from scip_mpi.config import Config
from scip_mpi.config.schema import Rule
from scip_mpi.config.values import places
from scip_mpi.measure import Statistic

# Columns of obs to gate by, of so many channels unless the config names them.
GATING = ("area", "aspect_ratio", "mean", "sum", "focus", "saturated")
GATING_CHANNELS = 3


@dataclass(frozen=True)
class Measured:
    """A statistic and the name of its column in obs."""

    column: str
    statistic: Statistic


def main_channel(config: Config, names: Sequence[str]) -> int:
    """The channel without whose mask a mask set drops an object."""
    if config.mask is not None:
        return config.mask.main_channel(names)
    if config.segment is not None:
        return places([config.segment.settings.parent_channel_index], names, "segment.settings")[0]
    return 0


def filter_statistics(config: Config, sets: Sequence[str], names: Sequence[str]) -> list[Measured]:
    """All that the filter's rules look at, each once."""
    rules = config.filter.leaves() if config.filter else []
    found = {m for rule in rules for m in filter_measurements(rule, sets, names)}
    return sorted(found, key=lambda m: m.column)


def filter_measurements(rule: Rule, sets: Sequence[str], names: Sequence[str]) -> list[Measured]:
    """What one rule looks at, with the names of the columns."""
    found = []
    for m in rule.measurements():
        channel = places([m.channel], names, "filter.channel")[0]
        mask_set = -1 if m.mask is None else list(sets).index(m.mask)
        column = f"filter_{prefix(m.mask or '')}{m.statistic}_{names[channel]}"
        found.append(Measured(column, Statistic(m.statistic, channel, mask_set)))
    return found


def gates(config: Config, sets: Sequence[str], names: Sequence[str]) -> list[Measured]:
    """The gating columns: six statistics of each of the channels chosen."""
    chosen = config.gating
    if chosen.channels is None:
        main = main_channel(config, names)
        channels = [main, *(c for c in range(len(names)) if c != main)][:GATING_CHANNELS]
    else:
        channels = places(chosen.channels, names, "gating.channels")
    mask_set = 0 if chosen.mask is None else list(sets).index(chosen.mask)
    return [
        Measured(f"gate_{name}_{names[c]}", Statistic(name, c, mask_set))
        for c in channels
        for name in GATING
    ]


def backgrounds(config: Config, names: Sequence[str]) -> list[str | float]:
    """Each channel's background; of segmented objects 0 where nothing else is said, as in SCIP."""
    usual: str | float = "outside" if config.segment is None else 0.0
    given = config.background
    if not isinstance(given, Mapping):
        return [usual if given is None else given] * len(names)
    by_place = {places([key], names, "background")[0]: value for key, value in given.items()}
    return [by_place.get(c, usual) for c in range(len(names))]
