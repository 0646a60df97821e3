"""The MPI world on real ranks."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from launch import SYSTEM_RANKS, launch

PROGRAM = Path(__file__).with_name("world_program.py")


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [SYSTEM_RANKS] if SYSTEM_RANKS else [1, 2, 4, 8])
@pytest.mark.parametrize("largest", [2**30, 299_999])
def test_messages_collectives_and_files(largest: int, ranks: int, tmp_path: Path) -> None:
    done = launch([PROGRAM, tmp_path / "shared.bin", str(largest)], ranks)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("well") == ranks


@pytest.mark.mpi
@pytest.mark.ranks(2)
def test_a_message_above_two_gibibytes(tmp_path: Path) -> None:
    # Sent and received it takes three times its size.
    with open("/proc/meminfo") as handle:
        free = next(int(line.split()[1]) for line in handle if line.startswith("MemAvailable"))
    if free < 10 << 20:
        pytest.skip(f"{free >> 20} GiB of memory are free, 10 are needed")
    done = launch([PROGRAM.with_name("large_program.py")], 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("well") == 1


@pytest.mark.mpi
@pytest.mark.parametrize("ranks", [SYSTEM_RANKS] if SYSTEM_RANKS else [2, 4])
def test_an_error_on_one_rank_ends_the_job_with_its_traceback(ranks: int) -> None:
    program = (
        "from scip_mpi.parallel.world import enter\n"
        "from scip_mpi.parallel.guard import abort_guard\n"
        "world = enter()\n"
        "with abort_guard(world):\n"
        "    if world.rank == 1: raise ValueError('disk on fire')\n"
        "    world.barrier()\n"
    )
    done = launch(["-c", program], ranks)
    assert done.returncode == 1
    assert f"[rank 1 of {ranks}] ValueError: disk on fire" in done.stderr


@pytest.mark.mpi
@pytest.mark.ranks(2)
def test_a_full_disk_under_the_table_is_noticed(tmp_path: Path) -> None:
    # Open MPI's files say nothing of it but that fewer bytes were written.
    program = (
        "import numpy as np\n"
        "from scip_mpi.parallel.world import enter\n"
        "from scip_mpi.parallel.guard import abort_guard\n"
        "world = enter()\n"
        "with abort_guard(world):\n"
        "    file = world.open_shared('/dev/full')\n"
        "    if world.rank == 1: file.write_at(0, np.ones(100_000, np.uint8))\n"
        "    world.barrier()\n"
    )
    done = launch(["-c", program], 2)
    assert done.returncode == 1
    assert "[rank 1 of 2] scip_mpi: Input/output error: /dev/full" in done.stderr
    assert "Traceback" not in done.stderr


def test_four_processes_that_are_each_a_world_of_one_are_told_so(tmp_path: Path) -> None:
    def started(rank: int) -> subprocess.CompletedProcess[str]:
        environ = {
            "SLURM_STEP_NUM_TASKS": "4",
            "SLURM_STEP_ID": "0",
            "SLURM_PROCID": str(rank),
        }
        arguments = ["-m", "scip_mpi", "run", "scip.yml", "-o", tmp_path / "never"]
        return launch(arguments, environ=environ)

    with ThreadPoolExecutor() as pool:
        done = list(pool.map(started, range(4)))
    assert [d.returncode for d in done] == [2] * 4
    told = [d.stderr for d in done]
    assert "Traceback" not in "".join(told)
    assert "4 processes were started, but each is an MPI world of its own" in told[0]
    assert "--mpi=pmi2" in told[0]
    assert told[1:] == ["", "", ""]  # said once
    assert not (tmp_path / "never").exists()
