"""Repeated cross-validation: how well cells are told apart that a model has not seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.classification import boosting
from scip_mpi.classification.boosting import Cells, Effort, Settings
from scip_mpi.classification.scores import confusion
from scip_mpi.errors import UserError

Tell = Callable[[int], None]


@dataclass(frozen=True)
class Validated:
    """What cross-validation found.

    Attributes
    ----------
    matrices : ndarray of int64, shape (repeats, k, k)
        The confusion matrix of each repeat: every cell was told once, by a model without it.
    probabilities : ndarray of float64, shape (n, k)
        Mean over the repeats, for the rows given.
    rounds : int
        Median over all models.
    """

    matrices: Int64Array
    probabilities: FloatArray
    rounds: int


def check_classes(cells: Cells, rows: Int64Array, folds: int) -> None:
    """Refuse classes of which not every fold can have a cell, or a group.

    Raises
    ------
    UserError
        There is only one class, too few groups, or a class with too few cells.
    """
    if len(cells.classes) < 2:
        raise UserError(
            f"there is only one class, {cells.classes[0]!r}: two at least are told apart"
        )
    counts = np.bincount(cells.codes[rows], minlength=len(cells.classes))
    few = int(counts.argmin())
    if counts[few] < folds:
        raise UserError(
            f"class {cells.classes[few]!r} has {counts[few]} of the cells to learn from, fewer "
            f"than {folds} folds: take --folds {max(2, counts[few])}, or leave it out by "
            "--drop-rare"
        )
    if cells.groups is not None and len(np.unique(cells.groups[rows])) < folds:
        groups = len(np.unique(cells.groups[rows]))
        raise UserError(
            f"--group-by gives {groups} groups of labelled cells, fewer than {folds} folds: take "
            f"--folds {groups}"
            if groups > 1
            else "--group-by gives one group of labelled cells only"
        )


def cross_validate(
    cells: Cells,
    rows: Int64Array,
    columns: Int64Array | None,
    settings: Settings,
    folds: int,
    seeds: Sequence[int],
    how: Effort,
    tell: Tell,
) -> Validated:
    """Tell every cell by models that have not seen it, as often as there are seeds.

    Parameters
    ----------
    cells : Cells
    rows : ndarray of int64
        The cells that take part.
    columns : ndarray of int64, or None
        Which columns are learnt from; None for all.
    settings : Settings
    folds : int
    seeds : sequence of int
        One for each repeat.
    how : Effort
    tell : callable
        Called with 1 when a fold is done.
    """
    k = len(cells.classes)
    work = [
        (repeat, learn, test, seed * folds + fold)
        for repeat, seed in enumerate(seeds)
        for fold, (learn, test) in enumerate(boosting.splits(cells, rows, folds, seed))
    ]

    def one(item: tuple[int, Int64Array, Int64Array, int]) -> tuple[NDArray[np.float32], int]:
        _, learn, test, seed = item
        booster = boosting.fit(cells, learn, columns, settings, seed, how)
        found = boosting.told(booster, cells, test, columns)
        tell(1)
        return found, booster.num_boosted_rounds()

    place = np.full(len(cells.codes), -1, np.int64)
    place[rows] = np.arange(len(rows))
    total = np.zeros((len(rows), k))
    matrices = np.zeros((len(seeds), k, k), np.int64)
    rounds = []
    # In the order of the work, whichever ends first: sums are the same for any number of jobs.
    for (repeat, _, test, _), (found, count) in zip(
        work, in_order(one, work, how.jobs), strict=True
    ):
        total[place[test]] += found
        matrices[repeat] += confusion(cells.codes[test], found.argmax(axis=1), k)
        rounds.append(count)
    return Validated(matrices, total / len(seeds), int(np.median(rounds)))


def in_order(function: Callable[[Any], Any], items: Sequence[Any], jobs: int) -> Any:
    """Results in the order of the items, several at once; the first error ends it all soon."""
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(function, item) for item in items]
        try:
            for future in waiting:
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def hold_out(
    cells: Cells, wanted: str, column: Callable[[str], NDArray[Any]], seed: int
) -> tuple[Int64Array, Int64Array]:
    """Cells to learn from, and cells that no model sees before the end.

    Parameters
    ----------
    cells : Cells
    wanted : str
        A share such as ``0.2``, or ``COLUMN=VALUE``.
    column : callable
        What each cell has in the column of a name.
    seed : int

    Raises
    ------
    UserError
        It makes no sense, or leaves nothing on one side.
    """
    rows = np.arange(len(cells.codes))
    name, equals, value = wanted.partition("=")
    if equals:
        values = column(name)
        marked = values == value
        if marked.all() or not marked.any():
            found = ", ".join(sorted(set(values.tolist()))[:8])
            raise UserError(
                f"--hold-out {wanted} holds {'all' if marked.all() else 'no'} labelled cells; "
                f"{name} is one of: {found}"
            )
        both = (
            set()
            if cells.groups is None
            else set(cells.groups[marked]) & set(cells.groups[~marked])
        )
        if both:
            raise UserError(
                f"--hold-out {wanted} would put {len(both)} groups of --group-by on both sides"
            )
        return rows[~marked], rows[marked]
    try:
        share = float(wanted)
    except ValueError:
        share = 0.0
    if not 0.0 < share <= 0.5:
        raise UserError(f"--hold-out {wanted} is neither a share from 0.01 to 0.5 nor COLUMN=VALUE")
    learn, held = boosting.set_apart(cells, rows, share, seed)
    if not len(held):
        raise UserError(f"--hold-out {wanted} leaves nothing to hold out of so few cells or groups")
    return learn, held
