"""A rank that hangs, stops or dies ends the job, which says which rank it was, and where."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import RANKS, launch

HERE = Path(__file__).parent
pytestmark = pytest.mark.mpi
LAST = RANKS - 1


@pytest.fixture(scope="module")
def job(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("stuck")
    cells = copy_cells(jurkat_files(shared_dir, 24), folder / "cells")
    # Short, but no machine is so busy that a rank gets nothing done for so long.
    resources = "resources: {chunk_size: 2, stall_timeout: 5}\n"
    return [write_config(folder / "scip.yml", resources), cells]


@pytest.mark.parametrize(
    ("how", "rank"), [("sleep", 0), ("sleep", LAST), ("stop", 0), ("stop", LAST), ("held", LAST)]
)
def test_a_stuck_rank_ends_the_job(how: str, rank: int, job: list[Path], tmp_path: Path) -> None:
    config, cells = job
    # Who only sleeps is noticed by itself, long before others would.
    silence = 1000 if how == "sleep" else 5
    program = [HERE / "stuck.py", how, str(rank), str(silence)]
    done = launch([*program, "run", config, cells, "-o", tmp_path / "out"], RANKS)
    assert f"rank {rank} is stuck now" in done.stderr
    said = next(line for line in done.stderr.splitlines() if line.startswith("scip_mpi: "))
    if how == "sleep":
        assert f"rank {rank} on " in said
        assert " hangs: for " in said
        assert " s it has done nothing, in stage read, at images " in said
        assert f"({cells}/" in said
    else:
        assert f"nothing was heard of rank {rank} for " in said
    assert f"start the same command again: python -m scip_mpi run {config}" in said
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "features.h5ad").exists()


def test_a_killed_rank_ends_the_job(job: list[Path], tmp_path: Path) -> None:
    config, cells = job
    program = [HERE / "stuck.py", "kill", str(LAST), "1000"]
    done = launch([*program, "run", config, cells, "-o", tmp_path / "out"], RANKS)
    assert done.returncode not in (0, 2, 75)
    assert f"rank {LAST} is stuck now" in done.stderr


@pytest.mark.parametrize(("how", "level"), [("sleep", "funneled"), ("stop", "single")])
def test_where_the_mpi_allows_one_thread_too(
    how: str, level: str, job: list[Path], tmp_path: Path
) -> None:
    config, cells = job
    program = [HERE / "threads.py", level, HERE / "stuck.py", how, str(LAST), "5"]
    done = launch([*program, "run", config, cells, "-o", tmp_path / "out"], RANKS)
    assert done.returncode == 1, done.stderr
    said = f"rank {LAST} on " if how == "sleep" else f"nothing was heard of rank {LAST} for "
    assert said in done.stderr
