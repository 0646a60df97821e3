"""Images tried in a process of their own, which may die of one without harm to the run.

A suspected image is taken through both passes there. Who is killed with all that it works with is
killed together with the rank that watches; so a process that dies alone, and dies again of the same
image, died of it. What is found of an image there is thrown away.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from scip_mpi.batches import Scratch
from scip_mpi.loaders.contract import References
from scip_mpi.memory import machine_memory
from scip_mpi.plan import Plan
from scip_mpi.rows import compute
from scip_mpi.segmenting import segment
from scip_mpi.stages import build_stages, tiles_of
from scip_mpi.tile_objects import held_or_read
from scip_mpi.tiles import tile_alone
from scip_mpi.timers import Timers

# The first lines of the process: where its modules are comes before the first of them.
BOOT = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from scip_mpi.apart import main; main(*map(int, sys.argv[1:]))"
)
# What an image can do to a process; by other signals somebody asks it to end.
DEADLY = frozenset(
    getattr(signal, f"SIG{name}") for name in ("SEGV", "BUS", "ABRT", "ILL", "FPE", "SYS", "KILL")
)
# Seconds between two looks at who may want this rank to do something else.
TURN = 0.1
# Seconds in which whoever kills this process too will have done so.
GRACE = 1.0
# One in so many parts of the memory is so much that its want is the image's doing.
MUCH = 2
VMSTAT = Path("/proc/vmstat")
# A message: place among the references, and what is begun with it. A pipe takes it whole.
_STEP = struct.Struct("<qq")
STAGES = ("segment", "features")
DONE, RAISED = 2, 3
PR_SET_PDEATHSIG = 1


class UntriedError(Exception):
    """The process could not be started, or ended before its first image."""


@dataclass(frozen=True)
class Death:
    """An image whose process died: its place in the catalog, the stage, and what it died of."""

    index: int
    stage: str
    cause: str


def deaths(
    plan: Plan, references: References, halted: Callable[[], bool], beat: Callable[[], None]
) -> list[Death]:
    """The images that a process of its own dies of, each tried once.

    Parameters
    ----------
    plan : Plan
    references : References
    halted : callable
        Whether the run is to stop: the images that are left are not tried then.
    beat : callable
        Called again and again meanwhile.

    Raises
    ------
    UntriedError
    """
    found = []
    # Whatever becomes of the process, its files go.
    scratch = plan.config.resources.scratch
    with tempfile.TemporaryDirectory(prefix="scip_mpi-", dir=scratch) as folder:
        while len(references) and not halted():
            place, step, cause = _watch(plan, references, Path(folder), halted, beat)
            if step == DONE or halted():
                break
            if cause:
                found.append(Death(int(references.index[place]), STAGES[step], cause))
            references = references.take(np.arange(place + 1, len(references)))
    return found


def _watch(
    plan: Plan,
    references: References,
    folder: Path,
    halted: Callable[[], bool],
    beat: Callable[[], None],
) -> tuple[int, int, str]:
    """Let a process try images until one ends it: the last step it told of, and its death."""
    hear, tell = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", BOOT, str(tell), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[tell],
            # A signal to the run is no signal to this process.
            start_new_session=True,
        )
    except OSError as error:
        os.close(hear)
        raise UntriedError(str(error)) from error
    finally:
        os.close(tell)
    assert process.stdin is not None
    starved = oom_kills()
    told, ended = b"", False
    poll = select.poll()
    poll.register(hear, select.POLLIN)
    try:
        with suppress(BrokenPipeError), process.stdin as stdin:
            stdin.write(pickle.dumps(sys.path) + pickle.dumps((plan, references, folder)))
        while not ended and not halted():
            beat()
            if poll.poll(TURN * 1000):
                part = os.read(hear, 1 << 16)
                told, ended = told + part, not part
    finally:
        os.close(hear)
        if not ended:
            process.kill()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = code = os.waitstatus_to_exitcode(status)
    if len(told) < _STEP.size:
        if halted():
            return 0, DONE, ""
        raise UntriedError(f"it ended by {_cause(code) or code} before its first image")
    place, step = _STEP.unpack(told[-_STEP.size :])
    if step in (DONE, RAISED):
        # What is raised is an error like others when the rank itself comes to the image.
        return place, step, ""
    if code == -signal.SIGKILL and oom_kills() > starved:
        # This process is the first to go for want of memory, whoever has it.
        large = usage.ru_maxrss * 1024 > machine_memory() // MUCH
        return place, step, "SIGKILL, out of memory" if large else ""
    cause = _cause(code)
    if cause:
        _wait(GRACE, halted, beat)
    return place, step, cause


def oom_kills() -> int:
    """How many processes of this machine the kernel has killed for want of memory, if it tells."""
    lines = VMSTAT.read_text().splitlines() if VMSTAT.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _cause(code: int) -> str:
    """What ended a process with an exit code, if that was no request to end."""
    if code >= 0:
        return f"exit code {code}"
    number = signal.Signals(-code)
    return number.name if number in DEADLY else ""


def _wait(seconds: float, halted: Callable[[], bool], beat: Callable[[], None]) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and not halted():
        beat()
        time.sleep(TURN)


def main(tell: int, parent: int) -> None:
    """Try images, as the process of its own.

    Parameters
    ----------
    tell : int
        The pipe's end to tell of each step by.
    parent : int
        Whose process this is.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Where memory ends, this process is to end and not a rank.
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    plan, references, folder = pickle.load(sys.stdin.buffer)
    stages, timers, place = build_stages(plan), Timers(), 0
    stages = replace(stages, tiles=tiles_of(plan, folder))

    def step(what: int) -> None:
        os.write(tell, _STEP.pack(place, what))

    for place in range(len(references)):
        one = references.take([place])
        step(STAGES.index("segment"))
        try:
            if stages.tiles is not None:
                tile_alone(stages.tiles, stages, one)
            record, pixels = segment(stages, one, timers)
            step(STAGES.index("features"))
            masks = record.objects()
            crops = held_or_read(stages, one, masks, pixels)
            compute(stages, one, masks, crops, [], timers, Scratch())
        except BaseException:
            step(RAISED)
            raise
    step(DONE)
