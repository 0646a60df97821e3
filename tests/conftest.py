"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from launch import SYSTEM_MPI, SYSTEM_RANKS

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
