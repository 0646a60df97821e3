"""Where a rank's time goes, by stage."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

# Stages in which no rank waits for another.
WORK = (
    "illumination", "read", "segment", "export", "measure", "send", "normalize", "features",
    "write",
)  # fmt: skip
# Bins of a timeline, and their first width in seconds: when they are used up, pairs become one.
BINS = 240
FIRST_BIN = 0.02
# Pieces of work whose costs are kept; when there are more, every other one is dropped.
SAMPLES = 400


class Timers:
    """Seconds of wall time and of CPU time spent in each stage, in all and along the run.

    Attributes
    ----------
    at : str
        The stage that the rank is in; "" between two.
    latest : str
        The stage begun last.
    steps : int
        Stages and pieces of work begun so far: it stands still when the rank does.
    """

    def __init__(self) -> None:
        self.at = ""
        self.latest = ""
        self.steps = 0
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self.timeline = Timeline(time.time())
        self.costs: dict[str, Samples] = defaultdict(Samples)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block to a stage."""
        before, self.at, self.latest = self.at, name, name
        self.steps += 1
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self.at = before
            self.cpu[name] += time.thread_time() - cpu
            self._count(name, wall)

    @contextmanager
    def piece(self, kind: str, items: int) -> Iterator[None]:
        """Note the CPU time of a piece of work, such as a chunk of so many images."""
        self.steps += 1
        cpu = time.thread_time()
        yield
        self.costs[kind].add(items, time.thread_time() - cpu)

    def wait(self, seconds: float) -> None:
        """Count time just spent without anything to do."""
        self._count("wait", time.perf_counter() - seconds)

    def _count(self, name: str, begun: float) -> None:
        now = time.perf_counter()
        self.wall[name] += now - begun
        self.timeline.add(name, begun, now)

    def busy(self) -> dict[str, float]:
        """Seconds of work on images and rows, without compiling and waiting for others."""
        cpu = sum(self.cpu[name] for name in WORK)
        wall = sum(self.wall[name] for name in WORK)
        return {"wall_s": round(wall, 4), "cpu_s": round(cpu, 4)}

    def summary(self) -> dict[str, dict[str, float]]:
        """Figures for run.json."""
        return {
            name: {"wall_s": round(self.wall[name], 4), "cpu_s": round(self.cpu[name], 4)}
            for name in sorted(self.wall)
        }


@dataclass
class Timeline:
    """Seconds spent in each stage, by bins of time of equal width, of which there are never many.

    Attributes
    ----------
    start : float
        When it begins, in seconds of Unix time.
    width : float
        Seconds of a bin.
    stages : dict of str to list of float
        Seconds of each stage in each bin.
    """

    start: float
    width: float = FIRST_BIN
    stages: dict[str, list[float]] = field(default_factory=dict)
    _origin: float = field(default_factory=time.perf_counter)

    def add(self, stage: str, begun: float, ended: float) -> None:
        """Take in an interval, in seconds of `time.perf_counter`."""
        first, last = begun - self._origin, ended - self._origin
        while last >= BINS * self.width:
            self.width *= 2
            for bins in self.stages.values():
                bins[:] = [*map(sum, zip(bins[::2], bins[1::2], strict=True))] + [0.0] * (BINS // 2)
        bins = self.stages.setdefault(stage, [0.0] * BINS)
        for k in range(int(first / self.width), int(last / self.width) + 1):
            bins[k] += max(min(last, (k + 1) * self.width) - max(first, k * self.width), 0.0)

    def summary(self) -> dict[str, Any]:
        """Figures for run.json; bins without any stage at the end are left out."""
        used = max((k + 1 for b in self.stages.values() for k, s in enumerate(b) if s), default=0)
        return {
            "start_s": round(self.start, 3),
            "bin_s": self.width,
            "stages": {n: [round(s, 4) for s in b[:used]] for n, b in self.stages.items()},
        }


@dataclass
class Samples:
    """What pieces of work cost: all of them, or every second, fourth, ... if they are many."""

    items: list[tuple[int, float]] = field(default_factory=list)
    every: int = 1
    seen: int = 0

    def add(self, size: int, seconds: float) -> None:
        """Take in a piece of so many images or rows."""
        if self.seen % self.every == 0:
            self.items.append((size, round(seconds, 6)))
        self.seen += 1
        if len(self.items) > SAMPLES:
            self.items = self.items[::2]
            self.every *= 2
