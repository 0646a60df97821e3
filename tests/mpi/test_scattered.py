"""Ranks need no common folder for temporary files, no names of hosts, and no common time."""

from __future__ import annotations

from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import RANKS, launch, scip
from tables import digest

PROGRAM = Path(__file__).with_name("scattered.py")
FILTER = "filter: {name: quantile, statistic: sum, channel: PI, lower: 0.2, upper: 0.9}\n"


@pytest.mark.mpi
@pytest.mark.parametrize("segmenters", [0, 1])
def test_ranks_that_share_nothing_but_files(
    segmenters: int, shared_dir: Path, tmp_path: Path
) -> None:
    cells = copy_cells(jurkat_files(shared_dir, 24), tmp_path / "cells")
    # What does not fit into memory goes to the folder for temporary files.
    resources = f"resources: {{segmenters: {segmenters}, chunk_size: 2, memory: 1000}}\n"
    config = write_config(tmp_path / "scip.yml", FILTER + resources)
    done = launch([PROGRAM, tmp_path / "own", "run", config, cells, "-o", tmp_path / "out"], RANKS)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("layout: ") == 1
    assert scip("run", config, cells, "-o", tmp_path / "alone", "-q").returncode == 0
    assert digest(tmp_path / "out") == digest(tmp_path / "alone")
