"""Whose OUT is, whether it is in use, and that nothing of others is ever removed."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scip_mpi.errors import UserError
from scip_mpi.results import folder
from scip_mpi.results.folder import PRIVATE, RUN, claim
from scip_mpi.results.h5ad import TableSpec, create_table
from scip_mpi.results.tables import write_failures

HOLD = """\
import sys, time
from pathlib import Path
from scip_mpi.results.folder import PRIVATE, RUN, claim
held = claim(Path(sys.argv[1]), False)
print("held", flush=True)
sys.stdin.readline()
held.release()
"""


def hold(out: Path) -> subprocess.Popen[str]:
    """Another process that has claimed OUT."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    return other


def finish(out: Path) -> None:
    """What a finished run leaves."""
    claimed = claim(out, False)
    create_table(out / "features.h5ad", TableSpec(0, {}, {}, {}, ["a"], {}, {}))
    write_failures(out / "failures.csv", [])
    (out / "features.parquet").mkdir()
    (out / "features.parquet" / "part-0.parquet").write_text("rows")
    claimed.release()


def contents(out: Path) -> dict[str, bytes | None]:
    return {
        str(p.relative_to(out)): p.read_bytes() if p.is_file() else None for p in out.rglob("*")
    }


def test_a_new_folder_is_made_and_given_back_empty(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    claimed = claim(out, False)
    assert (out / ".scip_mpi" / "lock").exists()
    claimed.release()
    assert contents(out) == {}
    claim(out, False).release()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_others_is_used_and_left_alone(overwrite: bool, tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "a.tif").write_text("pixels")
    (tmp_path / "notes.txt").write_text("keep")
    before = contents(tmp_path)
    claim(tmp_path, overwrite).release()
    assert contents(tmp_path) == before


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/nowhere"])
def test_out_that_cannot_be(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am no folder")
    out = tmp_path / where
    with pytest.raises(UserError, match=str(out)):
        claim(out, overwrite=True)
    assert (tmp_path / "file").read_text() == "I am no folder"


def test_out_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match=f"{tmp_path} cannot be written: Permission denied"):
        claim(tmp_path, False)


def test_a_finished_run_is_refused_untouched(tmp_path: Path) -> None:
    finish(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"finished run.*--overwrite"):
        claim(tmp_path, False)
    assert contents(tmp_path) == before


def test_overwrite_removes_what_we_wrote_and_nothing_else(tmp_path: Path) -> None:
    finish(tmp_path)
    (tmp_path / "notes.txt").write_text("keep")
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "mine.txt").write_text("keep")
    (tmp_path / "features.parquet" / "extra").mkdir()
    claimed = claim(tmp_path, overwrite=True)
    claimed.release()
    assert {k for k, v in contents(tmp_path).items() if v is not None} == {
        "notes.txt",
        "log/mine.txt",
    }
    assert (tmp_path / "features.parquet" / "extra").is_dir()


def test_an_out_in_use_is_refused_until_its_run_ends(tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = hold(out)
    for overwrite in (False, True):
        with pytest.raises(UserError, match="in use"):
            claim(out, overwrite)
    assert (out / ".scip_mpi" / "lock").exists()
    other.communicate("\n")
    assert other.returncode == 0
    assert not (out / ".scip_mpi").exists()
    claim(out, False).release()


def test_a_killed_run_leaves_a_stale_lock(tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = hold(out)
    (out / "features.h5ad.partial").write_text("half")
    other.send_signal(signal.SIGKILL)
    other.communicate()
    with pytest.raises(UserError, match=r"unfinished run.*--overwrite"):
        claim(out, False)
    assert (out / "features.h5ad.partial").exists()
    claimed = claim(out, overwrite=True)
    assert not (out / "features.h5ad.partial").exists()
    claimed.release()
    assert contents(out) == {}


def test_a_refused_claim_holds_no_lock(tmp_path: Path) -> None:
    other = hold(tmp_path)
    (tmp_path / "features.h5ad.partial").write_text("half")
    other.send_signal(signal.SIGKILL)
    other.communicate()
    with pytest.raises(UserError, match="unfinished run"):
        claim(tmp_path, False)
    code = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    lock = tmp_path / ".scip_mpi" / "lock"
    assert subprocess.run([sys.executable, "-c", code, lock], check=False).returncode == 0


def test_results_of_a_run_without_a_table_are_not_lost_silently(tmp_path: Path) -> None:
    """All images failed: there is a failures.csv, and no table."""
    write_failures(tmp_path / "failures.csv", [("a", "read", "?")])
    with pytest.raises(UserError, match=r"failures.csv.*--overwrite"):
        claim(tmp_path, False)
    claim(tmp_path, overwrite=True).release()
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", ["run.json", "failures.csv", "features.h5ad"])
def test_somebody_elses_files_of_our_names_are_never_removed(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("image;error\n")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=f"holds {name}.*no run of scip_mpi wrote"):
            claim(tmp_path, overwrite)
    assert contents(tmp_path) == {name: b"image;error\n"}


def test_a_run_that_came_and_went_since_we_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first look and the lock another run finishes in OUT."""
    lock = folder._lock

    def slow(out: Path) -> int:
        write_failures(out / "failures.csv", [])
        return lock(out)

    monkeypatch.setattr(folder, "_lock", slow)
    with pytest.raises(UserError, match=r"failures.csv"):
        claim(tmp_path, False)
    assert set(contents(tmp_path)) == {"failures.csv"}


def test_a_run_that_ended_before_it_said_what_it_was_is_no_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / PRIVATE).mkdir(parents=True)
    (out / PRIVATE / "lock").touch()
    (out / PRIVATE / "journal-0000-00001").write_bytes(b"of an older one")
    claimed = claim(out, overwrite=False, resumes=True)
    assert not claimed.unfinished
    assert [path.name for path in (out / PRIVATE).iterdir()] == ["lock"]
    claimed.release()
    assert contents(out) == {}


def test_an_unfinished_run_is_gone_on_with_by_a_run_and_refused_to_others(tmp_path: Path) -> None:
    claim(tmp_path, overwrite=False).keep()
    (tmp_path / PRIVATE / RUN).write_bytes(b"what it is")
    (tmp_path / "features.h5ad.partial").write_text("half")
    before = contents(tmp_path)
    with pytest.raises(UserError, match="holds an unfinished run; --overwrite"):
        claim(tmp_path, overwrite=False)
    claimed = claim(tmp_path, overwrite=False, resumes=True)
    assert claimed.unfinished
    assert contents(tmp_path) == before
    claimed.keep()
    claimed = claim(tmp_path, overwrite=True, resumes=True)
    assert not claimed.unfinished
    assert set(contents(tmp_path)) == {PRIVATE, f"{PRIVATE}/lock"}
    claimed.release()


def test_what_says_that_a_run_is_unfinished_goes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = claim(tmp_path, overwrite=False)
    for name in (RUN, "table", "journal-0000-00000", "images.parquet"):
        (tmp_path / PRIVATE / name).touch()
    order: list[str] = []
    unlink = Path.unlink

    def noted(path: Path, missing_ok: bool = False) -> None:
        order.append(path.name)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", noted)
    claimed.release()
    assert order[-1] == RUN
    assert len(order) == 4
