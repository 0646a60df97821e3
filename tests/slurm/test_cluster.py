"""The private Slurm itself: it comes up, and nothing of it is left when it has gone down."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cluster import Cluster

pytestmark = pytest.mark.slurm


def test_nothing_is_left_of_it(cluster: Cluster, tmp_path: Path) -> None:
    # The other one says whether Slurm can be brought up here at all.
    small = Cluster(tmp_path / "small", nodes=1, cpus=2, gpus=1)
    small.start()
    try:
        job = small.submit("--wrap=srun --mpi=none -n 2 sleep 1000", cwd=tmp_path)
        other = subprocess.Popen(
            ["srun", "--mpi=none", "sleep", "2000"],
            env=small.environ(),
            stderr=subprocess.DEVNULL,
        )
        while small.facts(job)[0]["JobState"] != "RUNNING" or not steps(small):
            pass
        assert len(list(small.processes())) > 5
    finally:
        small.stop()
    other.wait(60)
    assert list(small.processes()) == []
    assert not small.folder.exists()


def steps(cluster: Cluster) -> list[str]:
    return cluster.run("squeue", "-h", "-s", "-o", "%i").stdout.split()
