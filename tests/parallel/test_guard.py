from __future__ import annotations

import errno
import os

import pytest

from scip_mpi.parallel.guard import abort_guard, disk_fault
from scip_mpi.parallel.world import Alone


def test_a_full_disk_is_said_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = Alone()
    codes: list[int] = []
    monkeypatch.setattr(world, "abort", codes.append)
    with (
        pytest.raises(OSError, match="No space"),
        abort_guard(world),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x")
    said = capsys.readouterr().err
    assert said.startswith("[rank 0 of 1] scip_mpi: No space left on device [")
    assert "]. When that is mended, start the same command again: python -m scip_mpi " in said
    assert said.count("\n") == 1
    assert codes == [1]


def test_what_is_no_fault_of_the_disk_keeps_its_traceback() -> None:
    assert disk_fault(ValueError("a bug")) is None
    assert disk_fault(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x")) is None
    said = disk_fault(OSError(errno.EIO, "whatever a library says", "rows"))
    assert said is not None
    assert said.startswith("scip_mpi: Input/output error: rows. ")
