"""No rank is left waiting for one that has failed."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread

import scip_mpi
from scip_mpi.errors import FAILED, RanksLost
from scip_mpi.parallel.world import World

# What is wrong with a disk, and not with the program.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
# Seconds between a traceback and the abort, for it to reach the user's screen.
GRACE = 0.5


@contextmanager
def abort_guard(world: World) -> Iterator[None]:
    """End all ranks promptly when something unforeseen is raised.

    What is wrong is said first: a disk that is full in plain words, all else by the traceback.
    """
    try:
        yield
    except Exception as error:
        report(world, lost_ranks(error) or disk_fault(error) or traceback.format_exc())
        # The launcher may drop what it has not forwarded when the abort reaches it.
        time.sleep(GRACE)
        world.abort(FAILED)
        raise


def disk_fault(error: BaseException) -> str | None:
    """What to say of an error that is the disk's; None for any other."""
    if not isinstance(error, OSError) or error.errno not in DISK:
        return None
    ours = [f for f in traceback.extract_tb(error.__traceback__) if is_ours(f.filename)]
    where = f" [{os.path.basename(ours[-1].filename)}, line {ours[-1].lineno}]" if ours else ""
    file = f": {error.filename}" if error.filename else ""
    return f"scip_mpi: {os.strerror(error.errno)}{file}{where}. {advice()}"


def lost_ranks(error: BaseException) -> str | None:
    """What to say where ranks have died, and what is done cannot go on without them."""
    return f"scip_mpi: {error}. {advice()}" if isinstance(error, RanksLost) else None


def advice() -> str:
    """How to go on when what ended the job is no fault of the program."""
    command = shlex.join(["python", "-m", "scip_mpi", *sys.argv[1:]])
    return f"When that is mended, start the same command again: {command}"


def is_ours(filename: str) -> bool:
    """Whether a file of source code is this program's."""
    return filename.startswith(os.path.dirname(scip_mpi.__file__))


def report(world: World, text: str) -> None:
    """Print a traceback, each line with the rank in front, in one write."""
    lines = [f"[rank {world.rank} of {world.size}] {line}" for line in text.rstrip().split("\n")]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()


class GuardedThread(Thread):
    """A thread whose failure ends all ranks, as one of the main thread does.

    That other ranks have died ends only the thread: the main thread hears of it, too.
    """

    def __init__(self, world: World, target: object, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.world = world
        self.job = target

    def run(self) -> None:
        """Run the job under the guard."""
        with abort_guard(self.world), suppress(RanksLost):
            self.job()  # type: ignore[operator]
