"""Progress on stderr: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO


class Progress(Protocol):
    """What is told about a stage."""

    def start(self, stage: str, total: int, unit: str) -> None:
        """A stage begins."""

    def advance(self, done: int, failed: int = 0) -> None:
        """So much more is done."""

    def say(self, text: str) -> None:
        """A line for the log."""

    def finish(self) -> None:
        """The stage is over."""

    def close(self) -> None:
        """All is over."""


class Silent:
    """Says nothing: ranks other than 0, and `--quiet`."""

    def start(self, stage: str, total: int, unit: str) -> None:
        """Say nothing."""

    def advance(self, done: int, failed: int = 0) -> None:
        """Say nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def finish(self) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing to give back."""


class Lines:
    """One line at the start of a stage, one every ``interval`` seconds, one at its end."""

    def __init__(self, stream: TextIO, interval: float = 60.0) -> None:
        self.stream = stream
        self.interval = interval

    def start(self, stage: str, total: int, unit: str) -> None:
        """Begin a stage."""
        self.stage, self.total, self.unit = stage, total, unit
        self.done = self.failed = 0
        self.begun = self.told = time.monotonic()

    def advance(self, done: int, failed: int = 0) -> None:
        """Count, and print if the last line is old enough."""
        self.done += done
        self.failed += failed
        if time.monotonic() - self.told >= self.interval:
            self.told = time.monotonic()
            self.say(self._state())

    def say(self, text: str) -> None:
        """Print a line with the time of day."""
        self.stream.write(f"{time.strftime('%H:%M:%S')} {text}\n")
        self.stream.flush()

    def finish(self) -> None:
        """Print how the stage went."""
        self.say(self._state())

    def close(self) -> None:
        """Nothing to give back."""

    def _state(self) -> str:
        seconds = max(time.monotonic() - self.begun, 1e-6)
        rate = self.done / seconds
        text = f"{self.stage}: {self.done:,} of {self.total:,} {self.unit}, {rate:,.0f}/s"
        if self.done < self.total and rate > 0:
            text += f", {clock((self.total - self.done) / rate)} left"
        elif self.done >= self.total:
            text += f", took {clock(seconds)}"
        return text + (f", {self.failed:,} failed" if self.failed else "")


class Bar(Lines):
    """A bar per stage, drawn by rich."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        super().__init__(stream)
        self.bars = Progress(
            TextColumn("{task.description:10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[unit]} {task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[bad]}"),
            console=Console(file=stream),
        )
        self.bars.start()

    def start(self, stage: str, total: int, unit: str) -> None:
        """Draw a new bar."""
        super().start(stage, total, unit)
        self.task = self.bars.add_task(stage, total=total, unit=unit, rate="", bad="")

    def advance(self, done: int, failed: int = 0) -> None:
        """Move the bar."""
        self.done += done
        self.failed += failed
        rate = self.done / max(time.monotonic() - self.begun, 1e-6)
        bad = f"{self.failed:,} failed" if self.failed else ""
        self.bars.update(self.task, advance=done, rate=f"{rate:,.0f}/s", bad=bad)

    def say(self, text: str) -> None:
        """Print above the bars."""
        self.bars.console.print(text, markup=False, highlight=False)

    def finish(self) -> None:
        """Stop drawing when all bars are full."""
        self.bars.refresh()

    def close(self) -> None:
        """Give the terminal back."""
        self.bars.stop()


def clock(seconds: float) -> str:
    """Seconds as people say them: 8 s, 3 min 20 s, 2 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def open_progress(quiet: bool, stream: TextIO | None = None) -> Progress:
    """The kind of progress that suits the stream, which is stderr if none is given."""
    if quiet:
        return Silent()
    stream = sys.stderr if stream is None else stream
    return Bar(stream) if stream.isatty() else Lines(stream)
