"""What the sample says: problems in words, and what the filter would look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scip_mpi.plan import Plan
from scip_mpi.preview.shots import Shot
from scip_mpi.report import charts
from scip_mpi.report.found import bar_edges, bar_heights
from scip_mpi.report.images import SATURATED
from scip_mpi.report.rules import rules_in
from scip_mpi.report.worries import of_borders, of_empty, of_levels, of_masks
from scip_mpi.stages import filter_tree
from scip_mpi.verdict import decide, rules_of

# Rules whose bounds stand in the config: those of others depend on all cells.
FIXED = ("range", "polygon")


@dataclass(frozen=True)
class Filtered:
    """What a rule of the filter makes of the sample.

    Attributes
    ----------
    label, text : str
        The rule, and what it does in words.
    charts : list of str
        Histograms of its statistics.
    """

    label: str
    text: str
    charts: list[str]


def problems(plan: Plan, shots: Sequence[Shot]) -> list[str]:
    """What to worry about, in words."""
    if not shots:
        return []
    return list(_problems(plan, shots))


def _problems(plan: Plan, shots: Sequence[Shot]) -> Iterator[str]:
    objects = sum(shot.objects for shot in shots)
    none = sum(not shot.objects for shot in shots)
    if none:
        yield f"No cell is found in {none:,} of {len(shots):,} images."
    names = plan.channel_names
    full = np.sum([shot.saturated > SATURATED for shot in shots], axis=0)
    flat = np.sum([shot.flat for shot in shots], axis=0)
    yield from of_levels(
        names,
        len(shots),
        dict(zip(names, full.tolist(), strict=True)),
        dict(zip(names, flat.tolist(), strict=True)),
    )
    if not objects or not masked(plan):
        return
    bare = np.sum([shot.bare for shot in shots], axis=0) / objects
    yield from of_empty(
        names,
        plan.sets,
        {(s, c): float(bare[i, j]) for i, s in enumerate(plan.sets) for j, c in enumerate(names)},
    )
    dropped = np.sum([shot.dropped for shot in shots], axis=0) / objects
    yield from of_masks(dict(zip(plan.sets, dropped.tolist(), strict=True)))
    touching, known = (
        np.sum([getattr(shot, name) for shot in shots], axis=0).tolist()
        for name in ("touching", "masked")
    )
    yield from of_borders({s: (touching[i], known[i]) for i, s in enumerate(plan.sets)})


def masked(plan: Plan) -> bool:
    """Whether there are masks: without any, a cell is the whole image."""
    return plan.config.mask is not None or plan.config.segment is not None


def filtered(plan: Plan, shots: Sequence[Shot]) -> list[Filtered]:
    """What each rule of the filter makes of the objects of the sample.

    Raises
    ------
    UserError
        A rule's settings are wrong.
    """
    if plan.config.filter is None or not sum(shot.objects for shot in shots):
        return []
    statistics = np.concatenate([shot.statistics for shot in shots])
    groups = np.repeat([shot.group for shot in shots], [shot.objects for shot in shots])
    out = []
    for rule in rules_of(filter_tree(plan.config.filter, plan)):
        found = decide(rule, statistics, groups.astype(np.int32), len(plan.groups), lambda a: a)
        fixed = found.description.get("rule") in FIXED
        told = rules_in(found.description)[0]
        if not fixed:
            told = replace(told, bounds=[])
        drawn = []
        for column in rule.statistics:
            name = plan.statistics[column].column.removeprefix("filter_")
            values = statistics[:, column]
            edges = bar_edges(values, told)
            bounds = [b for b in told.bounds_of(0) if np.isfinite(b)]
            kept = bar_heights(values[found.keep] if fixed else values, edges)
            gone = bar_heights(values[~found.keep], edges) if fixed else None
            drawn.append(charts.histogram(name, edges, kept, gone, bounds))
        if fixed:
            text = f"Keeps {int(found.keep.sum()):,} of these {len(found.keep):,} cells."
        else:
            text = "Its bounds depend on all cells of a run, and are not known from a sample."
        lost = int((~np.isfinite(statistics[:, list(rule.statistics)]).all(axis=1)).sum())
        if lost:
            text += f" {lost:,} cells have no such statistic, and are never kept."
        out.append(Filtered(rule.label, text, drawn))
    return out
