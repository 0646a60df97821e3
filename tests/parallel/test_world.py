from __future__ import annotations

import pytest

from scip_mpi.errors import UserError
from scip_mpi.parallel.world import Alone, enter, launched_rank, launched_size, under_launcher


def test_a_process_started_by_itself_is_alone() -> None:
    world = enter({})
    assert isinstance(world, Alone)
    assert world.gather("x") == ["x"]
    assert world.bcast(3) == 3


@pytest.mark.parametrize(
    ("environ", "size", "rank", "launched"),
    [
        ({}, 1, 0, False),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, 4, 3, True),
        ({"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "2"}, 8, 2, True),
        ({"SLURM_STEP_NUM_TASKS": "64", "SLURM_STEP_ID": "0", "SLURM_PROCID": "63"}, 64, 63, True),
        # a batch script: one process that Slurm did not start as a step
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "64", "SLURM_PROCID": "0"}, 1, 0, False),
        ({"PMIX_RANK": "1"}, 1, 1, True),
    ],
)
def test_what_the_launcher_says(
    environ: dict[str, str], size: int, rank: int, launched: bool
) -> None:
    assert launched_size(environ) == size
    assert launched_rank(environ) == rank
    assert under_launcher(environ) is launched


def test_alone_has_no_file_to_share() -> None:
    with pytest.raises(UserError, match="--writer posix"):
        Alone().open_shared("x")
