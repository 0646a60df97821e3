"""Suspected images: tried in a process of their own, fatal only if that dies of them, twice."""

from __future__ import annotations

import csv
import itertools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

import pytest
from cells import CONFIG, copy_cells, jurkat_files, write_config
from tables import digest, obs_names

from scip_mpi import suspicion
from scip_mpi.apart import Death, UntriedError, deaths
from scip_mpi.config import read_config
from scip_mpi.job import Request
from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.parallel.roles import Sight
from scip_mpi.parallel.world import Alone
from scip_mpi.plan import Plan, find_images, make_plan
from scip_mpi.results.folder import PRIVATE
from scip_mpi.run import run

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

CELLS = 12
# What happens in a process of its own at the images whose names begin with each; a rank of these
# tests is no process, and ends by an exception.
PLUGIN = """
import os, sys
from pathlib import Path
from scip_mpi.loaders import multiframe_tiff
from scip_mpi.loaders.multiframe_tiff import discover, probe

class Cut(BaseException):
    pass

def read(references, *rest, **options):
    for sources in references.sources:
        path = Path(sources[0])
        word = path.name.partition("_")[0]
        if word == "sound":
            continue
        if os.getpid() == PARENT:
            raise Cut
        if word == "once":
            path.with_suffix(".seen").exists() or (path.with_suffix(".seen").touch(), os.abort())
        elif word == "exit":
            os._exit(3)
        elif word == "raise":
            raise ValueError("a bug")
        else:
            os.kill(os.getpid(), int(word))
    return multiframe_tiff.read(references, *rest, **options)

LOADER = sys.modules[__name__]
"""
FORMAT = "multiframe_tiff"
TEXT = CONFIG.replace(FORMAT, "deadly:LOADER").split("feature_extraction")[0] + (
    "feature_extraction: {li: [shape], otsu: [bbox]}\nresources: {chunk_size: 3}\n"
)


@pytest.fixture(scope="module", autouse=True)
def compiled_kernels(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Kernels that nobody has compiled are compiled by one rank, never by two threads."""
    folder = tmp_path_factory.mktemp("warm")
    cells = copy_cells(jurkat_files(shared_dir, 1), folder / "cells")
    config = write_config(folder / "scip.yml", text=TEXT.replace("deadly:LOADER", FORMAT))
    assert run(Alone(), Request(config, [str(cells)], folder / "out", quiet=True)) == 0


@pytest.fixture
def cells(shared_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sound cells in one folder, and the loader that knows the others by their names."""
    folder = copy_cells(jurkat_files(shared_dir, CELLS), tmp_path / "copies")
    (tmp_path / "cells").mkdir()
    for k, path in enumerate(sorted(folder.rglob("*.tif*"))):
        path.rename(tmp_path / "cells" / f"sound_{k:02}.tif")
    (tmp_path / "plugin").mkdir()
    plugin = PLUGIN.replace("PARENT", str(os.getpid()))
    (tmp_path / "plugin" / "deadly.py").write_text(plugin)
    monkeypatch.syspath_prepend(tmp_path / "plugin")
    monkeypatch.delitem(sys.modules, "deadly", raising=False)
    monkeypatch.setattr("scip_mpi.apart.GRACE", 0.0)
    return tmp_path / "cells"


def spoil(cells: Path, **names: int) -> None:
    """Give cells other names, by their number."""
    for word, k in names.items():
        path = cells / f"sound_{k:02}.tif"
        path.rename(cells / f"{word.lstrip('_')}_{k:02}.tif")


def plan_of(cells: Path) -> tuple[Plan, Any]:
    config = read_config(write_config(cells.parent / "scip.yml", text=TEXT))
    catalog = find_images(config, [str(cells)])
    return make_plan(config, catalog, [Sight("here")]), catalog


def nothing() -> None:
    pass


def test_a_process_tells_who_it_died_of(cells: Path) -> None:
    spoil(cells, _11=2, _9=5, exit=7, _15=8, _raise=10)
    plan, catalog = plan_of(cells)
    found = deaths(plan, catalog.references(0, CELLS), lambda: False, nothing)
    # In the order of names: 11_, 15_, 9_, exit_, raise_, sound_. Who is asked to end, or fails by
    # an error, is none.
    assert found == [
        Death(0, "segment", "SIGSEGV"),
        Death(2, "segment", "SIGKILL"),
        Death(3, "segment", "exit code 3"),
    ]


def test_a_run_that_is_to_stop_tries_no_more(cells: Path) -> None:
    spoil(cells, _11=2)
    plan, catalog = plan_of(cells)
    assert deaths(plan, catalog.references(0, CELLS), lambda: True, nothing) == []
    # And what dies while it stops has not died of its image.
    calls = iter([False] * 3)
    halted = lambda: next(calls, True)  # noqa: E731
    assert deaths(plan, catalog.references(0, CELLS), halted, nothing) == []


@pytest.mark.parametrize("share", [2, 1 << 30])
def test_who_is_killed_for_want_of_memory_has_died_of_it_only_if_it_had_much(
    share: int, cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel kills this process first, even if another one has all the memory."""
    spoil(cells, _9=2)
    plan, catalog = plan_of(cells)
    counts = itertools.count()
    monkeypatch.setattr("scip_mpi.apart.oom_kills", lambda: next(counts))
    monkeypatch.setattr("scip_mpi.apart.MUCH", share)
    found = deaths(plan, catalog.references(0, 1), lambda: False, nothing)
    assert found == ([] if share == 2 else [Death(0, "segment", "SIGKILL, out of memory")])


def test_a_process_that_cannot_start_tries_nothing(
    cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, catalog = plan_of(cells)
    monkeypatch.setattr("scip_mpi.apart.BOOT", "raise SystemExit(7)")
    with pytest.raises(UntriedError, match="exit code 7 before its first image"):
        deaths(plan, catalog.references(0, CELLS), lambda: False, nothing)


def job(cells: Path, size: int) -> tuple[bool, Path]:
    """Start the same run on so many ranks; whether it came to its end."""
    out = cells.parent / "out"
    asked = Request(write_config(cells.parent / "scip.yml", text=TEXT), [str(cells)], out)
    try:
        return run_threads(size, lambda world: run(world, asked)) == [0] * size, out
    except RuntimeError as error:
        if type(error.__cause__).__name__ == "Cut" or isinstance(
            error.__cause__, BrokenBarrierError
        ):
            return False, out
        raise


def failures(out: Path) -> list[dict[str, str]]:
    with (out / "failures.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize("segmenters", [0, 1])
def test_role_loops_go_on_without_what_is_fatal(
    segmenters: int, cells: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TEXT.replace("chunk_size: 3", f"chunk_size: 2, segmenters: {segmenters}")
    monkeypatch.setattr(f"{__name__}.TEXT", text)
    # All images of one chunk.
    spoil(cells, _11=0, _6=1)
    assert not job(cells, 3)[0]
    assert not job(cells, 2)[0]
    done, out = job(cells, 3)
    starts = 3
    while not done and starts < 6:
        done, out = job(cells, 3)
        starts += 1
    assert done
    assert [f["image"] for f in failures(out)] == ["11_00.tif", "6_01.tif"]
    assert all("fatal" in f["error"] for f in failures(out))
    assert len(obs_names(out)) == CELLS - 2
    assert not (out / PRIVATE).exists()
    said = capfd.readouterr().err
    assert "image 0 (11_00.tif) is fatal" in said


def test_to_die_once_is_not_to_be_fatal(cells: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Its process dies, and another one does not: the image is done as usual."""
    spoil(cells, once=4)
    for _ in range(2):
        assert not job(cells, 2)[0]
    # Ranks of these tests end at it still, as they are no processes.
    assert not job(cells, 2)[0]
    assert (cells / "once_04.seen").exists()
    assert "none of them ended its process" in capfd.readouterr().err
    assert "fatal" not in capfd.readouterr().err


def test_what_is_fatal_stays_so_without_another_trial(
    cells: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(cells, _11=4)
    for _ in range(2):
        assert not job(cells, 2)[0]

    class End(BaseException):
        pass

    def ended(*_: Any) -> None:
        raise End

    with monkeypatch.context() as patch:
        patch.setattr("scip_mpi.run.segment_and_measure", ended)
        with pytest.raises(RuntimeError, match="End"):
            job(cells, 2)

    def forbidden(*_: Any) -> Callable[[], None]:
        raise AssertionError("tried again")

    monkeypatch.setattr(suspicion, "deaths", forbidden)
    done, out = job(cells, 1)
    assert done
    assert [f["image"] for f in failures(out)] == ["11_04.tif"]
    assert digest(out)
