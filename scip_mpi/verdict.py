"""The filter's verdict on every object: rules, combined by all and any."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, FloatArray
from scip_mpi.filters import Decision
from scip_mpi.statistics import Allreduce


@dataclass(frozen=True)
class Rule:
    """One rule: a function of `scip_mpi.filters`, and which statistics it looks at.

    Attributes
    ----------
    decide : callable
    label : str
        For people: what is decided, of what.
    statistics : sequence of int
        Columns of the statistics; two for a polygon.
    by_group : bool
        Whether each group is decided by itself.
    settings : mapping
        The rule's own.
    """

    decide: Callable[..., Decision]
    label: str
    statistics: Sequence[int]
    by_group: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Combination:
    """Rules and combinations of which all must hold, or any."""

    how: Literal["all", "any"]
    parts: Sequence[Rule | Combination]


@dataclass(frozen=True)
class Verdict:
    """Which objects stay, and why others do not.

    Attributes
    ----------
    keep : ndarray of bool, shape (n,)
    broken : ndarray of bool, shape (n, rules)
        The rules that each object does not meet, in the order of `rules_of`.
    description : dict
        The same in words and numbers, for the provenance.
    """

    keep: BoolArray
    broken: BoolArray
    description: dict[str, Any]


def rules_of(tree: Rule | Combination) -> list[Rule]:
    """All rules of a tree, from left to right."""
    if isinstance(tree, Rule):
        return [tree]
    return [rule for part in tree.parts for rule in rules_of(part)]


def decide(
    tree: Rule | Combination,
    statistics: FloatArray,
    groups: NDArray[np.int32],
    n_groups: int,
    allreduce: Allreduce,
) -> Verdict:
    """Decide every rule over the whole data set, then each object. Collective.

    Every rule's population is all objects that have its statistic, whatever other rules say.

    Parameters
    ----------
    tree : Rule or Combination
    statistics : ndarray of float64, shape (n, K)
        Of this rank's objects.
    groups : ndarray of int32, shape (n,)
    n_groups : int
    allreduce : callable
        Sums int64 arrays over the ranks.
    """
    if isinstance(tree, Rule):
        columns = statistics[:, list(tree.statistics)]
        values = columns[:, 0] if len(tree.statistics) == 1 else columns
        own = groups if tree.by_group else np.zeros(len(groups), np.int32)
        found = tree.decide(
            values, own, n_groups if tree.by_group else 1, allreduce, **tree.settings
        )
        return Verdict(
            found.keep, ~found.keep[:, np.newaxis], {"of": tree.label} | found.description
        )
    parts = [decide(part, statistics, groups, n_groups, allreduce) for part in tree.parts]
    keeps = np.stack([p.keep for p in parts])
    keep = (np.logical_and if tree.how == "all" else np.logical_or).reduce(keeps, axis=0)
    total, kept = allreduce(np.array([len(keep), keep.sum()], np.int64)).tolist()
    description = {
        tree.how: [p.description for p in parts],
        "objects": total,
        "kept": kept,
    }
    return Verdict(keep, np.hstack([p.broken for p in parts]), description)
