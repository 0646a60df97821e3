"""What to worry about, computed, in words. What is found to be normal is not mentioned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.report.charts import number
from scip_mpi.report.facts import Facts
from scip_mpi.report.timing import balance, slow_ranks
from scip_mpi.segmentation.gpu.use import remarks

# A group is shifted if its median is so many spreads (standard deviations of a normal distribution
# with the same quartiles) from the median of the other groups' medians.
SHIFT = 2.0
# Cells of a group that are needed to say so, and groups that are named.
LEAST = 20
NAMED = 5
# Shares of images or cells that are too many.
FAILED = 0.01
FULL = 0.01
FLAT = 0.5
EMPTY = 0.95
BORDER = 0.1
DROPPED = 0.05
LOST = 0.3
NO_CELL = 0.2
MISSING = 0.5
# A group has too many or too few cells per image at so many times the others' or the inverse.
CROWDED = 3.0
# Least balance of the ranks, and seconds of a run below which nothing is said of it.
BALANCE = 0.8
LEAST_SECONDS = 10.0


def worries(
    facts: Facts,
    empty: Mapping[tuple[str, str], float],
    dropped: Mapping[str, float],
    at_border: Mapping[str, tuple[int, int]],
) -> list[str]:
    """All that there is to worry about, a sentence or two each.

    Parameters
    ----------
    facts : Facts
    empty : mapping of (str, str) to float
        Share of the cells without a mask, by mask set and channel.
    dropped : mapping of str to float
        Share of the cells that a mask set has dropped.
    at_border : mapping of str to (int, int)
        Of each mask set, cells with a mask at the border, and cells with any.
    """
    return [
        *of_images(facts),
        *of_cells(facts),
        *of_channels(facts, empty),
        *of_masks(dropped),
        *of_groups(facts),
        *of_borders(at_border),
        *of_columns(facts),
        *of_ranks(facts.told),
    ]


def of_images(facts: Facts) -> Iterator[str]:
    """Images that failed, and how many hold no cell."""
    images = facts.images
    total, failed = int(images.images.sum()), int(images.failed.sum())
    if failed > FAILED * total:
        worst = images.failed / np.maximum(images.images, 1)
        k = int(worst.argmax())
        yield (
            f"{failed:,} of {total:,} images ({failed / total:.1%}) failed; most of them in group "
            f"{images.groups[k]} ({worst[k]:.0%} of its images)."
        )
    readable, none = total - failed, int(images.empty.sum())
    if none > NO_CELL * readable:
        yield (
            f"{none:,} of {readable:,} images ({none / readable:.0%}) hold no cell: too few are "
            "found, or the fields are empty."
        )


def of_cells(facts: Facts) -> Iterator[str]:
    """Too many or too few cells of a group, and cells lost to the filter."""
    images = facts.images
    found, kept = int(images.found.sum()), int(images.kept.sum())
    if found - kept > LOST * found:
        yield f"The filter left out {found - kept:,} of {found:,} cells ({1 - kept / found:.0%})."
    readable = images.images - images.failed
    usable = np.flatnonzero(readable > 0)
    if len(usable) > 1 and found > readable.sum():
        each = images.found[usable] / readable[usable]
        off = []
        for k, rate in zip(usable.tolist(), each.tolist(), strict=True):
            # Of many groups one does not weigh in the median.
            others = each[usable != k] if len(usable) <= NAMED else each
            usual = float(np.median(others))
            if usual and not usual / CROWDED <= rate <= usual * CROWDED:
                off.append((k, rate, usual))
        off.sort(key=lambda item: -abs(np.log((item[1] or 1e-9) / item[2])))
        if off:
            told = [f"{images.groups[k]} ({rate:,.3g})" for k, rate, _ in off[:NAMED]]
            yield (
                f"Too many or too few cells an image in {_some_of(told, len(off))}: the other "
                f"groups have {off[0][2]:,.3g}."
            )


def _some_of(told: list[str], count: int) -> str:
    """The groups that are named, and how many more there are."""
    return ", ".join(told) + (f" and {count - len(told):,} more" if count > len(told) else "")


def of_channels(facts: Facts, empty: Mapping[tuple[str, str], float]) -> Iterator[str]:
    """Channels that are saturated or empty."""
    images = facts.images
    yield from of_levels(
        facts.channels,
        int(images.measured.sum()),
        {c: int(n.sum()) for c, n in images.saturated.items()},
        {c: int(n.sum()) for c, n in images.dark.items()},
    )
    yield from of_empty(facts.channels, facts.sets, empty)


def of_levels(
    channels: Sequence[str], measured: int, saturated: Mapping[str, int], dark: Mapping[str, int]
) -> Iterator[str]:
    """Channels with saturated or flat images, by the numbers of them of those measured."""
    for channel in channels:
        full = saturated.get(channel, 0)
        if measured and full > FULL * measured:
            yield (
                f"Channel {channel} is saturated in {full:,} of {measured:,} images "
                f"({full / measured:.1%}): more than one pixel in a thousand is at its limit."
            )
        flat = dark.get(channel, 0)
        if measured and flat > FLAT * measured:
            yield (
                f"Channel {channel} is empty: in {flat:,} of {measured:,} images all its pixels "
                "are equal."
            )


def of_empty(
    channels: Sequence[str], mask_sets: Sequence[str], empty: Mapping[tuple[str, str], float]
) -> Iterator[str]:
    """Channels without masks in nearly all cells."""
    for channel in channels:
        sets = [s for s in mask_sets if empty.get((s, channel), 0.0) > EMPTY]
        if sets:
            share = min(empty[s, channel] for s in sets)
            where = f" in {', '.join(sets)}" if any(sets) else ""
            yield (
                f"Channel {channel} has no mask in {share:.0%} of the cells{where}: it is not "
                "stained, or the method does not suit it."
            )


def of_masks(dropped: Mapping[str, float]) -> Iterator[str]:
    """Mask sets that drop many cells."""
    for name, share in dropped.items():
        if share > DROPPED:
            yield (
                f"The mask set {name} has dropped {share:.0%} of the cells, as their main channel "
                "has no mask: its columns are missing there. A gallery below shows some."
            )


def of_groups(facts: Facts) -> Iterator[str]:
    """Groups whose intensities are shifted against the others."""
    sample, group, good = facts.sample, facts.group, facts.good
    for channel, place in facts.choice.intensity.items():
        values = sample.X[place].astype(np.float64)
        usable = good & np.isfinite(values) & (group >= 0)
        shifted = list(shifts(values[usable], group[usable]))
        shifted.sort(key=lambda item: -abs(item[1]))
        if not shifted:
            continue
        told = [
            f"{facts.groups[g]} (median {number(median)}, {abs(by):.1f} spreads "
            f"{'above' if by > 0 else 'below'})"
            for g, by, median, _ in shifted[:NAMED]
        ]
        yield (
            f"Channel {channel} ({facts.choice.intensity_of}) is shifted against the other groups "
            f"(median {number(shifted[0][3])}) in {_some_of(told, len(shifted))}."
        )


def shifts(values: FloatArray, group: Int64Array) -> Iterator[tuple[int, float, float, float]]:
    """Groups that are shifted: code, by how many spreads, median, and the others' median."""
    medians, spreads = {}, {}
    for g in np.flatnonzero(np.bincount(group) >= LEAST).tolist():
        low, medians[g], high = np.quantile(values[group == g], (0.25, 0.5, 0.75)).tolist()
        spreads[g] = (high - low) / 1.349
    if len(medians) < 2:
        return
    for g, median in medians.items():
        usual = float(np.median([m for k, m in medians.items() if k != g]))
        spread = float(np.median([s for k, s in spreads.items() if k != g]))
        if spread > 0 and abs(median - usual) > SHIFT * spread:
            yield int(g), (median - usual) / spread, median, usual


def of_borders(at_border: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    """Masks that touch the border of the image: cells that are cut off."""
    for name, (touching, known) in at_border.items():
        if known >= LEAST and touching > BORDER * known:
            what = f"masks of {name}" if name else "cells"
            yield (
                f"{touching / known:.0%} of the {what} touch the border of the image "
                f"({touching:,} of {known:,} that were looked at): those cells may be cut off."
            )


def of_columns(facts: Facts) -> Iterator[str]:
    """Columns that say nothing."""
    columns, rows = facts.sample.columns, facts.sample.total
    constant = int(columns.constant.sum())
    missing = int((columns.n_nan > MISSING * rows).sum()) if rows else 0
    if constant or missing:
        yield (
            f"Of {len(columns.names):,} columns {constant:,} are constant and {missing:,} miss "
            f"more than {MISSING:.0%} of their values; var says which (constant, n_nan)."
        )
    overflows = int(facts.told.get("overflows", 0))
    if overflows:
        yield f"{overflows:,} values are too large for single precision, and infinite in X."


def of_ranks(told: Mapping[str, Any]) -> Iterator[str]:
    """Slow ranks, an uneven load, devices that failed, and ranks that died."""
    ranks = list(told.get("ranks") or [])
    for rank, by in slow_ranks(ranks):
        yield (
            f"Rank {rank['rank']} on {rank['node']} took {by:.1f} times as long for the same work "
            "as the others: its node may be busy with something else, or its processor slow."
        )
    even = balance(ranks)
    if even is not None and even < BALANCE and told.get("wall_s", 0.0) >= LEAST_SECONDS:
        yield f"The work was spread unevenly: the balance of the ranks is {even:.0%}."
    for remark in remarks(rank.get("device") for rank in ranks):
        yield remark[0].upper() + remark[1:] + "."
    for death in told.get("deaths") or []:
        yield (
            f"Rank {death['rank']} of {death['of']} on {death['node']} died in stage "
            f"{death['stage'] or 'start'}; the others finished the run."
        )
