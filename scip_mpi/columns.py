"""The column plan: every column of the table, made once on rank 0, before any pixel is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scip_mpi.errors import UserError
from scip_mpi.features.family import Family, Feature
from scip_mpi.registry import CHANNEL_LISTS, PRESETS, preset

# A family, or several, with the settings that select columns of each.
Settings = Mapping[str, Mapping[str, Any]]

# The order of SCIP's columns within a mask set, whatever the order in the config; families that
# SCIP does not know follow in the order given.
ORDER = ("shape", "intensity", "texture")


@dataclass(frozen=True)
class Block:
    """Consecutive columns that one family fills for one mask set.

    Attributes
    ----------
    family : str
        Name of the family.
    mask_set : int
        Which mask set; -1 for a family of the bare image.
    start, stop : int
        Columns of X.
    settings : tuple of dict
        The selections of the family whose columns these are (`selected`); none for all of it.
    """

    family: str
    mask_set: int
    start: int
    stop: int
    settings: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class ColumnPlan:
    """All columns of X, in order, and the numeric columns of obs that depend on the mask sets.

    Attributes
    ----------
    names : list of str
        ``feat_<set>_<name>``, SCIP's.
    features : list of Feature
        What each column is.
    mask_sets : list of str
        The mask set of each column; ``raw`` for the bare image, empty without masking.
    blocks : list of Block
        Who fills what.
    sets : list of str
        Names of the mask sets, in config order; one empty name without masking.
    bbox, regions : list of int
        The mask sets whose bounding box, or count of regions, is asked for.
    """

    names: list[str]
    features: list[Feature]
    mask_sets: list[str]
    families: list[str]
    blocks: list[Block]
    sets: list[str]
    bbox: list[int]
    regions: list[int]

    def __len__(self) -> int:
        return len(self.names)


def prefix(name: str) -> str:
    """What stands before a column of a mask set: nothing without masking."""
    return f"{name}_" if name else ""


def requests(
    items: Iterable[str | Settings], channel_names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """What items of ``feature_extraction`` ask for: selections of each family, none for all of it.

    Presets are spelt out, and channels given by place.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        for name, settings in ({item: {}} if isinstance(item, str) else item).items():
            if name in PRESETS:
                asked = preset(name)(**settings)
            else:
                asked = [(name, dict(settings))]
            for family, own in asked:
                found.setdefault(family, []).append(_by_place(own, channel_names))
    return found


def _by_place(settings: Mapping[str, Any], channel_names: Sequence[str]) -> dict[str, Any]:
    names = list(channel_names)

    def place(given: Any) -> Any:
        if isinstance(given, str):
            return names.index(given)
        return [place(g) for g in given] if isinstance(given, list | tuple) else given

    given = {key: place(settings[key]) for key in CHANNEL_LISTS if key in settings}
    return {**settings, **given}


def selected(family: Family, selections: Sequence[Mapping[str, Any]]) -> Family:
    """The family with the columns of some selections, each column once; all of it without any.

    Raises
    ------
    UserError
        A selection makes no sense, or the family knows no way to join several.
    """
    if not selections:
        return family
    if family.select is None:
        raise UserError(f"feature family {family.name!r} takes no settings")
    chosen = [family.select(**s) for s in selections]
    if len(chosen) == 1:
        return chosen[0]
    if family.joined is None:
        raise UserError(f"feature family {family.name!r} can be listed only once a mask set")
    return family.joined(tuple(part for c in chosen for part in c.parts))


def _layers(
    family: Family, selections: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], ...]]:
    """Selections of each block: where all of a family is asked for, none, then what it lacks."""
    if all(selections) or (family.joined is None and len(selections) > 1):
        return [tuple(selections)]
    lacking = []
    for s in filter(None, selections):
        parts = selected(family, [s]).parts
        if parts and all(p.extra for p in parts):
            lacking.append(s)
    return [(), tuple(lacking)] if lacking else [()]


def plan_columns(
    words: Mapping[str, Sequence[str | Settings]],
    sets: Sequence[str],
    channel_names: Sequence[str],
    family: Callable[[str], Family],
) -> ColumnPlan:
    """Lay out the columns for the families asked for.

    Parameters
    ----------
    words : mapping of str to sequence
        ``feature_extraction``: the words, or families with settings, asked for, per mask set.
    sets : sequence of str
        The mask sets in config order; ``[""]`` without masking.
    channel_names : sequence of str
        Names of the channels.
    family : callable
        The registry's families by name.
    """
    plan = ColumnPlan([], [], [], [], [], list(sets), [], [])

    def add(name: str, selections: Sequence[dict[str, Any]], mask_set: int, label: str) -> None:
        for layer in _layers(family(name), selections):
            start = len(plan.names)
            features = selected(family(name), layer).features(channel_names)
            plan.names.extend(f"feat_{prefix(label)}{f.name}" for f in features)
            plan.features.extend(features)
            plan.mask_sets.extend([label] * len(features))
            plan.families.extend([name] * len(features))
            plan.blocks.append(Block(name, mask_set, start, len(plan.names), layer))

    every: list[dict[str, Any]] = []
    raw: list[dict[str, Any]] = []
    for s, label in enumerate(sets):
        asked = requests(words.get(label, ()), channel_names)
        if asked.pop("bbox", None):
            plan.bbox.append(s)
        if asked.pop("regions", None):
            plan.regions.append(s)
        raw += asked.pop("raw", [])
        every += [settings for selections in asked.values() for settings in selections]
        others = [name for name in asked if name not in ORDER]
        for name in [w for w in ORDER if w in asked] + others:
            add(name, asked[name], s, label)
    # As in SCIP, the bare image is measured whenever there is masking; but who chooses columns
    # chooses these too.
    if not raw and any(sets) and not (every and all(every)):
        raw = [{}]
    if raw:
        add("raw", raw, -1, "raw")
    return plan
