"""XGBoost's trees by histogram: from labelled cells to a model, out of core where it must be.

Imported only where there is something to learn: it needs the ``ml`` extra.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from scip_mpi.batches import Int64Array

# Values handed to XGBoost at once.
BLOCK_VALUES = 1 << 22
# Bytes of a matrix of bins for each value: what XGBoost keeps by row and by column.
BYTES_PER_VALUE = 8
# One cell in so many is set aside to say when to stop.
STOP_FOLDS = 6


@dataclass(frozen=True)
class Cells:
    """What is learnt from.

    Attributes
    ----------
    values : ndarray of float32, shape (n, columns)
        NaN is missing.
    codes : ndarray of int64, shape (n,)
        Into the classes.
    classes : list of str
    groups : ndarray of int64, shape (n,), or None
        Cells of a group are never on two sides of a split.
    """

    values: NDArray[np.float32]
    codes: Int64Array
    classes: list[str]
    groups: Int64Array | None = None


@dataclass(frozen=True)
class Settings:
    """Of the trees; names as XGBoost has them, but for the last three.

    Attributes
    ----------
    balance : float
        Weight of a class of a share s of the cells: s to the power of minus this. 1 makes all
        classes count the same, 0 all cells.
    rounds : int
        At most so many trees for each class.
    patience : int
        Stop after so many rounds in which the cells set aside were told apart no better.
    """

    learning_rate: float = 0.1
    max_depth: int = 4
    min_child_weight: float = 1.0
    subsample: float = 0.8
    colsample_bytree: float = 0.3
    reg_lambda: float = 1.0
    max_bin: int = 64
    balance: float = 1.0
    rounds: int = 600
    patience: int = 25


@dataclass(frozen=True)
class Effort:
    """How a model is made, which changes nothing of it but in its last bits.

    Attributes
    ----------
    threads : int
        Of each model.
    jobs : int
        Models at once.
    external : Path or None
        Folder for what does not fit into memory; None where all fits.
    """

    threads: int = 1
    jobs: int = 1
    external: Path | None = None


def effort(cells: int, columns: int, memory: int, jobs: int, threads: int, folder: Path) -> Effort:
    """As many models at once as fit into memory; if not even one does, one by one from files."""
    fit = memory // max(1, BYTES_PER_VALUE * cells * columns)
    return Effort(threads, min(jobs, fit), None) if fit else Effort(threads, 1, folder)


class Blocks(xgboost.DataIter):
    """Chosen cells and columns, block by block, as often as XGBoost wants to see them."""

    def __init__(
        self,
        cells: Cells,
        rows: Int64Array,
        columns: Int64Array | None,
        weights: NDArray[np.float32],
        prefix: str | None,
    ) -> None:
        super().__init__(cache_prefix=prefix, release_data=True)
        self.cells, self.rows, self.columns, self.weights = cells, rows, columns, weights
        self.step = max(1, BLOCK_VALUES // max(1, cells.values.shape[1]))
        self.at = 0

    def next(self, input_data: Callable[..., Any]) -> bool:
        """Hand over one more block, if there is one."""
        part = slice(self.at, self.at + self.step)
        mine = self.rows[part]
        if not len(mine):
            return False
        self.at = part.stop
        codes = self.cells.codes[mine]
        data = chosen(self.cells.values, mine, self.columns)
        input_data(data=data, label=codes.astype(np.float32), weight=self.weights[part])
        return True

    def reset(self) -> None:
        """Begin again."""
        self.at = 0


def chosen(
    values: NDArray[np.float32], rows: Int64Array, columns: Int64Array | None
) -> NDArray[np.float32]:
    """A copy of some rows and columns; None for all columns."""
    block = np.asarray(values[rows])
    return block if columns is None else np.ascontiguousarray(block[:, columns])


def class_weights(codes: Int64Array, classes: int, balance: float) -> NDArray[np.float32]:
    """A weight per cell by its class, 1 on average."""
    share = np.bincount(codes, minlength=classes) / len(codes)
    weight = np.where(share > 0, share, 1.0) ** -balance
    each = weight[codes]
    return (each / each.mean()).astype(np.float32)


def fit(
    cells: Cells,
    rows: Int64Array,
    columns: Int64Array | None,
    settings: Settings,
    seed: int,
    how: Effort,
) -> xgboost.Booster:
    """Learn from some cells: how many rounds, from a part of them; then that many, from all.

    Parameters
    ----------
    cells : Cells
    rows : ndarray of int64
    columns : ndarray of int64, or None
        Which of the columns; None for all.
    settings : Settings
    seed : int
    how : Effort
    """
    rounds = settings.rounds
    if settings.patience:
        learn, watch = set_aside(cells, rows, seed)
        rounds = best_rounds(cells, learn, watch, columns, settings, seed, how)
    return grow(cells, rows, columns, replace(settings, rounds=rounds), seed, how)


def set_aside(cells: Cells, rows: Int64Array, seed: int) -> tuple[Int64Array, Int64Array]:
    """Cells to learn from, and cells that say when to stop; of very few cells, all for both."""
    counts = np.bincount(cells.codes[rows])
    if cells.groups is None and counts[counts > 0].min() >= STOP_FOLDS:
        learn, watch = splits(cells, rows, STOP_FOLDS, seed)[0]
    else:
        learn, watch = set_apart(cells, rows, 1 / STOP_FOLDS, seed)
    return (learn, watch) if len(learn) and len(watch) else (rows, rows)


def set_apart(
    cells: Cells, rows: Int64Array, share: float, seed: int
) -> tuple[Int64Array, Int64Array]:
    """Most of the cells, and about a share of them: of each class, or of the groups."""
    rng = np.random.Generator(np.random.PCG64(seed))
    apart = np.zeros(len(rows), bool)
    if cells.groups is None:
        for k in np.unique(cells.codes[rows]):
            own = rng.permutation(np.flatnonzero(cells.codes[rows] == k))
            apart[own[: round(share * len(own))]] = True
    else:
        known, group, counts = np.unique(
            cells.groups[rows], return_inverse=True, return_counts=True
        )
        order = rng.permutation(len(known))
        # Whole groups as long as they do not go beyond the share; but one at least, if another is
        # left.
        taken = np.cumsum(counts[order]) <= max(share * len(rows), counts[order[0]])
        taken &= len(known) > 1
        apart = np.isin(group, order[taken])
    return rows[~apart], rows[apart]


def splits(
    cells: Cells, rows: Int64Array, folds: int, seed: int
) -> list[tuple[Int64Array, Int64Array]]:
    """Rows for each fold, to learn from and to be told: classes evenly, groups whole."""
    codes = cells.codes[rows]
    splitter: StratifiedKFold | StratifiedGroupKFold
    if cells.groups is None:
        splitter, groups = StratifiedKFold(folds, shuffle=True, random_state=seed), None
    else:
        groups = cells.groups[rows]
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return [(rows[a], rows[b]) for a, b in splitter.split(codes, codes, groups)]


def best_rounds(
    cells: Cells,
    learn: Int64Array,
    watch: Int64Array,
    columns: Int64Array | None,
    settings: Settings,
    seed: int,
    how: Effort,
) -> int:
    """Rounds after which the cells that are watched are told apart best, by their log loss."""
    matrix = _matrix(cells, learn, columns, settings, how, f"learn{seed}")
    other = _matrix(cells, watch, columns, settings, how, f"watch{seed}", matrix)
    booster = xgboost.train(
        _parameters(cells, settings, seed, how),
        matrix,
        settings.rounds,
        evals=[(other, "watched")],
        early_stopping_rounds=settings.patience,
        verbose_eval=False,
    )
    return int(booster.best_iteration) + 1


def grow(
    cells: Cells,
    rows: Int64Array,
    columns: Int64Array | None,
    settings: Settings,
    seed: int,
    how: Effort,
) -> xgboost.Booster:
    """A model of so many rounds as the settings say."""
    matrix = _matrix(cells, rows, columns, settings, how, f"all{seed}")
    return xgboost.train(_parameters(cells, settings, seed, how), matrix, settings.rounds)


def _matrix(
    cells: Cells,
    rows: Int64Array,
    columns: Int64Array | None,
    settings: Settings,
    how: Effort,
    name: str,
    ref: Any = None,
) -> Any:
    weights = class_weights(cells.codes[rows], len(cells.classes), settings.balance)
    prefix = None if how.external is None else str(how.external / name)
    blocks = Blocks(cells, rows, columns, weights, prefix)
    kind = xgboost.QuantileDMatrix if prefix is None else xgboost.ExtMemQuantileDMatrix
    return kind(blocks, ref=ref, max_bin=settings.max_bin, nthread=how.threads)


def _parameters(cells: Cells, settings: Settings, seed: int, how: Effort) -> dict[str, Any]:
    own = {k: v for k, v in asdict(settings).items() if k not in ("balance", "rounds", "patience")}
    return {
        "objective": "multi:softprob",
        "num_class": len(cells.classes),
        "eval_metric": "mlogloss",
        "tree_method": "hist",
        "seed": seed,
        "nthread": how.threads,
        **own,
    }


def probabilities(booster: xgboost.Booster, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of each class, for each row of values, whose columns are those learnt from."""
    found: NDArray[np.float32] = booster.inplace_predict(values, missing=np.nan)
    return found


def told(
    booster: xgboost.Booster, cells: Cells, rows: Int64Array, columns: Int64Array | None
) -> NDArray[np.float32]:
    """Probabilities of some of the cells, block by block."""
    step = max(1, BLOCK_VALUES // max(1, cells.values.shape[1]))
    parts: Sequence[NDArray[np.float32]] = [
        probabilities(booster, chosen(cells.values, rows[lo : lo + step], columns))
        for lo in range(0, len(rows), step)
    ]
    return np.concatenate(parts) if parts else np.empty((0, len(cells.classes)), np.float32)
