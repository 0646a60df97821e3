"""The program, disturbed: ``disturbed.py FOLDER START HARM ARGUMENTS ...``.

It notes its process number and the stage it is in in FOLDER, and every image that it segments. HARM
is ``none``, or what happens to one rank with the n-th of its events: ``kill:RANK:N`` ends it in the
middle of whatever that is, ``ENOSPC:RANK:N`` and ``EIO:RANK:N`` let the n-th write to a disk fail
half-way, ``stage:RANK:NAME`` ends it before a stage. Several ranks may come to harm: ``HARM+HARM``.
Writes are short now and then in any case.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scip_mpi.passes
import scip_mpi.publish
import scip_mpi.run
from scip_mpi import disk
from scip_mpi.books import Books
from scip_mpi.cli import main
from scip_mpi.parallel.world import launched_rank

folder_name, start, harm, *sys.argv[1:] = sys.argv[1:]
FOLDER = Path(folder_name)
RANK = launched_rank(os.environ)
own = [one for one in harm.split("+") if ":" in one and int(one.split(":")[1]) == RANK]
kind, _, number = own[0].split(":") if own else ("none", "", "-1")
MINE = bool(own)
events = 0
writes = 0

notes = os.open(FOLDER / f"{start}-{RANK}", os.O_RDWR | os.O_CREAT)
images = os.open(FOLDER / "segmented", os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(stage: str) -> None:
    """The process number, and what it is at."""
    os.pwrite(notes, f"{os.getpid():>9} {stage:<20}\n".encode(), 0)


def event() -> bool:
    """Count; whether this is the one at which to end."""
    global events
    events += 1
    return MINE and kind == "kill" and events == int(number)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def staged(owner: Any, name: str, stage: str) -> None:
    call = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        note(stage)
        if MINE and (kind, number) == ("stage", stage):
            die()
        try:
            return call(*args, **kwargs)
        finally:
            note(f"after {stage}")

    setattr(owner, name, wrapped)


def counted(owner: Any, name: str) -> None:
    call = getattr(owner, name)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if event():
            die()
        return call(*args, **kwargs)

    setattr(owner, name, wrapped)


def listed(segment: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(stages: Any, references: Any, *rest: Any) -> Any:
        done = segment(stages, references, *rest)
        os.write(images, "".join(f"{i}\n" for i in references.index.tolist()).encode())
        return done

    return wrapped


def faulty(write: Callable[..., int]) -> Callable[..., int]:
    def wrapped(file: int, data: Any, offset: int) -> int:
        global writes
        writes += 1
        half = data[: max(len(data) // 2, 1)]
        if event():
            write(file, half, offset)
            die()
        if MINE and kind in ("ENOSPC", "EIO") and writes == int(number):
            write(file, half, offset)
            code = getattr(errno, kind)
            raise OSError(code, os.strerror(code))
        return write(file, half if writes % 7 == 0 else data, offset)

    return wrapped


note("start")
staged(scip_mpi.run, "prepare", "prepare")
staged(scip_mpi.run, "compile_once_per_node", "compile")
staged(scip_mpi.run, "segment_and_measure", "first pass")
staged(scip_mpi.run, "decide", "reduce")
staged(scip_mpi.run, "create_table", "create")
staged(scip_mpi.run, "compute_and_write", "second pass")
staged(scip_mpi.publish, "finish", "publish")
staged(scip_mpi.run, "regroup", "regroup")
for owner, name in [
    (scip_mpi.passes, "segment"),
    (scip_mpi.passes, "compute"),
    (scip_mpi.run, "create_table"),
    (disk, "sync"),
    (disk, "settle"),
    (disk, "replace"),
    (Books, "write"),
    (scip_mpi.publish.h5ad, "complete"),
    (scip_mpi.publish.parquet, "export"),
    (scip_mpi.publish, "write_run_json"),
    (scip_mpi.publish, "leave"),
]:
    counted(owner, name)
scip_mpi.passes.segment = listed(scip_mpi.passes.segment)
disk.os = type("Os", (), {**vars(os), "pwrite": staticmethod(faulty(os.pwrite))})  # type: ignore[assignment]

main()
