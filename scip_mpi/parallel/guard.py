"""No rank is left waiting for one that has failed."""

from __future__ import annotations

import errno
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

from scip_mpi.errors import FAILED
from scip_mpi.parallel.world import World

# What is wrong with a disk, and not with the program.
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
DISK_ADVICE = "mend that, and start the same command again: it goes on from what is finished"
# Seconds between a traceback and the abort, for it to reach the user's screen.
GRACE = 0.5


@contextmanager
def abort_guard(world: World) -> Iterator[None]:
    """End all ranks promptly, this rank's traceback first, when something unforeseen is raised."""
    try:
        yield
    except Exception as error:
        text = traceback.format_exc()
        if isinstance(error, OSError) and error.errno in DISK:
            text += f"\n{error.strerror}: {DISK_ADVICE}"
        report(world, text)
        # The launcher may drop what it has not forwarded when the abort reaches it.
        time.sleep(GRACE)
        world.abort(FAILED)
        raise


def report(world: World, text: str) -> None:
    """Print a traceback, each line with the rank in front, in one write."""
    lines = [f"[rank {world.rank} of {world.size}] {line}" for line in text.rstrip().split("\n")]
    sys.stderr.write("\n".join(lines) + "\n")
    sys.stderr.flush()


class GuardedThread(Thread):
    """A thread whose failure ends all ranks, as one of the main thread does."""

    def __init__(self, world: World, target: object, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.world = world
        self.job = target

    def run(self) -> None:
        """Run the job under the guard."""
        with abort_guard(self.world):
            self.job()  # type: ignore[operator]
