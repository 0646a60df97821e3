"""The benchmarks run, at tiny sizes, and count right; nothing here is timed."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from launch import PATIENCE

BENCH = Path(__file__).parents[2] / "bench"
SCRIPTS = [
    ("kernels", []),
    ("throughput", ["--config", "li"]),
    ("throughput", ["--config", "paper", "--job", "30"]),
    ("strong_scaling", []),
    ("strong_scaling", ["--pairs"]),
    ("weak_scaling", []),
    ("memory", []),
    ("large_field", ["--ranks", "1"]),
    ("startup", ["--no-first"]),
    ("write", []),
    ("checkpoint", []),
    ("timeline", []),
    ("report", []),
]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bench")


def start(name: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCH / f"{name}.py"), *map(str, arguments)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.mpi
@pytest.mark.ranks(4)
@pytest.mark.parametrize("command", ["check", "evenness", "predict"])
def test_a_command_of_the_model_runs(command: str, work: Path, tmp_path: Path) -> None:
    settings = ("--quick", "--work", work, "--results", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "bench.model", command, *map(str, settings)],
        capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=BENCH.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (table,) = tmp_path.glob("*.csv")
    assert all(row["date"] for row in read(table))


@pytest.mark.mpi
@pytest.mark.ranks(1)
@pytest.mark.parametrize(("name", "arguments"), SCRIPTS)
def test_a_benchmark_runs(name: str, arguments: list[str], work: Path, tmp_path: Path) -> None:
    done = start(name, "--quick", "--work", work, "--results", tmp_path, *arguments)
    assert done.returncode == 0, done.stderr
    tables = list(tmp_path.glob("*.csv"))
    assert tables
    for table in tables:
        rows = read(table)
        assert rows
        for row in rows:
            assert row["date"]
            assert "numpy" in row["versions"]
            assert row["command"].startswith(f"python bench/{name}.py --quick")
    # Tables of cells are gone again, images are kept.
    assert not list(work.glob("table.*"))


def test_a_run_that_fails_is_said_with_its_words(work: Path, tmp_path: Path) -> None:
    config = tmp_path / "scip.yml"
    config.write_text("lode: {}\n")
    done = start("timeline", "--quick", "--work", work, "--results", tmp_path, "--config", config)
    assert done.returncode == 1
    assert "lode" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_timeline_of_a_run_is_drawn(tmp_path: Path) -> None:
    stages = {"read": {"wall_s": 0.7, "cpu_s": 0.6}, "wait": {"wall_s": 0.2, "cpu_s": 0.0}}
    timeline = {"bin_s": 0.5, "start_s": 0.1, "stages": {"read": [0.5, 0.2], "wait": [0.0, 0.2]}}
    ranks = [{"rank": k, "stages": stages, "timeline": timeline} for k in range(3)]
    (tmp_path / "run.json").write_text(json.dumps({"ranks": ranks}))
    done = start("timeline", tmp_path, "--work", tmp_path, "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("timeline_*.png"))) == 1
    (table,) = tmp_path.glob("timeline_*.csv")
    assert [(r["rank"], r["stage"], r["wall_s"]) for r in read(table)][:2] == [
        ("0", "read", "0.7"), ("0", "wait", "0.2"),
    ]  # fmt: skip


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCH))


@pytest.mark.usefixtures("bench")
@pytest.mark.parametrize("serial", [0.0, 0.02, 0.5])
def test_the_serial_fraction_is_found(serial: float) -> None:
    import scaling

    ranks = [1, 2, 4, 8, 64]
    fixed_size = [10 * (serial + (1 - serial) / n) for n in ranks]
    assert scaling.amdahl(ranks, fixed_size) == pytest.approx(serial)
    growing = [10 * n / (serial + (1 - serial) * n) for n in ranks]
    assert scaling.gustafson(ranks, growing) == pytest.approx(serial)


@pytest.mark.usefixtures("bench")
def test_the_slope_leaves_the_start_out() -> None:
    import throughput
    from harness import Ran

    def ran(images: int) -> Ran:
        stages = {"read": {"cpu_s": 0.001 * images, "wall_s": 0.002 * images}}
        told: dict[str, Any] = {"ranks": [{"stages": stages}]}
        return Ran(3 + 0.006 * images, 2 + 0.004 * images, 0, 0, "", "", told)

    rows = throughput.slopes("li", 1, {n: [ran(n), ran(n)] for n in (100, 1000)})
    found = {r["stage"]: (r["cpu_ms"], r["wall_ms"]) for r in rows}
    assert found["everything"] == pytest.approx((4, 6))
    assert found["read"] == pytest.approx((1, 2))
    assert found["others"] == pytest.approx((3, 4))
    assert rows[0]["fixed_s"] == pytest.approx(2)


@pytest.mark.usefixtures("bench")
def test_how_ranks_are_started(monkeypatch: pytest.MonkeyPatch) -> None:
    import click
    import harness

    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert harness.launcher("auto")[1:] == ["-n", "{ranks}"]
    assert harness.python("x.py", ranks=3, by="srun --mpi=pmix -n {ranks}") == [
        "srun", "--mpi=pmix", "-n", "3", sys.executable, "x.py",
    ]  # fmt: skip
    with pytest.raises(click.BadParameter):
        harness.launcher("mpirun")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr("shutil.which", lambda name: name)
    assert harness.launcher("auto")[0] == "srun"


@pytest.mark.usefixtures("bench")
def test_more_images_than_simulated_are_links_to_them(tmp_path: Path) -> None:
    import harness

    folder = harness.simulated(tmp_path, 5, distinct=2)
    files = sorted((folder / "images").rglob("*.tiff"))
    assert len(files) == 5
    assert len({f.stat().st_ino for f in files}) == 2
    before = {f: f.stat().st_mtime_ns for f in files}
    assert harness.simulated(tmp_path, 5, distinct=2) == folder
    assert {f: f.stat().st_mtime_ns for f in files} == before
