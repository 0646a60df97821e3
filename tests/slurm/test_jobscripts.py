"""Every jobscript for Slurm, submitted as it stands but for the four lines to edit."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from cells import CONFIG, copy_cells, jurkat_files, write_config
from cluster import PATIENCE, Cluster
from launch import scip
from scripts import ROOT, SETUP, edited
from tables import digest, read_x

pytestmark = pytest.mark.slurm
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
PARTITION = "#SBATCH --partition=main"
MPICH = f"{SETUP}; mpi=pmi2"
SLOW = CONFIG.replace(
    "{method: li, name: li, kwargs: {smooth: [1, 0.5, 1]}}",
    "{method: 'plugins:slow', name: li, kwargs: {flag: FLAG}}",
)


def submit(cluster: Cluster, script: Path) -> str:
    # Kernels that other tests have compiled are good enough here.
    return cluster.submit(script.name, cwd=script.parent, environ={"NUMBA_CACHE_DIR": ""})


def output(folder: Path, name: str = "*.out") -> str:
    return "\n".join(path.read_text() for path in sorted(folder.glob(name)))


@pytest.fixture(scope="module")
def serial(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serial")
    config = write_config(folder / "scip.yml")
    assert scip("run", config, cells, "-o", folder / "table", "-q").returncode == 0
    return folder / "table"


def test_cpu_node(cluster: Cluster, cells: Path, serial: Path, tmp_path: Path) -> None:
    write_config(tmp_path / "scip.yml")
    size = "#SBATCH --nodes=1 --ntasks-per-node=3 --time=10"
    job = f"config=scip.yml; images=({cells}); out=table"
    script = edited("cpu_node.slurm", [PARTITION, size, MPICH, job], tmp_path)
    told = cluster.ended(submit(cluster, script))
    assert told["JobState"] == "COMPLETED", output(tmp_path)
    assert digest(tmp_path / "table") == digest(serial)
    said = output(tmp_path, "scip_mpi-*.out")
    assert "3 ranks on n" in said
    assert "images      72 in 72 files" in said  # check, before the run
    assert "3 rank(s)" in said


def test_a_script_ends_with_the_programs_exit_code(
    cluster: Cluster, cells: Path, tmp_path: Path
) -> None:
    def code(job: str) -> str:
        size = "#SBATCH --nodes=1 --ntasks-per-node=2 --time=10"
        script = edited("cpu_node.slurm", [PARTITION, size, MPICH, job], tmp_path)
        told = cluster.ended(submit(cluster, script))
        assert told["JobState"] == "FAILED", output(tmp_path)
        return told["ExitCode"]

    write_config(tmp_path / "scip.yml")
    assert code("config=scip.yml; images=(nowhere); out=table") == "2:0", output(tmp_path)
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "features.h5ad").touch()
    assert code(f"config=scip.yml; images=({cells}); out=table") == "2:0", output(tmp_path)
    assert "which no run of scip_mpi wrote there" in output(tmp_path)


def test_cpu_multi_node(cluster: Cluster, cells: Path, serial: Path, tmp_path: Path) -> None:
    write_config(tmp_path / "scip.yml")
    size = "#SBATCH --nodes=2 --ntasks-per-node=2 --time=10"
    job = f"config=scip.yml; images=({cells}); out=table"
    script = edited("cpu_multi_node.slurm", [PARTITION, size, MPICH, job], tmp_path)
    told = cluster.ended(submit(cluster, script))
    assert told["JobState"] == "COMPLETED", output(tmp_path)
    assert digest(tmp_path / "table") == digest(serial)
    ranks = json.loads((tmp_path / "table" / "run.json").read_text())["ranks"]
    assert len(ranks) == 4
    assert len({r["node"] for r in ranks}) == 2


def test_gpu_node(cluster: Cluster, cells: Path, serial: Path, tmp_path: Path) -> None:
    write_config(tmp_path / "scip.yml")
    size = "#SBATCH --nodes=1 --ntasks-per-node=3 --gpus-per-node=2 --time=10"
    job = f"config=scip.yml; images=({cells}); out=table"
    script = edited("gpu_node.slurm", [PARTITION, size, MPICH, job], tmp_path)
    told = cluster.ended(submit(cluster, script))
    assert told["JobState"] == "COMPLETED", output(tmp_path)
    assert told["TresPerNode"] == "gres:gpu:2"
    assert digest(tmp_path / "table") == digest(serial)


def test_gpu_het_is_one_world(cluster: Cluster, cells: Path, serial: Path, tmp_path: Path) -> None:
    write_config(tmp_path / "scip.yml")
    gpu = "#SBATCH -p main -N 1 --ntasks-per-node=2 --gpus-per-node=2 --time=10"
    cpu = "#SBATCH -p main -N 2 --ntasks-per-node=1 --cpus-per-task=1 --time=10"
    job = f"config=scip.yml; images=({cells}); out=table"
    script = edited("gpu_het.slurm", [gpu, cpu, MPICH, job], tmp_path)
    told = cluster.ended_all(submit(cluster, script))
    assert [t["JobState"] for t in told] == ["COMPLETED"] * 2, output(tmp_path)
    assert digest(tmp_path / "table") == digest(serial)
    ranks = json.loads((tmp_path / "table" / "run.json").read_text())["ranks"]
    assert len(ranks) == 4
    assert len({r["node"] for r in ranks}) == 3


def test_array_then_merge(cluster: Cluster, shared_dir: Path, tmp_path: Path) -> None:
    files = jurkat_files(shared_dir, 30)
    for k in range(3):
        copy_cells(files[k::3], tmp_path / "plates" / f"plate {k}")
    write_config(tmp_path / "scip.yml")
    size = "#SBATCH --nodes=1 --ntasks-per-node=2 --time=10 --array=0-2%2"
    job = "config=scip.yml; plates=(plates/*); out=tables"
    script = edited("array.slurm", [PARTITION, size, MPICH, job], tmp_path)
    number = submit(cluster, script)
    told = cluster.ended_all(number)
    assert [t["JobState"] for t in told] == ["COMPLETED"] * 3, output(tmp_path)
    merge = cluster.run("squeue", "-h", "-t", "all", "-n", "scip_mpi-merge", "-o", "%A")
    assert cluster.ended(merge.stdout.split()[0])["JobState"] == "COMPLETED", output(tmp_path)
    table = anndata.read_h5ad(tmp_path / "tables" / "all" / "features.h5ad")
    assert table.obs["source"].tolist() == [
        f"tables/plate {k}" for k in range(3) for _ in range(10)
    ]
    own = [read_x(tmp_path / "tables" / f"plate {k}") for k in range(3)]
    assert np.array_equal(table.X, np.concatenate(own), equal_nan=True)


def test_an_array_of_another_size_than_the_plates_is_refused(
    cluster: Cluster, tmp_path: Path
) -> None:
    for k in range(3):
        (tmp_path / "plates" / f"{k}").mkdir(parents=True)
    size = "#SBATCH --nodes=1 --ntasks-per-node=2 --time=10 --array=0-1"
    job = "config=scip.yml; plates=(plates/*); out=tables"
    script = edited("array.slurm", [PARTITION, size, MPICH, job], tmp_path)
    told = cluster.ended_all(submit(cluster, script))
    assert [t["ExitCode"] for t in told] == ["2:0"] * 2
    assert "write --array=0-2" in output(tmp_path)
    assert cluster.run("squeue", "-h", "-t", "PD").stdout == ""


def wait_until_said(cluster: Cluster, job: str, words: str, folder: Path) -> None:
    ends = time.monotonic() + PATIENCE
    while words not in output(folder):
        assert time.monotonic() < ends, output(folder) + cluster.log()
        assert cluster.facts(job)[0]["JobState"] not in ENDED, output(folder)
        time.sleep(0.3)


def test_the_time_limit_stops_the_run_and_the_job_starts_again(
    cluster: Cluster, cells: Path, tmp_path: Path
) -> None:
    """The signal comes in time, exit code 75 puts the job back, its second start ends well."""
    flag = tmp_path / "quick"
    extra = "resources: {chunk_size: 1}\n"
    write_config(tmp_path / "scip.yml", extra, SLOW.replace("FLAG", str(flag)))
    # Half a second for each of 144 images, for one rank: it would take longer than it may.
    for copy in ("one", "two"):
        shutil.copytree(cells, tmp_path / "images" / copy)
    size = "#SBATCH --nodes=1 --ntasks-per-node=1 --time=1 --signal=USR1@10"
    job = "config=scip.yml; images=(images); out=table; starts=3"
    script = edited("requeue.slurm", [PARTITION, size, MPICH, job], tmp_path)
    number = submit(cluster, script)
    wait_until_said(cluster, number, "queued again", tmp_path)
    said = output(tmp_path)
    assert "ended early (signal SIGUSR1); no table was written: start the same command" in said
    assert "stopped before the time limit in start 1 of at most 3" in said
    assert not list((tmp_path / "table").glob("*.h5ad*"))
    flag.touch()
    told = cluster.ended(number)
    assert told["JobState"] == "COMPLETED", output(tmp_path)
    assert told["Restarts"] == "1"
    assert len(pd.read_parquet(tmp_path / "table" / "images.parquet")) == 144
    # What the first start had measured was not done again.
    found = re.search(r"(\d+) of 144 images are measured, (\d+) to do", output(tmp_path))
    assert found, output(tmp_path)
    assert int(found[1]) > 0
    assert not (tmp_path / "table" / ".scip_mpi").exists()


def test_it_starts_again_so_often_and_no_more(
    cluster: Cluster, cells: Path, tmp_path: Path
) -> None:
    text = SLOW.replace("FLAG", str(tmp_path / "never"))
    write_config(tmp_path / "scip.yml", "resources: {chunk_size: 1}\n", text)
    size = "#SBATCH --nodes=2 --ntasks-per-node=2 --time=10 --signal=USR1@300"
    job = f"config=scip.yml; images=({cells}); out=table; starts=1"
    script = edited("requeue.slurm", [PARTITION, size, MPICH, job], tmp_path)
    number = submit(cluster, script)
    wait_until_said(cluster, number, "4 rank(s)", tmp_path)
    # What Slurm does before the time limit: the signal goes to the ranks, not to the script.
    cluster.run("scancel", "--signal=USR1", number)
    told = cluster.ended(number)
    assert (told["JobState"], told["ExitCode"]) == ("FAILED", "75:0"), output(tmp_path)
    assert told["Restarts"] == "0"
    assert "ended early (signal SIGUSR1)" in output(tmp_path)
    assert [path.name for path in (tmp_path / "table").iterdir()] == [".scip_mpi"]


def test_pack(cluster: Cluster, cells: Path, serial: Path, tmp_path: Path) -> None:
    write_config(tmp_path / "scip.yml")
    size = "#SBATCH --nodes=1 --ntasks-per-node=2 --time=10"
    job = f"config=scip.yml; images=({cells}); out=packed.h5"
    script = edited("pack.slurm", [PARTITION, size, MPICH, job], tmp_path)
    told = cluster.ended(submit(cluster, script))
    assert told["JobState"] == "COMPLETED", output(tmp_path)
    text = CONFIG.replace("format: multiframe_tiff", "format: packed")
    config = write_config(tmp_path / "packed.yml", text=text)
    done = scip("run", config, *tmp_path.glob("packed*.h5"), "-o", tmp_path / "table", "-q")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(read_x(tmp_path / "table"), read_x(serial), equal_nan=True)


def test_strong_scaling(cluster: Cluster, tmp_path: Path) -> None:
    size = "#SBATCH --nodes=1 --ntasks-per-node=2 --time=10"
    setup = f"{MPICH}; repository={ROOT}"
    job = "config=li; number=20; counts=1,2; repeats=2; out=scaling"
    script = edited("strong_scaling.slurm", [PARTITION, size, setup, job], tmp_path)
    told = cluster.ended(submit(cluster, script))
    assert told["JobState"] == "COMPLETED", output(tmp_path)
    (csv,) = (tmp_path / "scaling").glob("strong_scaling*.csv")
    rows = pd.read_csv(csv, comment="#")
    assert sorted(rows["ranks"]) == [1, 1, 2, 2]


def test_hortense(cluster: Cluster, cells: Path, serial: Path, tmp_path: Path) -> None:
    """Through Slurm's own qsub; mympirun, which only the VSC has, is a stand-in for it."""
    write_config(tmp_path / "scip.yml")
    stand_in = tmp_path / "bin" / "mympirun"
    stand_in.parent.mkdir()
    stand_in.write_text(
        '#!/bin/bash\n[ "$1 $2" = "--hybrid 2" ] && exec srun --mpi=pmi2 "${@:3}"\n'
    )
    stand_in.chmod(0o755)
    size = "#PBS -l nodes=2:ppn=2 -l walltime=00:10:00"
    setup = f"{SETUP}; PATH={stand_in.parent}:$PATH; per_node=2"
    job = f"config=scip.yml; images=({cells}); out=table"
    script = edited("hortense.pbs", ["#PBS -q main", size, setup, job], tmp_path)
    done = cluster.run("qsub", script.name, cwd=tmp_path, environ={"NUMBA_CACHE_DIR": ""})
    assert done.returncode == 0, done.stderr
    told = cluster.ended(done.stdout.strip())
    assert told["JobState"] == "COMPLETED", output(tmp_path, "hortense.pbs.[oe]*")
    assert digest(tmp_path / "table") == digest(serial)
    ranks = json.loads((tmp_path / "table" / "run.json").read_text())["ranks"]
    assert len(ranks) == 4
    assert len({r["node"] for r in ranks}) == 2
