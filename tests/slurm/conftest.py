"""The private Slurm that the tests here share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files
from cluster import Cluster, Unavailable

# What Slurm's plugin says when it has taken a rank's request for two, as it may where ranks start
# slowly: the step ends before the program begins, so the test is tried again. Nothing else is.
START_FAULT = r"mpi/pmi2: (value not properly terminated|request not begin|invalid client request)"
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=5, only_rerun=[START_FAULT]))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four virtual nodes of 16 CPUs; where Slurm cannot be brought up, a skip, in CI a failure."""
    running = Cluster(tmp_path_factory.mktemp("slurm") / "cluster")
    try:
        running.start()
    except Unavailable as reason:
        if os.environ.get("CI"):
            pytest.fail(f"Slurm cannot be brought up: {reason}")
        pytest.skip(f"Slurm cannot be brought up: {reason}")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_cells(jurkat_files(shared_dir, 72), tmp_path_factory.mktemp("cells"))
