"""What chunks and rows cost, taken from the run.json of a real run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scip_mpi.batches import FloatArray, Int64Array

# Stages of the second pass; all other work on images belongs to the first, reading included.
SECOND = ("features", "write")
FIRST = ("read", "segment", "export", "measure")


@dataclass(frozen=True)
class Pieces:
    """Cost of the pieces of a pass: proportional to their items, times a factor that is drawn.

    Attributes
    ----------
    each : float
        Seconds of an item, on average.
    factors : ndarray of float64
        Cost of each recorded piece against what its items cost on average; mean 1, weighted.
    sizes : ndarray of int64
        Items of each recorded piece.
    """

    each: float
    factors: FloatArray
    sizes: Int64Array

    def draw(self, sizes: Sequence[int] | Int64Array, rng: np.random.Generator) -> FloatArray:
        """Costs of pieces of given sizes: recorded factors, drawn with replacement.

        A piece of n items that was recorded as one of m varies sqrt(m / n) times as much.
        """
        wanted = np.asarray(sizes, np.int64)
        at = rng.integers(0, len(self.factors), len(wanted))
        spread = np.sqrt(self.sizes[at] / np.maximum(wanted, 1))
        factors = 1 + (self.factors[at] - 1) * np.minimum(spread, 1.0)
        return self.each * wanted * factors


def pieces(records: Sequence[Sequence[float]], total: float | None = None) -> Pieces:
    """Costs from records of (items, seconds); ``total`` seconds if known, else their sum."""
    table = np.array([r for r in records if r[0] > 0], np.float64).reshape(-1, 2)
    items, seconds = table[:, 0], table[:, 1]
    each = seconds.sum() / items.sum()
    factors = seconds / (items * each)
    if total is not None:
        each = total / items.sum()
    return Pieces(float(each), factors, items.astype(np.int64))


@dataclass(frozen=True)
class Work:
    """Both passes: the cost of images, and of rows; and a row's part of Parquet at the end."""

    images: Pieces
    rows: Pieces
    parquet: float = 0.0


def from_run(run: Mapping[str, Any]) -> Work:
    """What run.json says: its records of chunks and of runs of rows, or its stages' totals."""
    ranks = run["ranks"]

    def spent(stages: Sequence[str]) -> float:
        return sum(r["stages"].get(s, {}).get("cpu_s", 0.0) for r in ranks for s in stages)

    def recorded(name: str, items: int, stages: Sequence[str]) -> Pieces:
        records = [record for rank in ranks for record in (rank.get("costs") or {}).get(name, ())]
        return pieces(records or [[items, spent(stages)]])

    return Work(
        recorded("chunks", run["images"], FIRST),
        recorded("runs", max(run["rows"], 1), SECOND),
        run.get("parquet_s", 0.0) / max(run["rows"], 1),
    )
