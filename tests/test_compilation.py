"""Kernels are compiled once per machine, said so, and safely by processes that race."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import launch
from tables import digest

# A function compiled for the type named, in a cache that others write too; prints what it compiled.
KERNEL = """\
from numba import njit
@njit(cache=True)
def double(x):
    return x + x
"""
RACER = """\
import sys, time
import numpy as np
from kernel import double
from scip_mpi.compilation import compiling
with compiling(lambda: print("said")) as heard:
    double(np.zeros(3, sys.argv[1]))
print(heard.count)
"""
KINDS = ["u1", "u2", "i4", "i8", "f4", "f8"]


def race(folder: Path, kinds: list[str]) -> list[str]:
    environ = {"PYTHONPATH": f"{folder}:{':'.join(sys.path)}", "NUMBA_CACHE_DIR": str(folder / "c")}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, kind], env=environ, stdout=subprocess.PIPE, text=True
        )
        for kind in kinds
    ]
    told = [process.communicate()[0].split() for process in started]
    assert [process.returncode for process in started] == [0] * len(kinds)
    return [" ".join(words) for words in told]


def test_processes_that_race_compile_each_kernel_once(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    assert all(told.startswith("said") for told in race(tmp_path, KINDS))
    # Every version is found in its own file.
    assert race(tmp_path, KINDS) == ["0"] * len(KINDS)
    files = list((tmp_path / "c").rglob("*.nbc"))
    assert len(files) == len(KINDS)


def test_kernels_are_loaded_or_left_alone(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    program = (
        "import numpy as np, sys\n"
        "from kernel import double\n"
        "from scip_mpi.compilation import loaded\n"
        "print(loaded(lambda: double(np.zeros(3, sys.argv[1]))))\n"
    )
    environ = {"PYTHONPATH": f"{tmp_path}:{':'.join(sys.path)}", "NUMBA_CACHE_DIR": f"{tmp_path}/c"}
    assert launch(["-c", program, "f8"], environ=environ).stdout == "False\n"
    assert not list((tmp_path / "c").rglob("*.nbc"))
    race(tmp_path, ["f8"])
    assert launch(["-c", program, "f8"], environ=environ).stdout == "True\n"


@pytest.mark.mpi
def test_the_first_run_says_that_it_compiles_and_the_second_compiles_nothing(
    shared_dir: Path, tmp_path: Path
) -> None:
    cells = copy_cells(jurkat_files(shared_dir, 6), tmp_path / "cells")
    config = write_config(tmp_path / "scip.yml")
    environ = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    arguments = ["-m", "scip_mpi", "run", config, cells, "-o"]
    first = launch([*arguments, tmp_path / "first"], 2, environ)
    assert first.returncode == 0, first.stderr
    assert first.stderr.count("compiling the kernels, once on this machine") == 1
    held = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.nb?")}
    assert len(held) > 50
    second = launch([*arguments, tmp_path / "second"], 2, environ)
    assert second.returncode == 0, second.stderr
    assert "compiling" not in second.stderr
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.nb?")} == held
    assert digest(tmp_path / "first") == digest(tmp_path / "second")
