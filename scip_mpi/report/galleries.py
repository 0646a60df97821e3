"""Which cells are shown as pictures, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scip_mpi.batches import BoolArray, FloatArray, Int64Array
from scip_mpi.report.charts import number
from scip_mpi.report.facts import Facts
from scip_mpi.report.found import dropped_masks

# Cells of a gallery; of one end of a feature, and of one side of a threshold.
MANY = 12
FEW = 3
# Images that random cells of fields are from: each has to be segmented again.
FIELDS = 4


@dataclass(frozen=True)
class Cell:
    """A cell to be shown: its place, and why it is there.

    Attributes
    ----------
    image : int
        Place of the image in the catalog.
    label : int
    name : str
        The image's name.
    why : str
    """

    image: int
    label: int
    name: str
    why: str = ""


@dataclass(frozen=True)
class Gallery:
    """Cells that have something in common."""

    key: str
    title: str
    text: str
    cells: Sequence[Cell]


def choose_galleries(facts: Facts) -> list[Gallery]:
    """All galleries that have any cell, from the sample of rows and of discarded cells."""
    found = [
        random_kept(facts),
        random_discarded(facts),
        *(at_threshold(facts, k) for k in range(min(len(facts.rules), FEW))),
        *extremes(facts),
        failed_masks(facts),
    ]
    return [gallery for gallery in found if gallery.cells]


def cell_of(facts: Facts, row: int, why: str = "") -> Cell:
    """The cell of a row of the sample."""
    image, label = facts.sample.cells[row].tolist()
    return Cell(image, label, facts.sample.text("image", row), why)


def gone_of(facts: Facts, k: int, why: str = "") -> Cell:
    """A discarded cell that is known."""
    gone = facts.discarded
    return Cell(int(gone.index[k]), int(gone.label[k]), gone.images[k], why)


def some(images: Int64Array, count: int = MANY) -> Int64Array:
    """Places of so many cells at random, of few images if these hold many cells each."""
    if not len(images):
        return np.zeros(0, np.int64)
    order = np.random.default_rng(1).permutation(len(images))
    if len(np.unique(images)) > len(images) / 2:
        return order[:count]
    chosen = images[order][np.sort(np.unique(images[order], return_index=True)[1])][:FIELDS]
    each = -(-count // len(chosen))
    taken = [order[images[order] == image][:each] for image in chosen]
    return np.concatenate(taken)[:count]


def random_order(facts: Facts) -> list[int]:
    """Images of the cells that were kept, in random order, each once."""
    rows = np.random.default_rng(2).permutation(np.flatnonzero(facts.good))
    return list(dict.fromkeys(facts.sample.cells[rows, 0].tolist()))


def random_kept(facts: Facts) -> Gallery:
    """Cells that were kept."""
    rows = np.flatnonzero(facts.good)
    cells = [cell_of(facts, row) for row in rows[some(facts.sample.cells[rows, 0])].tolist()]
    return Gallery("kept", "Random kept cells", f"{len(cells)} at random.", cells)


def random_discarded(facts: Facts) -> Gallery:
    """Cells that were not."""
    known = np.flatnonzero(facts.discarded.index >= 0)
    places = known[some(facts.discarded.index[known])].tolist()
    cells = [gone_of(facts, k, _values(facts, k)) for k in places]
    text = f"{len(cells)} at random of {facts.discarded.total:,}."
    return Gallery("discarded", "Random discarded cells", text, cells)


def _values(facts: Facts, k: int) -> str:
    statistics = facts.discarded.statistics.items()
    return ", ".join(f"{name} {number(values[k])}" for name, values in statistics)


def at_threshold(facts: Facts, rule: int) -> Gallery:
    """The cells nearest to a rule's bounds, on both sides."""
    chosen = facts.rules[rule]
    title = f"Next to the threshold: {chosen.label}"
    name = chosen.statistics[0]
    cells: list[Cell] = []
    if chosen.bounds:
        bounds = np.array([chosen.bounds_of(g) for g in range(max(len(facts.groups), 1))])
        values = facts.sample.numbers.get(f"filter_{name}")
        if values is not None:
            for row in _nearest(values, bounds[facts.group], facts.good):
                why = f"kept, {name} {number(values[row])}"
                cells.append(cell_of(facts, row, why))
        gone = facts.discarded
        values = gone.statistics.get(name)
        if values is not None:
            for k in _nearest(values, bounds[gone.group], gone.index >= 0):
                cells.append(gone_of(facts, k, f"discarded, {name} {number(values[k])}"))
    text = "The nearest of those that were looked at, kept ones first."
    return Gallery(f"threshold{rule}", title, text, cells)


def _nearest(values: FloatArray, bounds: FloatArray, there: BoolArray) -> list[int]:
    distance = np.abs(values[:, np.newaxis] - bounds).min(axis=1, initial=np.inf)
    usable = np.flatnonzero(there & np.isfinite(distance))
    return usable[np.argsort(distance[usable], kind="stable")[: 2 * FEW]].tolist()


def extremes(facts: Facts) -> list[Gallery]:
    """Cells with the least and the most of some features."""
    found = []
    sample, choice = facts.sample, facts.choice
    chosen = {
        f"area of the combined mask{f' of {s}' if s else ''}": place
        for (s, channel), place in choice.areas.items()
        if channel == "combined" and s == facts.sets[0]
    }
    chosen |= {f"{c}: {choice.intensity_of}": place for c, place in choice.intensity.items()}
    for k, (what, place) in enumerate(list(chosen.items())[: FEW + 1]):
        values = sample.X[place].astype(np.float64)
        usable = np.flatnonzero(facts.good & np.isfinite(values))
        order = usable[np.argsort(values[usable], kind="stable")]
        rows = [*order[:FEW].tolist(), *order[max(FEW, len(order) - FEW) :].tolist()]
        cells = [cell_of(facts, row, number(values[row])) for row in rows]
        text = f"The {FEW} lowest and the {FEW} highest of {len(usable):,} cells looked at."
        found.append(Gallery(f"extreme{k}", f"Extreme: {what}", text, cells))
    return found


def failed_masks(facts: Facts) -> Gallery:
    """Cells that a mask set dropped: it found no mask in the main channel."""
    dropped = dropped_masks(facts)
    missing = np.logical_or.reduce([np.zeros(len(facts.sample), bool), *dropped.values()])
    rows = np.flatnonzero(missing)
    cells = []
    for row in rows[some(facts.sample.cells[rows, 0])].tolist():
        sets = ", ".join(name for name, gone in dropped.items() if gone[row])
        cells.append(cell_of(facts, row, f"none in {sets}" if sets else ""))
    text = f"{len(rows):,} of {len(facts.sample):,} cells looked at have none in a mask set."
    return Gallery("failed", "Failed masks", text, cells)
