"""A run's work, piece by piece: what is simulated, and what a sleeping run sleeps for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.model.passes import Runs


@dataclass(frozen=True)
class Scenario:
    """Chunks in the order in which they are handed out.

    Attributes
    ----------
    images : list of int
        Images, each with one row, of each chunk.
    first, second : list of float
        Seconds of work of each chunk in the first and in the second pass.
    rows : int
        Rows of a run; the last run of a chunk may be shorter.
    weights : list of float
        What the program takes each chunk to cost, dearest first; none: chunks go out in order.
    """

    images: list[int]
    first: list[float]
    second: list[float]
    rows: int
    weights: list[float] | None = None

    def runs(self, chunk: int) -> Runs:
        """The runs of rows that a chunk is cut into."""
        n = self.images[chunk]
        sizes = [min(self.rows, n - start) for start in range(0, n, self.rows)]
        costs = [self.second[chunk] * size / n for size in sizes]
        return Runs(costs, sizes, [chunk] * len(sizes))

    def held(self, chunks: Iterable[int]) -> Runs:
        """The runs of a rank that holds some chunks, in the order of the catalog."""
        parts = [self.runs(chunk) for chunk in sorted(chunks)]
        return Runs(
            [c for p in parts for c in p.costs],
            [n for p in parts for n in p.rows],
            [k for p in parts for k in p.chunks],
        )

    def write(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self)))


def read(path: Path) -> Scenario:
    """Read what `Scenario.write` wrote."""
    return Scenario(**json.loads(path.read_text()))
