"""When rows count as written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scip_mpi.batches import from_buffer
from scip_mpi.checkpoint.hands import Hand
from scip_mpi.checkpoint.journal import Journal, look
from scip_mpi.recording import Outcome, Recorder, RowLog, RowsRecord
from scip_mpi.results.hygiene import ColumnCheck


def counted(folder: Path) -> list[tuple[int, int]]:
    """The rows that a restart would find."""
    bodies = [record.read() for record in look(folder).written]
    return [tuple(s) for b in bodies for s in from_buffer(RowsRecord, np.asarray(b)).spans.tolist()]


@pytest.mark.parametrize(
    ("safe", "expected"), [(0.0, [[], [], [(0, 5)], [(0, 5)]]), (1e9, [[], [], [], []])]
)
def test_rows_count_when_those_of_another_chunk_are_next(
    safe: float,
    expected: list[list[tuple[int, int]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But not if others were brought to the disk just now."""
    monkeypatch.setattr("scip_mpi.recording.ROWS_SAFE", 1e9)
    monkeypatch.setattr("scip_mpi.recording.CHUNK_SAFE", safe)
    (tmp_path / "table").touch()
    hand = Hand(tmp_path / "hand-0000-00000")
    recorder = Recorder(Journal(tmp_path / "journal-0000-00000"), hand, "full")
    log = RowLog(recorder, tmp_path / "table", 0, Outcome(seen=ColumnCheck(3)))
    seen = []
    for start, rows, chunk in ((0, 2, 0), (2, 3, 0), (5, 1, 5), (6, 4, 5)):
        log.turn_to(chunk)
        seen.append(counted(tmp_path))
        log.add(start, rows)
    assert seen == expected
    log.close()
    recorder.close()
    assert sum(hi - lo for lo, hi in counted(tmp_path)) == 10
    assert log.outcome.rows == 10
