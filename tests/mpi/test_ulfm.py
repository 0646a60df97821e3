"""Ranks that die under Open MPI's ULFM: the others go on, and make the undisturbed run's bytes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files
from tables import digest

sys.path.insert(0, str(Path(__file__).parents[1] / "chaos"))

from jobs import Disturbed, Ground, files, ulfm_or_skip
from launch import launch

# With the system's MPI there is nothing to see: these have an MPI of their own.
pytestmark = [pytest.mark.mpi, pytest.mark.ranks]
CELLS = 96


@pytest.fixture(scope="module")
def ground(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    ulfm_or_skip()
    folder = tmp_path_factory.mktemp("ulfm")
    cells = copy_cells(jurkat_files(shared_dir, CELLS), folder / "cells")
    job = Disturbed(folder / "undisturbed", cells, "full", 0)
    done = launch(["-m", "scip_mpi", "run", job.config, cells, "-o", job.out, "--no-report"])
    assert done.returncode == 0, done.stderr
    return Ground(folder, cells, job.out, 0.0)


def same(job: Disturbed, ground: Ground) -> None:
    assert digest(job.out) == digest(ground.undisturbed)
    assert files(job.out) == files(ground.undisturbed)
    assert not (job.out / ".scip_mpi").exists()


@pytest.mark.parametrize(
    ("harm", "segmenters", "deaths", "worlds"),
    [
        ("stage:1:compile", 0, 1, [4]),
        # Two, one after the other.
        ("stage:2:first pass+stage:3:second pass", 0, 2, [4, 3]),
        # In the middle of an image, or of what is written of it.
        ("kill:1:5", 0, 1, [4]),
        ("stage:1:reduce", 0, 1, [4]),
        # Another one while the first is recovered from.
        ("stage:3:create+stage:1:regroup", 0, 2, [4]),
        ("stage:1:publish", 0, 1, [4]),
        # Ranks 0 and 1 segment, 2 and 3 compute: all but one of each, and then all of one kind.
        ("stage:1:first pass+stage:2:first pass", 2, 2, [4, 3]),
        ("stage:2:second pass+stage:3:second pass+stage:1:first pass", 2, 3, [4, 3, 2]),
    ],
)
def test_the_others_go_on(
    harm: str, segmenters: int, deaths: int, worlds: list[int], ground: Ground, tmp_path: Path
) -> None:
    job = Disturbed(tmp_path / "job", ground.cells, "full", segmenters)
    assert job.end(job.start(4, harm, ulfm=True)) == 0, job.said()
    same(job, ground)
    told = json.loads((job.out / "run.json").read_text())
    assert len(told["deaths"]) == deaths, job.said()
    assert {death["of"] for death in told["deaths"]} <= set(worlds)
    assert len(told["ranks"]) == 4 - deaths
    assert job.said().count(" has died in stage ") == deaths
    assert f"the run goes on with {4 - deaths} rank(s), from what is finished" in job.said()


@pytest.mark.parametrize("stage", ["first pass", "publish"])
def test_without_rank_0_the_job_ends(stage: str, ground: Ground, tmp_path: Path) -> None:
    job = Disturbed(tmp_path / "job", ground.cells, "full", 0)
    assert job.end(job.start(3, f"stage:0:{stage}", ulfm=True)) != 0
    assert "has died, which led the run. The job ends." in job.said()
    assert f"python -m scip_mpi run {job.config} {ground.cells} -o {job.out}" in job.said()
    assert not (job.out / "features.h5ad").exists()
    assert job.end(job.start(2, "none")) == 0, job.said()
    same(job, ground)


def test_a_writer_that_outlives_nobody_is_refused(ground: Ground, tmp_path: Path) -> None:
    job = Disturbed(tmp_path / "job", ground.cells, "full", 0)
    assert job.end(job.start(2, "none", "mpi", ulfm=True)) == 2
    assert "--writer mpi cannot outlive the death of a rank" in job.said()
    assert not job.out.exists()


def test_a_bug_ends_the_job_all_the_same(ground: Ground, tmp_path: Path) -> None:
    job = Disturbed(tmp_path / "job", ground.cells, "full", 0)
    assert job.end(job.start(3, "EIO:1:1", ulfm=True)) not in (0, None)
    assert "Input/output error" in job.said()
    assert not (job.out / "features.h5ad").exists()
    assert job.end(job.start(2, "none")) == 0, job.said()
    same(job, ground)


CUT_OFF = """
from threading import RLock
from mpi4py import MPI
from scip_mpi.errors import RanksLost
from scip_mpi.parallel import ulfm

class Comm:
    def __init__(self, failed, revoked): self.failed, self.revoked = failed, revoked
    def Is_revoked(self): return self.revoked
    def Get_failed(self): return MPI.COMM_SELF.Get_group() if self.failed else MPI.GROUP_EMPTY

class World:
    lock, heard = RLock(), 0
    def __init__(self, *state): self.comm = Comm(*state)
    def revoke(self): self.heard += 1
    @ulfm.notices
    def barrier(self): raise MPI.Exception(MPI.ERR_OTHER)

ulfm.survives, ulfm.HEARD = lambda: True, 0.1
for state in ((True, False), (False, True), (False, False)):
    world = World(*state)
    try:
        world.barrier()
    except (RanksLost, MPI.Exception) as error:
        print(type(error).__name__, world.heard)
"""


def test_a_collective_that_a_death_cuts_off_may_call_it_otherwise() -> None:
    """Open MPI's non-blocking ones end with MPI_ERR_OTHER at times."""
    done = launch(["-c", CUT_OFF])
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["RanksLost 1", "RanksLost 1", "Exception 0"]
