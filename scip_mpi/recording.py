"""What a rank writes down as it goes, for a restart: chunks measured, rows on the disk."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scip_mpi import disk
from scip_mpi.batches import Int64Array, UInt8Array, to_buffer
from scip_mpi.checkpoint.hands import Hand
from scip_mpi.checkpoint.journal import Journal
from scip_mpi.checkpoint.records import Kind
from scip_mpi.holdings import saved_in
from scip_mpi.loaders.contract import Failure
from scip_mpi.pipeline import failures_of
from scip_mpi.results.hygiene import ColumnCheck
from scip_mpi.store import Saved

# Seconds of work that a power cut may take: measured chunks that are not on the disk yet. Other
# ends take none of them.
MEASURED_SAFE = 5.0
# Seconds after which rows are brought to the disk; before, they do not count as written.
ROWS_SAFE = 0.5
# The same where a chunk is complete: an end costs the rows of one chunk, or of so much work.
CHUNK_SAFE = 0.1


@dataclass
class Outcome:
    """What there is to say of rows that are in the table."""

    rows: int = 0
    failures: list[Failure] = field(default_factory=list)
    overflows: int = 0
    seen: ColumnCheck | None = None

    def add(self, other: Outcome) -> None:
        """Take in what there is to say of other rows."""
        self.rows += other.rows
        self.failures += other.failures
        self.overflows += other.overflows
        if self.seen is not None and other.seen is not None:
            self.seen.merge(other.seen)


@dataclass(frozen=True)
class RowsRecord:
    """Rows that are on the disk, and what an `Outcome` says of them.

    Attributes
    ----------
    spans : ndarray of int64, shape (n, 2)
        First row of each range, and the row behind its last.
    overflows : ndarray of int64, shape (1,)
    failures : ndarray of uint8
        JSON.
    nan, low, high
        As in `ColumnCheck`.
    """

    spans: Int64Array
    overflows: Int64Array
    failures: UInt8Array
    nan: Int64Array
    low: NDArray[np.float32]
    high: NDArray[np.float32]

    def outcome(self) -> Outcome:
        """What the rank that wrote these rows had to say of them."""
        seen = ColumnCheck(len(self.nan))
        seen.nan, seen.low, seen.high = self.nan.copy(), self.low.copy(), self.high.copy()
        return Outcome(
            rows=int((self.spans[:, 1] - self.spans[:, 0]).sum()),
            failures=failures_of(self.failures),
            overflows=int(self.overflows[0]),
            seen=seen,
        )


class Recorder:
    """What a rank writes down, as far as it is to (``resources.checkpoint``).

    Parameters
    ----------
    journal : Journal
    hand : Hand
    mode : {'full', 'rows', 'off'}
    """

    def __init__(self, journal: Journal, hand: Hand, mode: str) -> None:
        self.journal = journal
        self.hand = hand
        self.mode = mode

    def at(self, lo: int, hi: int) -> AbstractContextManager[None]:
        """Note that this rank is at images ``lo`` to ``hi``."""
        return nullcontext() if self.mode == "off" else self.hand.at(lo, hi)

    def fatal(self, failure: Failure) -> None:
        """Write down that an image kills the process that works on it."""
        told = json.dumps(asdict(failure)).encode()
        self.journal.append(Kind.FATAL, failure.index, told)
        self.journal.sync()

    def close(self) -> None:
        """Let go of the files."""
        self.journal.close()
        self.hand.close()

    def measured(self, lo: int, body: UInt8Array) -> Saved | None:
        """Write down a chunk, a `Segmented`; where it is then."""
        if self.mode != "full":
            return None
        record = self.journal.append(Kind.MEASURED, lo, body)
        self.journal.sync(MEASURED_SAFE)
        return saved_in(record, body)

    def written(self, generation: int, spans: Sequence[tuple[int, int]], of: Outcome) -> None:
        """Write down that rows are on the disk, and what there is to say of them."""
        assert of.seen is not None
        record = RowsRecord(
            spans=np.array(spans, np.int64).reshape(-1, 2),
            overflows=np.array([of.overflows], np.int64),
            failures=np.frombuffer(json.dumps([asdict(f) for f in of.failures]).encode(), np.uint8),
            nan=of.seen.nan,
            low=of.seen.low,
            high=of.seen.high,
        )
        self.journal.append(Kind.WRITTEN, generation, to_buffer(record))
        self.journal.sync()


class RowLog:
    """The rows that a rank writes: they count once they are on the disk.

    Parameters
    ----------
    recorder : Recorder
    table : Path
        The file that the rows are in.
    generation : int
        Which of the tables that the run has begun.
    outcome : Outcome
        What there is to say of all rows that count.

    Attributes
    ----------
    fresh : Outcome
        What there is to say of the rows that do not count yet.
    """

    def __init__(self, recorder: Recorder, table: Path, generation: int, outcome: Outcome) -> None:
        self.recorder = recorder
        self.table = table
        self.generation = generation
        self.outcome = outcome
        self.file = -1
        self.chunk = -1
        self._begin()

    def _begin(self) -> None:
        assert self.outcome.seen is not None
        self.spans: list[tuple[int, int]] = []
        self.fresh = Outcome(seen=ColumnCheck(len(self.outcome.seen.nan)))
        self.since = time.monotonic()

    def turn_to(self, chunk: int) -> None:
        """Rows of a chunk are next: make those of another one count, unless some did just now."""
        if chunk != self.chunk and self.spans and time.monotonic() - self.since >= CHUNK_SAFE:
            self.flush()
        self.chunk = chunk

    def add(self, start: int, rows: int) -> None:
        """So many rows from ``start`` on are written."""
        self.fresh.rows += rows
        if self.spans and self.spans[-1][1] == start:
            self.spans[-1] = self.spans[-1][0], start + rows
        else:
            self.spans.append((start, start + rows))
        if time.monotonic() - self.since >= ROWS_SAFE:
            self.flush()

    def flush(self) -> None:
        """Bring the rows to the disk, and write down that they are there.

        Through a descriptor of its own: whoever wrote them (MPI's files and parallel HDF5 hand
        each rank's own rows to the system at once), it is for the whole file that it is asked.
        """
        if self.spans and self.recorder.mode != "off":
            if self.file < 0:
                self.file = os.open(self.table, os.O_RDONLY)
            disk.sync(self.file)
            self.recorder.written(self.generation, self.spans, self.fresh)
        self.outcome.add(self.fresh)
        self._begin()

    def close(self) -> None:
        """Make all rows count."""
        self.flush()
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
