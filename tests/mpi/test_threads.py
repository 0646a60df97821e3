"""An MPI library that allows one thread only is good enough, and said to be in use."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import launch, scip
from tables import digest

PROGRAM = Path(__file__).with_name("threads.py")
FILTER = "filter: {name: quantile, statistic: sum, channel: PI, lower: 0.2, upper: 0.9}\n"
ONE_THREAD = "this MPI allows one thread: rank 0 hands out work between its own batches"


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_cells(jurkat_files(shared_dir, 40), tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def alone(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    config = write_config(folder / "scip.yml", FILTER)
    assert scip("run", config, cells, "-o", folder / "table", "-q").returncode == 0
    return folder / "table"


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("level", "segmenters"), [("single", 0), ("single", 1), ("funneled", 0), ("serialized", 0)]
)
def test_the_table_is_that_of_one_process(
    level: str, segmenters: int, cells: Path, alone: Path, tmp_path: Path
) -> None:
    resources = f"resources: {{segmenters: {segmenters}, chunk_size: 2}}\n"
    config = write_config(tmp_path / "scip.yml", FILTER + resources)
    done = launch([PROGRAM, level, "run", config, cells, "-o", tmp_path / "out"], 3)
    assert done.returncode == 0, done.stderr
    assert (ONE_THREAD in done.stderr) == (level in ("single", "funneled"))
    assert digest(tmp_path / "out") == digest(alone)
