"""Where a rank's time goes, by stage, and the flag that asks it to stop."""

from __future__ import annotations

import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

# Stages in which no rank waits for another.
WORK = ("read", "segment", "export", "measure", "send", "normalize", "features", "write")


class Timers:
    """Seconds of wall time and of CPU time spent in each stage."""

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block to a stage."""
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            self.wall[name] += time.perf_counter() - wall
            self.cpu[name] += time.thread_time() - cpu

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


# What asks a run to stop: time limits (as jobscripts set them), schedulers, people.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def hold_signals() -> None:
    """Keep signals to stop until `StopFlag.listen`: while libraries load, they would kill."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def outlast_signals() -> None:
    """From here on this process ends by itself, with its own exit code.

    Launchers send SIGTERM to all other ranks when the first one leaves with a code that is not 0,
    and would report that instead of the code that all ranks have agreed on.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def linger(seconds: float) -> None:
    """Wait so long, or until the launcher sends SIGTERM because another rank has left."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.sigtimedwait([signal.SIGTERM], seconds)


class StopFlag:
    """Set by a signal, polled between batches."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def listen(self) -> None:
        """Let SIGTERM, SIGINT and SIGUSR1 set the flag; a second SIGINT ends at once."""
        for number in STOPPING:
            signal.signal(number, self._set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _set(self, number: int, frame: object) -> None:
        if number == signal.SIGINT and self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name
