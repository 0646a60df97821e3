"""The column plan: every column of the table, made once on rank 0, before any pixel is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scip_mpi.features.family import Family, Feature
from scip_mpi.registry import OBS_WORDS

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
    """

    family: str
    mask_set: int
    start: int
    stop: int


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


def plan_columns(
    words: Mapping[str, Sequence[str]],
    sets: Sequence[str],
    channel_names: Sequence[str],
    family: Callable[[str], Family],
) -> ColumnPlan:
    """Lay out the columns for the families asked for.

    Parameters
    ----------
    words : mapping of str to sequence of str
        ``feature_extraction``: the words asked for, per mask set.
    sets : sequence of str
        The mask sets in config order; ``[""]`` without masking.
    channel_names : sequence of str
        Names of the channels.
    family : callable
        The registry's families by name.
    """
    plan = ColumnPlan([], [], [], [], [], list(sets), [], [])

    def add(name: str, mask_set: int, label: str) -> None:
        start = len(plan.names)
        features = family(name).features(channel_names)
        plan.names.extend(f"feat_{prefix(label)}{f.name}" for f in features)
        plan.features.extend(features)
        plan.mask_sets.extend([label] * len(features))
        plan.families.extend([name] * len(features))
        plan.blocks.append(Block(name, mask_set, start, len(plan.names)))

    for s, label in enumerate(sets):
        asked = list(words.get(label, ()))
        others = [w for w in asked if w not in ORDER and w not in OBS_WORDS and w != "raw"]
        if "bbox" in asked:
            plan.bbox.append(s)
        if "regions" in asked:
            plan.regions.append(s)
        for name in [w for w in ORDER if w in asked] + others:
            add(name, s, label)
    # As in SCIP, the bare image is measured whenever there is masking.
    if any(sets) or any("raw" in w for w in words.values()):
        add("raw", -1, "raw")
    return plan
