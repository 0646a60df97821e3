"""Jobs that are killed again and again, and gone on with until they are done."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import PATIENCE, ULFM, ULFM_ENVIRON, ULFM_OPTIONS
from tables import digest, obs_names

from scip_mpi.results.folder import PRIVATE

PROGRAM = Path(__file__).with_name("disturbed.py")
FILTER = "filter: {name: mad, statistic: mean, channel: PI, n_mads: 2, by: group}\n"
CELLS = 300
CHUNK = 8
# How a run may end: of the kills, most by far are of one rank or all.
HARMS = ("rank", "all", "event", "event", "ENOSPC", "EIO", "term")


@dataclass
class Tally:
    """What a campaign has come to."""

    kills: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    lost: int = 0
    differing: int = 0
    twice: int = 0
    unexpected: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Runs that were ended."""
        return sum(self.kills.values())


@dataclass
class Ground:
    """What all jobs share: cells, the undisturbed table, and how long its work takes (s)."""

    folder: Path
    cells: Path
    undisturbed: Path
    seconds: float


def prepare(shared_dir: Path, folder: Path) -> Ground:
    """Cells, and the table of a run that nobody disturbs."""
    cells = copy_cells(jurkat_files(shared_dir, CELLS), folder / "cells")
    job = Disturbed(folder / "undisturbed", cells, "full", 0)
    # The first compiles the kernels if nobody has, the second says how long it takes.
    for name in ("warm", "out"):
        job.out = job.folder / name
        process = job.start(3, "none")
        job.wait_for_work(process)
        begun = time.monotonic()
        assert job.end(process) == 0, job.said()
        seconds = time.monotonic() - begun
    return Ground(folder, cells, job.out, seconds)


def ulfm_or_skip() -> None:
    """Where the MPI of which ranks outlive others is missing: a skip, in CI a failure."""
    if not ULFM.is_dir():
        message = f"no {ULFM}: bash .ci/ulfm makes it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


class Disturbed:
    """A job in a folder of its own."""

    def __init__(self, folder: Path, cells: Path, mode: str, segmenters: int) -> None:
        self.folder = folder
        self.cells = cells
        self.notes = folder / "notes"
        self.notes.mkdir(parents=True)
        resources = f"{{chunk_size: {CHUNK}, checkpoint: {mode}, segmenters: {segmenters}}}"
        self.config = write_config(folder / "scip.yml", FILTER + f"resources: {resources}\n")
        self.out = folder / "out"
        self.starts = 0
        self.ranks = 0

    def start(
        self,
        ranks: int,
        harm: str,
        writer: str = "auto",
        python: Path = Path(sys.executable),
        ulfm: bool = False,
    ) -> subprocess.Popen[bytes]:
        """Start the command, the same each time; with ``ulfm`` ranks may outlive others."""
        self.starts += 1
        self.ranks = ranks
        mpiexec: list[str | Path] = [python.with_name("mpiexec")]
        environ = {**os.environ, "LD_LIBRARY_PATH": str(python.parents[1] / "shim")}
        if ulfm:
            mpiexec = [ULFM / "bin" / "mpiexec", *ULFM_OPTIONS]
            environ |= ULFM_ENVIRON
        program = [PROGRAM, self.notes, self.starts, harm]
        # The report comes when all is safe, and segments images again.
        command = ["run", self.config, self.cells, "-o", self.out, "--no-report"]
        command += ["--writer", writer]
        with (self.folder / "said").open("ab") as said:
            said.write(f"--- start {self.starts}: {ranks} ranks, {harm}\n".encode())
            said.flush()
            return subprocess.Popen(
                [str(a) for a in (*mpiexec, "-n", ranks, python, *program, *command)],
                stdout=said,
                stderr=said,
                start_new_session=True,
                env=environ,
            )

    def said(self) -> str:
        """All that was said so far."""
        return (self.folder / "said").read_text(errors="replace")

    def ranks_at(self) -> dict[int, tuple[int, str]]:
        """Process number and stage of each rank that runs."""
        found = {}
        for rank in range(self.ranks):
            path = self.notes / f"{self.starts}-{rank}"
            words = path.read_text().split(maxsplit=1) if path.exists() else []
            if len(words) == 2:
                found[rank] = int(words[0]), words[1].strip()
        return found

    def wait_for_work(self, process: subprocess.Popen[bytes]) -> None:
        """Until rank 0 has prepared the run and there is something to disturb, or it has ended."""
        while process.poll() is None:
            if self.ranks_at().get(0, (0, "start"))[1] not in ("start", "prepare"):
                return
            time.sleep(0.005)

    def end(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for a run's end, and for that of all its processes."""
        code = process.wait(PATIENCE)
        ends = time.monotonic() + PATIENCE
        while any(Path(f"/proc/{pid}").exists() for pid, _ in self.ranks_at().values()):
            assert time.monotonic() < ends
            time.sleep(0.01)
        return code

    def segmented(self) -> int:
        """How often an image was segmented."""
        return len((self.notes / "segmented").read_text().split())


def harm_once(job: Disturbed, ground: Ground, draw: random.Random, tally: Tally) -> bool:
    """Start a run and end it before its time; False if it was done before."""
    ranks = draw.choice([2, 3])
    how = draw.choice(HARMS)
    victim = draw.randrange(ranks)
    harm = "none"
    if how in ("event", "ENOSPC", "EIO"):
        what = "kill" if how == "event" else how
        harm = f"{what}:{victim}:{1 + int(40 * draw.random() ** 2)}"
    process = job.start(ranks, harm)
    if harm == "none":
        job.wait_for_work(process)
        # What was done before makes this start the shorter.
        time.sleep(draw.uniform(0, 0.8 * ground.seconds) * draw.random())
        alive = job.ranks_at()
        if how == "all":
            for pid, _ in alive.values():
                end(pid, signal.SIGKILL)
        elif victim in alive:
            end(alive[victim][0], signal.SIGKILL if how == "rank" else signal.SIGTERM)
    code = job.end(process)
    if code == 0:
        return False
    finished = (job.out / "features.h5ad").exists() and not (job.out / PRIVATE).exists()
    tally.kills[how] += 1
    tally.stages[job.ranks_at().get(victim, (0, "start"))[1]] += 1
    if how == "term" and code not in (75, -signal.SIGTERM, 128 + signal.SIGTERM):
        tally.unexpected.append(f"exit code {code} after SIGTERM")
    # It may have come when all was done.
    return not finished


def outlive(job: Disturbed, ground: Ground, draw: random.Random, tally: Tally, most: int) -> None:
    """Start a run of which ranks are killed, all but rank 0 at most, and the others go on."""
    ranks = draw.choice([3, 4])
    victims = draw.sample(range(1, ranks), draw.randint(1, min(ranks - 1, most)))
    how = draw.choice(["rank", "event", "event"])
    harms = [f"kill:{victim}:{1 + int(25 * draw.random() ** 2)}" for victim in victims]
    process = job.start(ranks, "+".join(harms) if how == "event" else "none", ulfm=True)
    if how == "rank":
        job.wait_for_work(process)
        for victim in victims:
            time.sleep(draw.uniform(0, 0.5 * ground.seconds) * draw.random())
            alive = job.ranks_at()
            if victim in alive:
                end(alive[victim][0], signal.SIGKILL)
    code = job.end(process)
    if code != 0:
        tally.unexpected.append(f"exit code {code} of a run that outlives its ranks")
        return
    # Whose time had not come when all was done was not killed.
    for death in json.loads((job.out / "run.json").read_text())["deaths"]:
        tally.kills[how] += 1
        tally.stages[death["stage"]] += 1


def end(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def campaign(ground: Ground, kills: int, seed: int, tally: Tally, each: int = 8) -> None:
    """Jobs until so many runs were killed, at most ``each`` of a job; all are then finished."""
    draw = random.Random(seed)
    while tally.total < kills:
        tally.jobs += 1
        mode = draw.choice(["full", "full", "full", "rows", "off"])
        folder = ground.folder / f"job-{seed}-{tally.jobs}"
        job = Disturbed(folder, ground.cells, mode, draw.choice([0, 0, 1]))
        done = False
        before = tally.total
        while not done and tally.total < min(before + each, kills):
            done = not harm_once(job, ground, draw, tally)
        if not done:
            code = job.end(job.start(draw.choice([2, 3]), "none"))
            if code != 0:
                tally.unexpected.append(f"exit code {code} of an undisturbed start")
        judge(job, ground, tally, mode)


def outlasting(ground: Ground, kills: int, seed: int, tally: Tally) -> None:
    """Jobs under ULFM until so many ranks were killed; each is done by the ranks that live."""
    draw = random.Random(seed)
    while tally.total < kills and not tally.unexpected:
        tally.jobs += 1
        mode = draw.choice(["full", "full", "full", "rows", "off"])
        folder = ground.folder / f"ulfm-{seed}-{tally.jobs}"
        job = Disturbed(folder, ground.cells, mode, draw.choice([0, 0, 1, 2]))
        outlive(job, ground, draw, tally, kills - tally.total)
        judge(job, ground, tally, mode)


def judge(job: Disturbed, ground: Ground, tally: Tally, mode: str) -> None:
    """Compare a finished job with the undisturbed one; what went wrong stays for a look."""
    good = len(tally.unexpected) == 0
    if not (job.out / "features.h5ad").exists():
        tally.lost += len(obs_names(ground.undisturbed))
        good = False
    else:
        lost = set(obs_names(ground.undisturbed)) - set(obs_names(job.out))
        tally.lost += len(lost)
        same = digest(job.out) == digest(ground.undisturbed)
        same &= files(job.out) == files(ground.undisturbed)
        tally.differing += not same
        good &= same and not lost
    if mode == "full":
        tally.twice += job.segmented() - CELLS
    if good:
        shutil.rmtree(job.folder)


def files(out: Path) -> dict[str, bytes]:
    """All files of OUT but run.json, and the table, whose parts are compared one by one."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file() and path.name not in ("run.json", "features.h5ad")
    }
