"""Runs that end before their time, and the same command again: the bytes of an undisturbed run."""

from __future__ import annotations

import json
import os
import pkgutil
import random
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

import h5py
import numpy as np
import pytest
from cells import copy_cells, jurkat_files, write_config
from tables import digest

import scip_mpi.passes
from scip_mpi import disk, publish
from scip_mpi.checkpoint.journal import look
from scip_mpi.errors import UserError
from scip_mpi.job import Request
from scip_mpi.parallel.inprocess import ThreadLink, run_threads
from scip_mpi.parallel.world import Alone
from scip_mpi.results.folder import PRIVATE
from scip_mpi.run import run

FILTER = "filter: {name: mad, statistic: mean, channel: PI, n_mads: 2, by: group}\n"
RESOURCES = "resources: {chunk_size: 2, segmenters: %d, checkpoint: %s}\n"
CELLS = 40


# Rank 0's threads end as everything does.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Cut(BaseException):
    """The end of all ranks."""


def broken(*_: Any) -> None:
    raise Cut


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_cells(jurkat_files(shared_dir, CELLS), tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def undisturbed(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run(Alone(), request(cells, folder)) == 0
    return folder / "out"


@pytest.fixture
def safe_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows count as soon as they are written, so that short runs have some."""
    monkeypatch.setattr("scip_mpi.recording.ROWS_SAFE", 0.0)


def request(
    cells: Path, folder: Path, segmenters: int = 0, mode: str = "full", **options: Any
) -> Request:
    config = write_config(folder / "scip.yml", FILTER + RESOURCES % (segmenters, mode))
    return Request(config, [str(cells)], folder / "out", quiet=True, **options)


def files(out: Path) -> dict[str, bytes]:
    """All files but what tells of the run, and the table, whose parts are compared."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("run.json", "features.h5ad")
    }


def same(out: Path, undisturbed: Path) -> None:
    assert digest(out) == digest(undisturbed)
    assert files(out) == files(undisturbed)
    assert not (out / PRIVATE).exists()


def cut_at(message: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """All ranks end with the n-th message that is sent; returns what undoes it."""
    send = ThreadLink.send
    count = [0]

    def counted(link: ThreadLink, *args: Any) -> None:
        count[0] += 1
        if count[0] >= message:
            link.meeting.barrier.abort()
            raise Cut
        send(link, *args)

    monkeypatch.setattr(ThreadLink, "send", counted)
    return lambda: monkeypatch.setattr(ThreadLink, "send", send)


def attempt(size: int, asked: Request) -> bool:
    """Whether a run came to its end."""
    try:
        return run_threads(size, lambda world: run(world, asked)) == [0] * size
    except RuntimeError as error:
        if isinstance(error.__cause__, Cut | BrokenBarrierError):
            return False
        raise


def counting(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How often each image is segmented from now on."""
    segmented: Counter[int] = Counter()
    segment = scip_mpi.passes.segment

    def counted(stages: Any, references: Any, *rest: Any) -> Any:
        segmented.update(references.index.tolist())
        return segment(stages, references, *rest)

    monkeypatch.setattr(scip_mpi.passes, "segment", counted)
    return segmented


@pytest.mark.usefixtures("safe_at_once")
@pytest.mark.parametrize("segmenters", [0, 1])
@pytest.mark.parametrize("mode", ["full", "rows", "off"])
def test_cut_at_a_message_and_gone_on_with_by_other_ranks(
    mode: str,
    segmenters: int,
    cells: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After every cut a world of another size goes on, is cut off later, and so on."""
    segmented = counting(monkeypatch)
    sizes = [3, 2, 4, 1, 2, 3]
    asked = request(cells, tmp_path, segmenters, mode)
    starts = 0
    for starts, message in enumerate(range(17, 10_000, 31)):
        restore = cut_at(message if mode == "full" else 2 * message, monkeypatch)
        done = attempt(sizes[starts % len(sizes)], asked)
        restore()
        if done:
            break
    assert starts >= 1
    same(asked.out, undisturbed)
    if mode == "full":
        # At most one chunk a rank and start.
        ranks = sum(sizes[k % len(sizes)] for k in range(starts))
        assert sum(segmented.values()) - CELLS <= 2 * ranks


@pytest.mark.usefixtures("safe_at_once")
@pytest.mark.parametrize("message", range(3, 240, 12))
def test_cut_at_any_message_and_gone_on_with(
    message: int,
    cells: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = request(cells, tmp_path)
    restore = cut_at(message, monkeypatch)
    done = attempt(3, asked)
    restore()
    segmented = counting(monkeypatch)
    found = look(asked.out / PRIVATE).measured if not done else {}
    assert done or attempt(2, asked)
    same(asked.out, undisturbed)
    assert done or sum(segmented.values()) == CELLS - 2 * len(found)


STAGES = [
    "scip_mpi.restart:write_single",
    "scip_mpi.run:find_images",
    "scip_mpi.run:decide",
    "scip_mpi.run:create_table",
    "scip_mpi.results.h5ad:write_uns",
    "scip_mpi.table:write_single",
    "scip_mpi.passes:open_writer",
    "scip_mpi.passes:adopt_rows",
    "scip_mpi.publish:write_failures",
    "scip_mpi.publish:h5ad.complete",
    "scip_mpi.publish:parquet.export",
    "scip_mpi.publish:write_run_json",
    "scip_mpi.publish:settle_all",
    "scip_mpi.publish:leave",
]


@pytest.mark.usefixtures("safe_at_once")
@pytest.mark.parametrize(("stage", "after"), [(s, a) for s in STAGES for a in (False, True)][:-1])
def test_cut_in_a_stage(
    stage: str,
    after: bool,
    cells: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = request(cells, tmp_path)
    with monkeypatch.context() as patch:
        original = pkgutil.resolve_name(stage)

        def broken(*args: Any, **kwargs: Any) -> None:
            if after:
                original(*args, **kwargs)
            raise Cut

        patch.setattr(stage.replace(":", "."), broken)
        with pytest.raises(Cut):
            run(Alone(), asked)
    assert run(Alone(), asked) == 0
    same(asked.out, undisturbed)
    assert json.loads((asked.out / "run.json").read_text())["exit_code"] == 0


def test_cut_while_the_checkpoint_is_removed(
    cells: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Part of it is gone; all is there that a user wants."""
    asked = request(cells, tmp_path)
    unlink = Path.unlink

    def broken(path: Path, missing_ok: bool = False) -> None:
        if path.name.startswith("journal"):
            raise Cut
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", broken)
        with pytest.raises(Cut):
            run(Alone(), asked)
    assert (asked.out / PRIVATE).exists()
    segmented = counting(monkeypatch)
    assert attempt(2, asked)
    same(asked.out, undisturbed)
    assert not segmented


def unfinished(cells: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """A run that has written all its rows, and was cut off before it published them."""
    asked = request(cells, folder)

    with monkeypatch.context() as patch:
        patch.setattr(publish, "write_failures", broken)
        with pytest.raises(Cut):
            run(Alone(), asked)
    return asked


def rows_computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    rows: list[int] = []
    compute = scip_mpi.passes.compute

    def counted(stages: Any, references: Any, masks: Any, *rest: Any) -> Any:
        rows.append(len(masks))
        return compute(stages, references, masks, *rest)

    monkeypatch.setattr(scip_mpi.passes, "compute", counted)
    return rows


def test_nothing_finished_is_done_again(
    cells: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = unfinished(cells, tmp_path, monkeypatch)
    segmented, rows = counting(monkeypatch), rows_computed(monkeypatch)
    assert attempt(3, asked)
    same(asked.out, undisturbed)
    assert not segmented
    assert not rows


@pytest.mark.parametrize("harm", ["gone", "short", "no table"])
def test_rows_of_a_table_that_is_not_there_are_written_again(
    harm: str, cells: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = unfinished(cells, tmp_path, monkeypatch)
    partial = asked.out / "features.h5ad.partial"
    if harm == "gone":
        partial.unlink()
    elif harm == "short":
        os.truncate(partial, 5000)
    else:
        (asked.out / PRIVATE / "table").unlink()
    segmented, rows = counting(monkeypatch), rows_computed(monkeypatch)
    assert attempt(2, asked)
    same(asked.out, undisturbed)
    assert not segmented
    with h5py.File(asked.out / "features.h5ad") as file:
        assert sum(rows) == len(file["X"])


def test_whatever_else_stands_in_a_broken_table_is_of_no_account(
    cells: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HDF5 may have been in the middle of anything: all but the rows is made anew."""
    asked = unfinished(cells, tmp_path, monkeypatch)
    partial = asked.out / "features.h5ad.partial"
    layout = json.loads((asked.out / PRIVATE / "table").read_bytes()[48:].rstrip(b"\0"))
    raw = np.fromfile(partial, np.uint8)
    keep = np.zeros(len(raw), bool)
    for part in layout:
        size = np.dtype(part["dtype"]).itemsize * int(np.prod(part["shape"]))
        keep[part["offset"] : part["offset"] + size] = True
    raw[~keep] = np.random.default_rng(0).integers(0, 256, int((~keep).sum()), np.uint8)
    partial.write_bytes(raw.tobytes() + b"more" * 1000)
    rows = rows_computed(monkeypatch)
    assert attempt(2, asked)
    same(asked.out, undisturbed)
    assert not rows


@pytest.mark.parametrize("seed", range(6))
def test_damaged_journals_cost_what_they_held_and_no_more(
    seed: int,
    cells: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = unfinished(cells, tmp_path, monkeypatch)
    draw = random.Random(seed)
    for path in (asked.out / PRIVATE).glob("journal-*"):
        raw = bytearray(path.read_bytes())
        for _ in range(3):
            raw[draw.randrange(len(raw))] ^= draw.randrange(1, 256)
        path.write_bytes(raw)
    segmented = counting(monkeypatch)
    assert attempt(2, asked)
    same(asked.out, undisturbed)
    assert sum(segmented.values()) <= 6


def test_another_run_is_refused_with_what_differs(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = unfinished(cells, tmp_path, monkeypatch)
    text = asked.config.read_text()
    asked.config.write_text(text.replace("n_mads: 2", "n_mads: 3"))
    with pytest.raises(UserError, match=r"config: filter.n_mads was 2, is 3[\s\S]*--overwrite"):
        run(Alone(), asked)
    asked.config.write_text(text.replace("chunk_size: 2", "chunk_size: 5"))
    mine = copy_cells(sorted(cells.rglob("*.tif*")), tmp_path / "moved")
    moved = Request(asked.config, [str(mine)], asked.out, quiet=True)
    with pytest.raises(UserError, match="inputs: 40 of 40 files have other modification times"):
        run(Alone(), moved)
    # What changes no result may differ, and the folder is as it was.
    assert run(Alone(), asked) == 0


def test_overwrite_starts_anew(
    cells: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = unfinished(cells, tmp_path, monkeypatch)
    segmented = counting(monkeypatch)
    again = Request(asked.config, asked.paths, asked.out, overwrite=True, quiet=True)
    assert run(Alone(), again) == 0
    same(asked.out, undisturbed)
    assert sum(segmented.values()) == CELLS


def test_a_checkpoint_that_says_not_what_it_is_of_is_refused(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = unfinished(cells, tmp_path, monkeypatch)
    path = asked.out / PRIVATE / "run"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"can no longer be read; --overwrite"):
        run(Alone(), asked)


class Power:
    """A file layer without power: what was written since a file was last synced is lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
        self.lost: dict[str, list[tuple[int, bytes, int]]] = {}
        self.draw = random.Random(seed)
        monkeypatch.setattr(disk, "write_at", self._noted(disk.write_at))
        monkeypatch.setattr(disk, "sync", self._safe(disk.sync))

    def _noted(self, write: Callable[..., int]) -> Callable[..., int]:
        def noted(file: int, buffer: Any, offset: int) -> int:
            size = memoryview(buffer).nbytes
            with open(f"/proc/self/fd/{file}", "rb") as handle:
                handle.seek(offset)
                before, end = handle.read(size), os.fstat(file).st_size
            path = os.readlink(f"/proc/self/fd/{file}")
            self.lost.setdefault(path, []).append((offset, before, end))
            return write(file, buffer, offset)

        return noted

    def _safe(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        def safe(file: int) -> None:
            sync(file)
            self.lost.pop(os.readlink(f"/proc/self/fd/{file}"), None)

        return safe

    def fail(self) -> None:
        """Take back what was not synced: all of it, or the later writes only, or some."""
        for path, writes in self.lost.items():
            if not os.path.isfile(path):
                continue
            keep = self.draw.choice([0, self.draw.randrange(len(writes) + 1)])
            with open(path, "r+b") as handle:
                for offset, before, end in reversed(writes[keep:]):
                    handle.seek(offset)
                    handle.write(before)
                    handle.truncate(max(end, 0))
        self.lost.clear()


@pytest.mark.parametrize("seed", range(8))
def test_a_power_cut_takes_what_was_not_synced(
    seed: int, cells: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    monkeypatch.setattr("scip_mpi.recording.ROWS_SAFE", 0.02)
    monkeypatch.setattr("scip_mpi.recording.MEASURED_SAFE", 0.05)
    asked = request(cells, tmp_path)
    for message in (40, 120, 200):
        with monkeypatch.context() as patch:
            power = Power(patch, draw.random())
            restore = cut_at(draw.randrange(5, message), patch)
            done = attempt(draw.choice([1, 2, 3]), asked)
            restore()
        if done:
            break
        power.fail()
    else:
        assert attempt(2, asked)
    same(asked.out, undisturbed)


@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EIO"])
@pytest.mark.parametrize("at", [2, 9, 24, 45, 61, 90])
def test_a_disk_that_fails_now_and_then(
    error: str,
    at: int,
    cells: Path,
    undisturbed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import errno

    asked = request(cells, tmp_path)
    write, calls = os.pwrite, [0]

    def faulty(file: int, data: Any, offset: int) -> int:
        calls[0] += 1
        if calls[0] == at:
            write(file, data[: len(data) // 3], offset)
            number = getattr(errno, error)
            raise OSError(number, os.strerror(number))
        return write(file, data[: max(1, len(data) // 2)], offset)

    with monkeypatch.context() as patch:
        patch.setattr(disk.os, "pwrite", faulty)
        with pytest.raises(OSError, match=r"No space|quota|Input/output"):
            run(Alone(), asked)
    assert attempt(2, asked)
    same(asked.out, undisturbed)


def test_on_error_abort_can_be_gone_on_with_by_skip(
    cells: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mine = tmp_path / "cells"
    shutil.copytree(cells, mine)
    bad = sorted(mine.rglob("*.tif*"))[20]
    bad.write_bytes(b"II*\0 no more")
    asked = request(mine, tmp_path)
    text = asked.config.read_text()
    for _ in range(2):
        # The same again: the image that ends the run is found each time.
        asked.config.write_text(text + "on_error: abort\n")
        assert run(Alone(), asked) == 1
        assert "on_error: skip goes on without it" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(publish, "finish", broken)
        asked.config.write_text(text)
        with pytest.raises(Cut):
            run(Alone(), asked)
    # And back: what was found with skip ends the run now.
    asked.config.write_text(text + "on_error: abort\n")
    assert run(Alone(), asked) == 1
    asked.config.write_text(text)
    assert run(Alone(), asked) == 0
    assert bad.name in (asked.out / "failures.csv").read_text()
