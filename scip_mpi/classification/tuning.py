"""Settings of the trees by trial, as many as there is time for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from scip_mpi.batches import Int64Array
from scip_mpi.classification.boosting import Cells, Effort, Settings
from scip_mpi.classification.scores import balanced_accuracy
from scip_mpi.classification.validation import cross_validate

# Values that are tried, one of each at a time.
CHOICES: dict[str, tuple[Any, ...]] = {
    "learning_rate": (0.03, 0.05, 0.1, 0.2),
    "max_depth": (2, 3, 4, 6, 8),
    "min_child_weight": (0.1, 1.0, 3.0, 10.0),
    "subsample": (0.5, 0.65, 0.8, 1.0),
    "colsample_bytree": (0.05, 0.1, 0.2, 0.3, 0.6),
    "reg_lambda": (0.1, 1.0, 5.0, 20.0),
    "max_bin": (32, 64, 128, 256),
    "balance": (0.5, 0.75, 1.0),
}


@dataclass(frozen=True)
class Tried:
    """The best settings, and how each that was tried did."""

    best: Settings
    trials: list[dict[str, Any]]


def candidates(first: Settings, seed: int) -> Iterator[Settings]:
    """The settings given, then others drawn at random, the same for the same seed."""
    yield first
    rng = np.random.Generator(np.random.PCG64(seed))
    while True:
        drawn = {name: values[rng.integers(len(values))] for name, values in CHOICES.items()}
        yield replace(first, **drawn)


def tune(
    cells: Cells,
    rows: Int64Array,
    first: Settings,
    folds: int,
    seed: int,
    budget: float,
    how: Effort,
    tell: Callable[[str], None],
) -> Tried:
    """Try settings by one cross-validation each, until the time is up.

    Those given are tried in any case; one that is under way when time is up is finished.

    Parameters
    ----------
    cells : Cells
    rows : ndarray of int64
        The cells to learn from, those held out not among them.
    first : Settings
    folds : int
    seed : int
        Of the folds, and of what is drawn.
    budget : float
        Seconds.
    how : Effort
    tell : callable
        Called with a line when settings have been tried.
    """
    end = time.monotonic() + budget
    best, most = first, -1.0
    trials: list[dict[str, Any]] = []
    for settings in candidates(first, seed):
        if trials and time.monotonic() >= end:
            break
        found = cross_validate(cells, rows, None, settings, folds, [seed], how, lambda n: None)
        score = balanced_accuracy(found.matrices[0])
        trials.append({"balanced_accuracy": round(score, 6), **asdict(settings)})
        if score > most:
            best, most = settings, score
        tell(f"settings {len(trials)}: balanced accuracy {score:.4f}, the best {most:.4f}")
    return Tried(best, trials)
