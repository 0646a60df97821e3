"""Ends of several processes, one by one: what a restart under mpiexec finds and makes of it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from jobs import CELLS, Disturbed, Ground, files, prepare
from launch import H5PY, SYSTEM_MPI, launch
from tables import digest, obs_names


@pytest.fixture(scope="module")
def ground(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return prepare(shared_dir, tmp_path_factory.mktemp("ends"))


def finish(job: Disturbed, ground: Ground, ranks: int = 2) -> None:
    """Go on undisturbed: the bytes of the undisturbed run, and nothing besides."""
    assert job.end(job.start(ranks, "none")) == 0, job.said()
    assert digest(job.out) == digest(ground.undisturbed)
    assert files(job.out) == files(ground.undisturbed)


@pytest.mark.mpi
@pytest.mark.ranks(3)
@pytest.mark.parametrize("writer", ["mpi", "posix", "hdf5"])
def test_rows_of_every_writer_count(writer: str, ground: Ground, tmp_path: Path) -> None:
    """All rows are written, and then one rank is killed: none of them is computed again."""
    python = {}
    if writer == "hdf5":
        if not H5PY.is_file():
            message = "no parallel h5py: bash .ci/parallel_h5py makes one"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        python = {"python": H5PY}
    job = Disturbed(tmp_path / "job", ground.cells, "full", 0)
    assert job.end(job.start(3, "stage:1:publish", writer, **python)) != 0
    finish(job, ground)
    rows = len(obs_names(ground.undisturbed))
    assert f"{CELLS} of {CELLS} images are measured, 0 to do" in job.said()
    assert f"{rows} of {rows} rows are written, 0 to do" in job.said()
    assert job.segmented() == CELLS


@pytest.mark.mpi
@pytest.mark.ranks(3)
def test_another_mpi_goes_on(ground: Ground, tmp_path: Path) -> None:
    if not SYSTEM_MPI.is_file():
        pytest.skip(f"no {SYSTEM_MPI}: bash .ci/system_mpi installs it")
    job = Disturbed(tmp_path / "job", ground.cells, "full", 0)
    assert job.end(job.start(3, "stage:1:publish")) != 0
    command = ["-m", "scip_mpi", "run", job.config, job.cells, "-o", job.out, "--no-report"]
    done = launch(command, 2, system=True)
    assert done.returncode == 0, done.stderr
    assert " rows are written, 0 to do" in done.stderr
    assert digest(job.out) == digest(ground.undisturbed)


@pytest.mark.mpi
@pytest.mark.ranks(3)
@pytest.mark.parametrize("stage", ["first pass", "second pass", "publish"])
def test_a_stage_that_kills_a_rank_twice(stage: str, ground: Ground, tmp_path: Path) -> None:
    job = Disturbed(tmp_path / "job", ground.cells, "full", 0)
    for ranks, victim in ((3, 2), (2, 0)):
        assert job.end(job.start(ranks, f"stage:{victim}:{stage}")) != 0
    assert not (job.out / "features.h5ad").exists()
    finish(job, ground, 3)


@pytest.mark.mpi
@pytest.mark.ranks(3)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_with_75_and_the_next_start_goes_on(
    number: signal.Signals, ground: Ground, tmp_path: Path
) -> None:
    job = Disturbed(tmp_path / "job", ground.cells, "full", 0)
    process = job.start(3, "none")
    job.wait_for_work(process)
    os.kill(job.ranks_at()[2][0], number)
    assert job.end(process) == 75, job.said()
    assert "start the same command again, from what is finished" in job.said()
    finish(job, ground)
    assert job.segmented() == CELLS
