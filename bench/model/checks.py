"""The model against what happens: runs that sleep, and the program itself on 1 and 2 ranks."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import harness
from bench.model.job import Fixed, chunk_sizes, predict, rows_of_a_run
from bench.model.machine import Machine
from bench.model.passes import first_pass, second_pass
from bench.model.scenario import Scenario
from bench.model.work import Work, from_run
from bench.sleeping import ROW_BYTES
from scip_mpi.chunks import shrinking
from scip_mpi.plan import CHUNK_BYTES, LEAST_PIXELS, SHARE

# Of a simulated image: 12 channels of 64 x 64.
PIXELS = 12 * 64 * 64


def ranks_say(ranks: int | None, module: str, *arguments: str | Path) -> str:
    """What ``mpiexec -n RANKS python -m MODULE ARGUMENTS`` prints; without mpiexec for None.

    Raises
    ------
    RuntimeError
        It failed; with what it said.
    """
    command = harness.python("-m", module, *arguments, ranks=ranks)
    ran = subprocess.run(command, capture_output=True, text=True, cwd=harness.ROOT)
    if ran.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stderr}")
    return ran.stdout


def asleep(work: Work, ranks: int, each: int, rng: np.random.Generator) -> Scenario:
    """A scenario of ``each`` images a rank with recorded costs, in chunks that shrink."""
    sizes = np.diff(shrinking(np.ones(ranks * each, np.int64), SHARE * ranks, 4, 64))
    rows = max(each // 64, 1)
    per_row = work.rows.draw(sizes, rng)
    return Scenario(sizes.tolist(), work.images.draw(sizes, rng).tolist(), per_row.tolist(), rows)


def mixed(work: Work, images: int, ranks: int, rng: np.random.Generator) -> Scenario:
    """A scenario of images of mixed sizes, whose costs vary tenfold, in chunks as the plan cuts."""
    sizes = np.round(PIXELS * 10 ** rng.uniform(-0.5, 0.5, images)).astype(np.int64)
    mean = int(sizes.mean())
    least, most = LEAST_PIXELS // PIXELS * mean, CHUNK_BYTES // (2 * PIXELS) * mean
    bounds = shrinking(sizes, SHARE * ranks, least, most)
    weights = np.add.reduceat(sizes, bounds[:-1])
    counts = np.diff(bounds)
    # As dear as so many images of the usual size.
    first, second = (p.draw(weights // mean + 1, rng) for p in (work.images, work.rows))
    rows = rows_of_a_run(images / ranks, PIXELS)
    return Scenario(counts.tolist(), first.tolist(), second.tolist(), rows, weights.tolist())


def check_evenness(scenario: Scenario, ranks: int) -> list[dict[str, Any]]:
    """How long before the last rank the first one had nothing left, in each pass of a sleeping run.

    ``batch_s`` is the dearest piece of work: who finds another's last piece begun can but wait.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.json"
        scenario.write(path)
        told = json.loads(ranks_say(ranks, "bench.sleeping", path))
    runs = max(max(scenario.runs(k).costs) for k in range(len(scenario.images)))
    rows = []
    for which, batch in (("first", max(scenario.first)), ("second", runs)):
        ended, taken = told[f"ended_{which}"], told[f"{which}_s"]
        apart = max(ended) - min(ended)
        rows.append({
            "check": "evenness", "pass": which, "ranks": ranks, "images": sum(scenario.images),
            "pass_s": taken, "apart_s": apart, "apart": apart / taken, "batch_s": batch,
            "late": sum(told[f"took_{which}"]) / sum(told[f"slept_{which}"]),
        })  # fmt: skip
    return rows


def check_sleeping(machine: Machine, scenario: Scenario, ranks: int) -> dict[str, Any]:
    """Predicted and measured seconds of both passes of a sleeping run.

    The second pass is predicted twice: with the chunks where the simulated first pass left them,
    and, as ``given``, where the real one did. ``late`` is how much longer sleeps took than asked
    for: what a busy machine adds, which no scheduling can help.
    """
    begins = [0.0] * ranks
    one = first_pass(machine, begins, scenario.first, scenario.images, steals=False)
    own = [scenario.held(np.flatnonzero(one.holder == r).tolist()) for r in range(ranks)]
    two = second_pass(machine, begins, own, ROW_BYTES, steals=False)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.json"
        scenario.write(path)
        told = json.loads(ranks_say(ranks, "bench.sleeping", path))
    own = [scenario.held(chunks) for chunks in told["held"]]
    given = second_pass(machine, begins, own, ROW_BYTES, steals=False)
    late = [sum(told[f"took_{p}"]) / sum(told[f"slept_{p}"]) for p in ("first", "second")]
    predicted = float(one.ends.max() + two.ends.max())
    measured = told["first_s"] + told["second_s"]
    return {
        "check": "sleeping",
        "ranks": ranks,
        "images": sum(scenario.images),
        "ideal_s": (sum(scenario.first) + sum(scenario.second)) / ranks,
        "first_predicted_s": float(one.ends.max()),
        "first_s": told["first_s"],
        "first_late": late[0],
        "second_predicted_s": float(two.ends.max()),
        "second_given_s": float(given.ends.max()),
        "second_s": told["second_s"],
        "second_late": late[1],
        "predicted_s": predicted,
        "measured_s": measured,
        "ratio": predicted / measured,
        "ratio_on_time": (one.ends.max() * late[0] + given.ends.max() * late[1]) / measured,
    }


class Delays(threading.Thread):
    """Samples how long the ranks below a process wait for a core that others have.

    Linux counts it for each thread; the ranks' main threads are read until they end.
    """

    def __init__(self, parent: int) -> None:
        super().__init__(daemon=True)
        self.parent = parent
        self.seconds: dict[int, float] = {}
        self.over = threading.Event()

    def run(self) -> None:
        """Sample until told to stop."""
        while not self.over.wait(0.02):
            for process in below(self.parent):
                if process not in self.seconds and b"scip_mpi" not in words(process):
                    continue
                try:
                    text = Path(f"/proc/{process}/task/{process}/schedstat").read_text()
                except OSError:
                    continue
                self.seconds[process] = int(text.split()[1]) / 1e9


def words(process: int) -> bytes:
    """The command line of a process."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def below(process: int) -> Iterator[int]:
    """A process and all that it started, directly or not."""
    yield process
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from below(int(child))


def timed(command: Sequence[str], ranks: int) -> tuple[float, float]:
    """Wall seconds of a run of the program, and those that its ranks waited for a core."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    delays = Delays(process.pid)
    delays.start()
    _, said = process.communicate()
    wall = time.perf_counter() - started
    delays.over.set()
    delays.join()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {said.decode(errors='replace')}")
    # The launcher itself has the program's name among its words, and waits for nobody.
    waits = sorted(delays.seconds.values(), reverse=True)[:ranks]
    return wall, sum(waits) / ranks


def check_program(
    machine: Machine, settings: harness.Settings, name: str, images: int, repeats: int
) -> list[dict[str, Any]]:
    """Predicted and measured seconds of the program on 1 and 2 ranks.

    The work's cost comes from the run.json of as many ranks in the same repeat, since cores that
    work at once slow each other down (``work_s``, of all ranks); what is fixed (start, creating,
    publishing) from a run of few images on as many ranks. Measured seconds are given as
    the clock has them and without what the ranks waited for cores that other programs had;
    predictions are compared with the latter.
    """
    few = 24
    config = harness.config(settings, name)
    folders = {n: harness.simulated(settings.work, n) / "images" for n in (few, images)}
    rows: list[dict[str, Any]] = []
    for repeat in range(repeats + 1):
        walls: dict[tuple[int, int], tuple[float, float]] = {}
        works: dict[int, Work] = {}
        for ranks, n in ((1, few), (2, few), (1, images), (2, images)):
            out = settings.work / "model_table"
            call = (
                "-m", "scip_mpi", "run", config, folders[n], "-o", out, "-q", "--overwrite",
                "--no-report",
            )  # fmt: skip
            command = harness.python(*call, ranks=None if ranks == 1 else ranks)
            walls[ranks, n] = timed(command, ranks)
            if n == images:
                works[ranks] = from_run(json.loads((out / "run.json").read_text()))
        if repeat == 0:
            # Kernels are compiled and files are read from the disk in this one.
            continue
        for ranks, work in works.items():
            simulated = {
                n: predict(
                    machine, Fixed(), work, ranks, chunk_sizes(n, ranks, PIXELS), PIXELS
                ).after
                + work.parquet * n
                for n in (few, images)
            }
            wall, waited = walls[ranks, images]
            small, small_waited = walls[ranks, few]
            fixed = small - small_waited - simulated[few]
            rows.append({
                "check": "program", "config": config.stem, "ranks": ranks, "images": images,
                "work_s": (work.images.each + work.rows.each) * images,
                "fixed_s": fixed, "predicted_s": fixed + simulated[images],
                "wall_s": wall, "waited_for_cores_s": waited, "measured_s": wall - waited,
                "ratio": (fixed + simulated[images]) / (wall - waited),
            })  # fmt: skip
    return rows
