"""The program with the MPI of the system, which is another one than PyPI's, at 2 and 4 ranks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import SYSTEM_MPI, launch, scip
from tables import digest

HERE = Path(__file__).parent
FILTER = "filter: {name: quantile, statistic: sum, channel: PI, lower: 0.2, upper: 0.9}\n"
pytestmark = pytest.mark.mpi
ranks_2_and_4 = pytest.mark.parametrize("ranks", [2, 4])


@pytest.fixture(scope="module", autouse=True)
def _system_mpi() -> None:
    if not SYSTEM_MPI.is_file():
        message = f"no {SYSTEM_MPI}: bash .ci/system_mpi installs it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_cells(jurkat_files(shared_dir, 60), tmp_path_factory.mktemp("cells"))


@ranks_2_and_4
def test_messages_collectives_and_files(ranks: int, tmp_path: Path) -> None:
    program = HERE / "world_program.py"
    done = launch([program, tmp_path / "shared.bin"], ranks, system=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("well") == ranks


@ranks_2_and_4
@pytest.mark.parametrize("segmenters", [0, 1])
@pytest.mark.parametrize("filtered", [False, True])
def test_the_table_is_that_of_one_process(
    ranks: int, segmenters: int, filtered: bool, cells: Path, tmp_path: Path
) -> None:
    extra = FILTER if filtered else "normalization: {lower: 0.01, upper: 0.99}\n"
    alone = write_config(tmp_path / "alone.yml", extra)
    assert scip("run", alone, cells, "-o", tmp_path / "alone", "-q").returncode == 0
    resources = f"resources: {{segmenters: {segmenters}, chunk_size: 4}}\n"
    config = write_config(tmp_path / "scip.yml", extra + resources)
    out = tmp_path / "out"
    arguments = ["-m", "scip_mpi", "run", config, cells, "-o", out, "--writer", "mpi"]
    done = launch(arguments, ranks, system=True)
    assert done.returncode == 0, done.stderr
    assert f"{ranks} rank(s)" in done.stderr
    assert digest(out) == digest(tmp_path / "alone")


@ranks_2_and_4
def test_a_bug_on_one_rank_ends_the_job(ranks: int, cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml", "resources: {chunk_size: 2}\n")
    where = "scip_mpi.run:compute"
    fault = [HERE / "faulty.py", where, 1, "ValueError", tmp_path / "flag"]
    done = launch([*fault, "run", config, cells, "-o", tmp_path / "out"], ranks, system=True)
    assert done.returncode != 0
    assert f"[rank 1 of {ranks}] ValueError: fault in {where}" in done.stderr


@ranks_2_and_4
def test_bad_input_exits_2_on_every_rank(ranks: int, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml")
    arguments = ["-m", "scip_mpi", "run", config, tmp_path / "nowhere", "-o", tmp_path / "out"]
    done = launch(arguments, ranks, system=True)
    assert done.returncode == 2
    assert done.stderr.count("nowhere") == 1
    assert "Traceback" not in done.stderr


def test_the_systems_mpiexec_with_another_mpi_is_told_so(cells: Path, tmp_path: Path) -> None:
    # Without being told, mpi4py takes the MPI from PyPI: four worlds of one process each.
    config = write_config(tmp_path / "scip.yml")
    arguments = ["-m", "scip_mpi", "run", config, cells, "-o", tmp_path / "out"]
    done = launch(arguments, 4, environ={"MPI4PY_LIBMPI": ""}, system=True)
    assert done.returncode == 2
    assert "4 processes were started" in done.stderr
    assert not (tmp_path / "out").exists()
