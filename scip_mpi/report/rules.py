"""The filter's rules, as run.json describes what they decided."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Rule:
    """One rule of the filter.

    Attributes
    ----------
    label : str
        As in the reasons of discarded.parquet.
    statistics : list of str
        What it looks at: ``filter_<name>`` in obs, ``<name>`` in discarded.parquet.
    bounds : list of (float, float)
        Lowest and highest value that stays, of each group or of all; none of a polygon.
    """

    label: str
    statistics: list[str]
    bounds: list[tuple[float, float]]

    def bounds_of(self, group: int) -> tuple[float, float]:
        """The bounds for a group, by its code."""
        if not self.bounds:
            return -math.inf, math.inf
        return self.bounds[group if 0 <= group < len(self.bounds) else 0]

    @property
    def by_group(self) -> bool:
        """Whether groups differ."""
        return len(self.bounds) > 1


def rules_in(description: Any) -> list[Rule]:
    """The rules of a filter's description, from left to right; none where there is no filter."""
    if not isinstance(description, Mapping):
        return []
    parts = description.get("all") or description.get("any")
    if isinstance(parts, Sequence):
        return [rule for part in parts for rule in rules_in(part)]
    label = str(description.get("of", ""))
    bounds = []
    # Those of a polygon are its corners.
    if description.get("rule") != "polygon":
        for low, high in description.get("bounds") or []:
            bounds.append((-math.inf if low is None else low, math.inf if high is None else high))
    return [Rule(label, label.partition(" of ")[2].split(" and "), bounds)]
