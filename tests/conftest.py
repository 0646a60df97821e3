"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from emulated_cupy import COMPILER, EmulatedCupy
from hypothesis import settings
from launch import SYSTEM_MPI, SYSTEM_RANKS

# Kernels are compiled in whichever test comes first, and machines are shared.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Real images and SCIP's reference; CI always has them, so there their absence is a failure."""
    if not SHARED.is_dir():
        message = f"no {SHARED}: tests on real images need it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return SHARED


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for kernels compiled for the CPU; CI always has the compiler."""
    if COMPILER is None:
        message = "no g++: it compiles the kernels' source for the CPU"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture
def emulated(compiled: Path) -> EmulatedCupy:
    """CuPy, for as much of it as the devices' code uses."""
    return EmulatedCupy(compiled)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With the system's MPI: the tests of several ranks, at the number of ranks asked for."""
    if not SYSTEM_RANKS:
        return
    if not SYSTEM_MPI.is_file():
        raise pytest.UsageError(f"no {SYSTEM_MPI}: bash .ci/system_mpi installs it")
    chosen, others = [], []
    for item in items:
        fixed = item.get_closest_marker("ranks")
        wanted = item.get_closest_marker("mpi") and (not fixed or SYSTEM_RANKS in fixed.args)
        (chosen if wanted else others).append(item)
    items[:] = chosen
    config.hook.pytest_deselected(items=others)
