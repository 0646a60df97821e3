"""Journals: what was written comes back, what was damaged never does."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scip_mpi import disk
from scip_mpi.checkpoint.journal import (
    Journal,
    journal_path,
    look,
    read_single,
    write_single,
)
from scip_mpi.checkpoint.records import HEAD, Kind, scan

PAYLOADS = [b"", b"x", bytes(range(256)) * 3, b"scipmpi\x01" * 9, np.arange(40).tobytes()]


def filled(path: Path, payloads: list[bytes] = PAYLOADS) -> Path:
    journal = Journal(path)
    for key, payload in enumerate(payloads):
        journal.append(Kind.MEASURED, key, payload)
    journal.close()
    return path


def readable(path: Path) -> dict[int, bytes]:
    """What can be believed of a journal."""
    payloads = {record.key: record.read() for record in scan(path)[0]}
    return {key: bytes(p) for key, p in payloads.items() if p is not None}


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    path = filled(tmp_path / "journal")
    assert readable(path) == dict(enumerate(PAYLOADS))
    assert not scan(path)[1]


def test_a_journal_without_records_is_no_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.sync()
    journal.close()
    assert not journal.path.exists()


@given(st.data())
def test_a_journal_that_was_cut_off_holds_all_that_was_whole(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = filled(tmp_path_factory.mktemp("cut") / "journal")
    bounds = [record.offset + record.size for record in scan(path)[0]]
    size = data.draw(st.integers(0, path.stat().st_size))
    os.truncate(path, size)
    whole = sum(end <= size for end in bounds)
    # Without its payload's last bytes a record is not there; damage is something else.
    assert readable(path) == dict(enumerate(PAYLOADS[:whole]))
    assert not scan(path)[1]


@given(st.data())
def test_flipped_bytes_never_give_a_wrong_record(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = filled(tmp_path_factory.mktemp("flipped") / "journal")
    raw = bytearray(path.read_bytes())
    records, _ = scan(path)
    flips = data.draw(
        st.lists(st.tuples(st.integers(0, len(raw) - 1), st.integers(1, 255)), max_size=6)
    )
    for place, change in flips:
        raw[place] ^= change
    path.write_bytes(raw)
    touched = {k for k, r in enumerate(records) for place, _ in flips
               if r.offset - HEAD <= place < r.offset + r.size}  # fmt: skip
    found = readable(path)
    assert all(found[key] == PAYLOADS[key] for key in found)
    # Whatever was not touched is found behind what was.
    assert set(range(len(PAYLOADS))) - touched <= set(found)


@given(st.binary(max_size=4000))
def test_a_file_of_anything_is_no_journal(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("anything") / "journal"
    path.write_bytes(content)
    assert readable(path) == {}


def test_a_record_is_none_elsewhere(tmp_path: Path) -> None:
    """A journal within a record's payload, and a file shifted by some bytes."""
    inner = filled(tmp_path / "inner").read_bytes()
    outer = filled(tmp_path / "outer", [inner, inner[8:]])
    assert readable(outer) == {0: inner, 1: inner[8:]}
    raw = outer.read_bytes()
    outer.write_bytes(b"\0" * 8 + raw)
    assert readable(outer) == {}
    # The head of the first record destroyed: what is inside of it is not looked upon as records.
    outer.write_bytes(b"\0" * HEAD + raw[HEAD:])
    assert readable(outer) == {1: inner[8:]}
    assert scan(outer)[1]


@pytest.mark.parametrize("how", ["ENOSPC", "EIO", "short"])
@pytest.mark.parametrize("at", range(6))
def test_a_write_that_fails(
    how: str, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = os.pwrite, iter(range(100))

    def faulty(file: int, data: memoryview, offset: int) -> int:
        if how == "short":
            return write(file, data[: max(len(data) // 2, 1)], offset)
        if next(calls) == at:
            write(file, data[: len(data) // 2], offset)
            raise OSError(getattr(errno, how), os.strerror(getattr(errno, how)))
        return write(file, data, offset)

    monkeypatch.setattr(disk.os, "pwrite", faulty)
    payloads = PAYLOADS[1:4]
    if how == "short":
        assert readable(filled(tmp_path / "journal", payloads)) == dict(enumerate(payloads))
        return
    with pytest.raises(OSError, match=os.strerror(getattr(errno, how))):
        filled(tmp_path / "journal", payloads)
    assert readable(tmp_path / "journal") == dict(enumerate(payloads[: at // 2]))


def test_all_journals_of_a_folder(tmp_path: Path) -> None:
    assert look(tmp_path).starts == 0
    for start, rank in ((0, 0), (0, 1), (1, 0)):
        journal = Journal(journal_path(tmp_path, start, rank))
        journal.append(Kind.MEASURED, 10 * rank, f"{start} {rank}".encode())
        journal.append(Kind.WRITTEN, start, b"rows")
        journal.close()
    (tmp_path / "images.parquet").write_bytes(b"something else")
    found = look(tmp_path)
    assert found.starts == 2
    # The later start's counts: it measured again what could not be read.
    assert {k: bytes(r.read()) for k, r in found.measured.items()} == {0: b"1 0", 10: b"0 1"}
    assert [r.key for r in found.written] == [0, 0, 1]
    assert found.damaged == []
    path = journal_path(tmp_path, 0, 1)
    raw = bytearray(path.read_bytes())
    raw[3] ^= 1
    path.write_bytes(raw)
    assert look(tmp_path).damaged == [path]
    assert list(look(tmp_path).measured) == [0]


def test_a_file_of_one_record(tmp_path: Path) -> None:
    path = tmp_path / "table"
    assert read_single(path, Kind.TABLE) is None
    write_single(path, Kind.TABLE, 7, b"first")
    write_single(path, Kind.TABLE, 8, b"second")
    key, payload = read_single(path, Kind.TABLE) or (0, b"")
    assert (key, bytes(payload)) == (8, b"second")
    assert [p.name for p in tmp_path.iterdir()] == ["table"]
    assert read_single(path, Kind.RUN) is None
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert read_single(path, Kind.TABLE) is None
