"""srun makes one world of all its ranks, and it ends with the code that they agree on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from cells import CONFIG, write_config
from cluster import Cluster
from launch import SYSTEM_LIBRARY, SYSTEM_MPI, scip
from scripts import ROOT
from tables import digest

pytestmark = pytest.mark.slurm
# Few kernels: 64 ranks must load them on 2 cores.
SMALL = """\
load:
  format: multiframe_tiff
  channels: [0, 1, 2]
  channel_names: [BF, PI, SSC]
mask:
  combined_indices: [0, 1]
  main_channel_index: 0
  methods: [{method: li, name: li, kwargs: {smooth: [1, 0.5, 1]}}]
feature_extraction: {li: [shape, intensity, bbox]}
"""
FILTER = "filter: {name: quantile, statistic: sum, channel: PI, lower: 0.2, upper: 0.9}\n"
CHUNKS = "resources: {chunk_size: 1}\n"
PYTHONPATH = f"{ROOT}:{Path(__file__).parent}"


def srun(
    cluster: Cluster,
    *arguments: str | Path,
    mpi: str = "pmi2",
    environ: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """srun as the jobscripts start it: ``srun OPTIONS ... -- ARGUMENTS of scip_mpi``."""
    k = arguments.index("--")
    command = [f"--mpi={mpi}", "--kill-on-bad-exit=1", *arguments[:k]]
    program = [sys.executable, "-m", "scip_mpi", *arguments[k + 1 :]]
    path = {"PYTHONPATH": PYTHONPATH}
    return cluster.run("srun", *command, *program, environ=path | dict(environ or {}))


@pytest.fixture(scope="module")
def serial(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serial")
    config = write_config(folder / "scip.yml", FILTER, SMALL)
    assert scip("run", config, cells, "-o", folder / "table", "-q").returncode == 0
    return folder / "table"


def test_64_ranks_on_one_node_give_the_bytes_of_one_process(
    cluster: Cluster, cells: Path, serial: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "scip.yml", FILTER + CHUNKS, SMALL)
    out = tmp_path / "out"
    nodes = ("--nodes=1", "--ntasks=64", "--overcommit")
    done = srun(cluster, *nodes, "--", "run", config, cells, "-o", out)
    assert done.returncode == 0, done.stderr
    assert "64 rank(s)" in done.stderr
    assert digest(out) == digest(serial)


def test_4_nodes_of_16_ranks_have_their_roles_by_node(
    cluster: Cluster, cells: Path, serial: Path, tmp_path: Path
) -> None:
    # Masks that do not fit into memory go to each node's own disk.
    scratch = f"memory: 1000, scratch: {cluster.scratch}"
    resources = f"resources: {{chunk_size: 1, segmenters: 4, {scratch}}}\n"
    config = write_config(tmp_path / "scip.yml", FILTER + resources, SMALL)
    out = tmp_path / "out"
    nodes = ("--nodes=4", "--ntasks-per-node=16")
    done = srun(cluster, *nodes, "--", "run", config, cells, "-o", out)
    assert done.returncode == 0, done.stderr
    assert digest(out) == digest(serial)
    ranks = json.loads((out / "run.json").read_text())["ranks"]
    assert [r["node"] for r in ranks] == [f"n{k // 16}" for k in range(64)]
    assert [k for k, r in enumerate(ranks) if "segmenter" in str(r["roles"])] == [0, 16, 32, 48]


def test_open_mpi_is_one_world_by_pmix(
    cluster: Cluster, cells: Path, serial: Path, tmp_path: Path
) -> None:
    if not SYSTEM_MPI.is_file():
        message = f"no {SYSTEM_MPI}: bash .ci/system_mpi installs it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    config = write_config(tmp_path / "scip.yml", FILTER, SMALL)
    out = tmp_path / "out"
    # Slurm's PMIx starts no step on several virtual nodes of one machine.
    arguments = ("--nodes=1", "--ntasks=4", "--", "run", config, cells, "-o", out)
    library = SYSTEM_LIBRARY | {"OMPI_MCA_osc": "^ucx"}
    done = srun(cluster, *arguments, mpi="pmix", environ=library)
    assert done.returncode == 0, done.stderr
    assert "4 rank(s)" in done.stderr
    assert digest(out) == digest(serial)


def test_the_wrong_plugin_is_told_and_the_right_one_named(
    cluster: Cluster, cells: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "scip.yml")
    out = tmp_path / "out"
    done = srun(cluster, "--ntasks=3", "--", "run", config, cells, "-o", out, mpi="none")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("3 processes were started, but each is an MPI world of its own") == 1
    assert "`--mpi=pmi2` for MPICH" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize("missing", ["images", "config"])
def test_bad_input_exits_2_and_is_said_once(
    missing: str, cluster: Cluster, cells: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "scip.yml")
    given = {"images": cells, "config": config} | {missing: tmp_path / "nowhere"}
    arguments = ("run", given["config"], given["images"], "-o", tmp_path / "out")
    done = srun(cluster, "--ntasks=4", "--nodes=2", "--", *arguments)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("nowhere") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_rank_that_dies_ends_the_step(cluster: Cluster, cells: Path, tmp_path: Path) -> None:
    method = "{method: 'plugins:deadly', name: li, kwargs: {rank: 2}}"
    text = CONFIG.replace("{method: li, name: li, kwargs: {smooth: [1, 0.5, 1]}}", method)
    config = write_config(tmp_path / "scip.yml", CHUNKS, text)
    out = tmp_path / "out"
    done = srun(cluster, "--ntasks=4", "--nodes=2", "--", "run", config, cells, "-o", out)
    assert done.returncode != 0
    assert "Killed" in done.stderr, done.stderr
    assert not (out / "features.h5ad").exists()
    assert cluster.run("squeue", "-h", "-t", "R,PD").stdout == ""


def test_a_dead_rank_is_noticed_where_slurm_lets_the_others_go_on(
    cluster: Cluster, cells: Path, tmp_path: Path
) -> None:
    # MPICH's plugin tells nobody that a rank is dead: the others would wait for it for ever.
    config = write_config(tmp_path / "scip.yml", CHUNKS)
    options = ("--mpi=pmi2", "--kill-on-bad-exit=0", "--nodes=2", "--ntasks-per-node=2")
    program = [sys.executable, ROOT / "tests" / "mpi" / "stuck.py", "kill", "2", "10"]
    arguments = ("run", config, cells, "-o", tmp_path / "out")
    path = {"PYTHONPATH": PYTHONPATH}
    # A start that fails (START_FAULT) would leave the other ranks waiting here: not for long.
    done = cluster.run("srun", *options, *program, *arguments, environ=path, patience=120)
    assert done.returncode != 0
    assert "nothing was heard of rank 2 for " in done.stderr, done.stderr
    # Rank 2 is the first of the second node, whichever nodes were free.
    (first,) = re.findall(r"layout: (n\d): rank 0 ", done.stderr)
    second = f"n{int(first[1]) + 1}"
    assert f"Before that it was on {second}" in done.stderr, done.stderr
