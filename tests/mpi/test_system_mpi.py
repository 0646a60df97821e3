"""The MPI of the system, which is another one than PyPI's.

`SCIP_MPI_TESTS_SYSTEM=2 pytest -m mpi` runs all tests of several ranks with it; here is what shows
that they do, and what a user sees who mixes the two.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import RANKS, SYSTEM_MPI, launch

pytestmark = pytest.mark.mpi


@pytest.fixture(autouse=True)
def _system_mpi() -> None:
    if not SYSTEM_MPI.is_file():
        message = f"no {SYSTEM_MPI}: bash .ci/system_mpi installs it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def test_it_is_another_mpi() -> None:
    # One rank prints: what several print may be mixed.
    program = (
        "from mpi4py import MPI\n"
        "told = MPI.COMM_WORLD.gather(MPI.Get_library_version().startswith('Open MPI'))\n"
        "if told: print(told)\n"
    )
    done = launch(["-c", program], RANKS, system=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str([True] * RANKS)


def test_its_mpiexec_with_the_mpi_from_pypi_is_told_so(shared_dir: Path, tmp_path: Path) -> None:
    # Without being told, mpi4py takes the MPI from PyPI: worlds of one process each.
    cells = copy_cells(jurkat_files(shared_dir, 4), tmp_path / "cells")
    config = write_config(tmp_path / "scip.yml")
    arguments = ["-m", "scip_mpi", "run", config, cells, "-o", tmp_path / "out"]
    done = launch(arguments, RANKS, environ={"MPI4PY_LIBMPI": ""}, system=True)
    assert done.returncode == 2
    assert f"{RANKS} processes were started" in done.stderr
    assert not (tmp_path / "out").exists()
