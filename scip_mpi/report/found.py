"""The section that says what was found: cells, discards, intensities, masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from scip_mpi.batches import BoolArray, FloatArray, Int64Array
from scip_mpi.columns import prefix
from scip_mpi.report import charts
from scip_mpi.report.facts import Facts
from scip_mpi.report.rules import Rule

BINS = 40
# Groups that have a chart or a row of their own, and stretches of the table.
CHARTS = 12
ROWS = 14
LISTED = 400
STRETCHES = 30
# The share of the values that histograms reach over.
USUAL = 0.995


def what_was_found(facts: Facts, empty: dict[tuple[str, str], float]) -> dict[str, Any]:
    """For the page: totals, tables and charts."""
    images = facts.images
    found, kept = int(images.found.sum()), int(images.kept.sum())
    shown = _most_cells(facts, ROWS)
    return {
        "images": int(images.images.sum()),
        "failed": int(images.failed.sum()),
        "without": int(images.empty.sum()),
        "found": found,
        "kept": kept,
        "discarded": found - kept,
        "rows": facts.sample.total,
        "looked": len(facts.sample),
        "reasons": _reasons(facts),
        "filter": [chart for rule in facts.rules for chart in statistic_charts(facts, rule)],
        "filter_groups": min(len(facts.groups), CHARTS),
        "legend": charts.legend({"kept": "kept", "gone": "discarded"}),
        "groups": _groups(facts),
        "all_groups": len(facts.images.groups),
        "per_image": _per_image(facts),
        "intensity_of": facts.choice.intensity_of,
        "intensities": [_intensity(facts, c, shown) for c in facts.choice.intensity],
        "drifts": [_drift(facts, c) for c in facts.choice.intensity],
        "shown_groups": len(shown),
        "areas": _areas(facts),
        "empty": _empty_table(facts, empty),
        "channels": _channels(facts),
    }


def empty_masks(facts: Facts) -> dict[tuple[str, str], float]:
    """The share of the cells looked at that have no mask, by mask set and channel."""
    there = ~facts.sample.numbers.get("failed", np.zeros(len(facts.sample), bool))
    found = {}
    for mask_set in facts.sets:
        for channel in facts.channels:
            regions = facts.sample.numbers.get(f"{prefix(mask_set)}regions_{channel}")
            place = facts.choice.areas.get((mask_set, channel))
            if not there.any():
                continue
            if regions is not None:
                found[mask_set, channel] = float((regions[there] <= 0).mean())
            elif place is not None:
                area = facts.sample.X[place][there]
                found[mask_set, channel] = float((~(area > 0)).mean())
    return found


def dropped_masks(facts: Facts) -> dict[str, BoolArray]:
    """By mask set, the cells looked at that it has dropped: their columns are missing."""
    return {
        mask_set: facts.good & np.isnan(facts.sample.X[place])
        for (mask_set, channel), place in facts.choice.areas.items()
        if channel == "combined"
    }


def statistic_charts(facts: Facts, rule: Rule) -> list[str]:
    """Histograms of what a rule looks at, of each group, or of all where groups are many."""
    out = []
    group, good, gone = facts.group, facts.good, facts.discarded
    several = 1 < len(facts.groups) <= CHARTS
    for name in rule.statistics:
        kept = facts.sample.numbers.get(f"filter_{name}")
        left = gone.statistics.get(name, np.full(len(gone.label), np.nan))
        if kept is None:
            continue
        edges = bar_edges(np.concatenate([kept[good], left]), rule)
        # The sample stands for all rows, and the cells known for all discarded ones.
        weight = int(facts.images.kept.sum()) / max(int(good.sum()), 1)
        other = gone.total / max(len(gone.label), 1)
        for code in range(len(facts.groups)) if several else [-1]:
            mine = good & ((group == code) if several else True)
            theirs = (gone.group == code) if several else np.ones(len(left), bool)
            if several or not rule.by_group:
                bounds = [b for b in rule.bounds_of(max(code, 0)) if np.isfinite(b)]
            else:
                bounds = []
            title = f"{name}{f', {facts.groups[code]}' if several else ''}"
            out.append(
                charts.histogram(
                    title,
                    edges,
                    bar_heights(kept[mine], edges) * weight,
                    bar_heights(left[theirs], edges) * other,
                    bounds,
                )
            )
    return out


def bar_edges(values: FloatArray, rule: Rule) -> FloatArray:
    """Edges of bars for nearly all values and the bounds: a few outliers would hide the others."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.linspace(0, 1, BINS + 1)
    low, high = np.quantile(finite, (1 - USUAL, USUAL))
    ends = [bound for pair in rule.bounds for bound in pair if np.isfinite(bound)]
    low, high = min(low, *ends, high), max(high, *ends, low)
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def bar_heights(values: FloatArray, edges: FloatArray) -> FloatArray:
    """How many there are of each; those beyond the ends count in the outermost."""
    finite = values[np.isfinite(values)]
    return np.histogram(np.clip(finite, edges[0], edges[-1]), edges)[0].astype(np.float64)


def _reasons(facts: Facts) -> list[dict[str, Any]]:
    reasons = sorted(facts.discarded.reasons.items(), key=lambda item: -item[1])
    top = max(facts.discarded.reasons.values(), default=1)
    return [{"name": r, "count": n, "share": n / top} for r, n in reasons]


def _groups(facts: Facts) -> list[dict[str, Any]]:
    images = facts.images
    top = max(int(images.found.max(initial=0)), 1)
    return [
        {
            "name": name,
            "images": int(images.images[k]),
            "failed": int(images.failed[k]),
            "found": int(images.found[k]),
            "kept": int(images.kept[k]),
            "each": images.found[k] / max(int(images.images[k] - images.failed[k]), 1),
            "share": images.found[k] / top,
        }
        for k, name in enumerate(images.groups[:LISTED])
    ]


def _per_image(facts: Facts) -> str:
    """Cells per image, where there is more than one in any."""
    counts = facts.images.counts
    most = int(np.flatnonzero(counts).max(initial=0))
    if most < 2:
        return ""
    # A few images with very many cells would leave no room for the others.
    usual = int(np.searchsorted(np.cumsum(counts), USUAL * counts.sum()))
    end = min(most, usual + usual // 4 + 1)
    bars = np.append(counts[:end], counts[end:].sum())
    step = -(-len(bars) // BINS)
    edges = np.arange(0, len(bars) + step, step, dtype=np.float64)
    heights = np.add.reduceat(bars, edges[:-1].astype(np.int64)).astype(np.float64)
    title = "cells per image" + (f" ({end:,} or more in the last bar)" if end < most else "")
    return charts.histogram(title, edges, heights, unit="images")


def _most_cells(facts: Facts, count: int) -> Int64Array:
    """Codes of the groups with the most cells in the sample, in order."""
    group = facts.group[facts.good]
    cells = np.bincount(group[group >= 0], minlength=len(facts.groups))
    chosen = np.argsort(-cells, kind="stable")[:count]
    return np.sort(chosen[cells[chosen] > 0])


def _intensity(facts: Facts, channel: str, shown: Int64Array) -> str:
    values = facts.sample.X[facts.choice.intensity[channel]].astype(np.float64)
    usable, group = facts.good & np.isfinite(values), facts.group
    rows = [("all cells", values[usable])]
    if len(facts.groups) > 1:
        rows += [(facts.groups[g], values[usable & (group == g)]) for g in shown.tolist()]
    return charts.boxes(channel, rows, facts.choice.intensity_of)


def _drift(facts: Facts, channel: str) -> str:
    """How the intensity changes along the table, which is in the order of the images."""
    values = facts.sample.X[facts.choice.intensity[channel]].astype(np.float64)
    quartiles = np.full((3, STRETCHES), np.nan)
    for k, part in enumerate(np.array_split(np.flatnonzero(facts.good), STRETCHES)):
        own = values[part][np.isfinite(values[part])]
        if len(own):
            quartiles[:, k] = np.quantile(own, (0.25, 0.5, 0.75))
    return charts.drift(channel, quartiles)


def _areas(facts: Facts) -> list[str]:
    out = []
    for mask_set in facts.sets:
        rows = []
        for (own, channel), place in facts.choice.areas.items():
            values = facts.sample.X[place].astype(np.float64)
            if own == mask_set:
                rows.append((channel, values[facts.good & np.isfinite(values) & (values > 0)]))
        if rows:
            out.append(charts.boxes(mask_set or "masks", rows, "area"))
    return out


def _empty_table(facts: Facts, empty: dict[tuple[str, str], float]) -> list[dict[str, Any]]:
    return [
        {"name": s or "masks", "shares": [empty.get((s, c)) for c in facts.channels]}
        for s in facts.sets
        if any((s, c) in empty for c in facts.channels)
    ]


def _channels(facts: Facts) -> list[dict[str, Any]]:
    """The share of the images that are saturated, or without contrast, of each channel."""
    images = facts.images
    measured = max(int(images.measured.sum()), 1)
    none = np.zeros(0, np.int64)
    return [
        {
            "name": c,
            "saturated": images.saturated.get(c, none).sum() / measured,
            "dark": images.dark.get(c, none).sum() / measured,
        }
        for c in facts.channels
    ]
