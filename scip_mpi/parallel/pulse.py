"""No rank is waited for in vain: one that is dead, cut off or hangs ends the job, and is named.

A thread in each rank looks whether the rank's own work gets on (`Watch`), and tells rank 0 now and
then that it lives and where it is; rank 0 answers. Who is not heard of for too long is lost, and
so is rank 0 if it does not answer. Where the MPI allows one thread only, ranks tell and listen
between two batches, and the thread only looks.

Time counts as far as this process was running in it: a computer that sleeps, or a job that is
stopped and continued, loses nobody.
"""

from __future__ import annotations

import sys
import threading
import time

import numpy as np

from scip_mpi.errors import FAILED, RanksLost
from scip_mpi.parallel.guard import GRACE, GuardedThread, advice
from scip_mpi.parallel.link import Port, Tag, drain
from scip_mpi.parallel.watch import COMPUTING, Watch
from scip_mpi.parallel.world import World
from scip_mpi.timers import Timers

# Seconds without a sign of life after which a rank is lost: sorting the names of a hundred million
# images may stop all its threads for minutes.
SILENCE = 600.0
# Least seconds between two pulses of a rank, and pulses a second that rank 0 takes of all ranks:
# some 15 us each, with the answer.
APART = 2.0
A_SECOND = 50
# Seconds between two looks, and the least where limits are short.
TICK = 1.0
SHORTEST = 0.05
# Pulses that may be lost or late before a rank is.
LATE = 5
# Looks after which more time is no time in which this process ran.
ASLEEP = 4
# Of many ranks that miss rank 0, one speaks first: seconds that each leaves the one before.
TURN = 2.0
TURNS = 30


class Clock:
    """Seconds in which this process ran, as far as it was asked often enough."""

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self.last = time.monotonic()
        self.now = 0.0

    def advance(self) -> float:
        """Seconds since the last call, no more than the longest that counts."""
        read = time.monotonic()
        passed, self.last = min(read - self.last, self.longest), read
        self.now += passed
        return passed


class Pulse:
    """The life signs of a rank; a context in which they are given and listened for.

    Parameters
    ----------
    world : World
    silence : float, optional
        Seconds without a sign of life after which a rank is lost; longer where there are so many
        ranks that each is heard of less often.
    """

    def __init__(self, world: World, silence: float | None = None) -> None:
        self.world = world
        self.link = world.link(Port.PULSE)
        self.apart = max(APART, world.size / A_SECOND)
        self.silence = max(SILENCE if silence is None else silence, LATE * self.apart)
        self.node = world.node()
        self.over = threading.Event()
        self.broken = False
        self.thread = GuardedThread(world, self._run, "pulse")
        self.clock = Clock(ASLEEP * TICK)
        # The first pulse is at once, so that rank 0 knows of all; the others are spread over the
        # time between two.
        self.due = 0.0
        self.later = self.apart * world.rank / world.size
        self.heard = np.zeros(world.size)
        self.idle = np.zeros(world.size)
        # Whoever dies at once was on its node all the same.
        self.places = [f"on {node}" for node in world.nodes]
        self.watch = Watch(world, Timers())

    def follow(self, timers: Timers, stall: float | None) -> None:
        """Watch the work that is timed so, with a limit of its own."""
        self.watch = Watch(self.world, timers, stall)

    def __enter__(self) -> Pulse:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _run(self) -> None:
        clock = Clock(ASLEEP * TICK)
        if self.world.serves_in_thread:
            self._beat_if_whole()
        while not self.over.wait(self._tick()):
            hangs = self.watch.look(clock.advance())
            if hangs is not None:
                self._end(f"rank {self.world.rank} on {self.node} hangs: {hangs}")
            elif self.world.serves_in_thread and not self.broken:
                self._beat_if_whole()

    def _beat_if_whole(self) -> None:
        """Who has died is heard of by the rank's own thread, too; that it gets on is looked at."""
        try:
            self.beat()
        except RanksLost:
            self.broken = True

    def between_batches(self) -> None:
        """Give and take life signs, where no thread may."""
        if not self.world.serves_in_thread and self.world.size > 1:
            self.beat()

    def beat(self) -> None:
        """Tell rank 0, or answer; end the job if somebody is lost."""
        self.clock.advance()
        now, rank = self.clock.now, self.world.rank
        for message in drain(self.link):
            self.heard[message.source] = now
            self.idle[message.source] = message.body[:8].view(np.float64)[0]
            self.places[message.source] = bytes(message.body[8:]).decode()
            if rank == 0:
                self._tell(message.source)
        if rank != 0 and now >= self.due and not self.link.unsent():
            self.due, self.later = now + self.apart + self.later, 0.0
            self._tell(0)
        self._judge(now)

    def _tell(self, to: int) -> None:
        text = ", ".join(filter(None, (f"on {self.node}", self.watch.place())))
        self.link.send(to, Tag.PULSE, np.float64(self.watch.idle).tobytes() + text.encode())

    def _judge(self, now: float) -> None:
        """End the job if somebody is lost, or everybody waits for everybody."""
        limit, stall = self._longest_silence(), self.watch.stall
        if self.world.rank != 0:
            if now - self.heard[0] > limit + TURN * min(self.world.rank - 1, TURNS):
                self._end(self._missed(0, now))
            return
        self.heard[0], self.idle[0] = now, self.watch.idle
        missed = int(self.heard.argmin())
        if now - self.heard[missed] > limit:
            self._end(self._missed(missed, now))
        elif stall and self.idle.min() > stall:
            self._end(
                f"all ranks have waited for each other for {self.idle.min():,.0f} s: this is a "
                "fault of the program or of the MPI library"
            )

    def _longest_silence(self) -> float:
        if self.world.serves_in_thread:
            return self.silence
        # A batch may take as long as a rank may compute.
        stall = self.watch.stall
        return max(self.silence, COMPUTING * stall) if stall else float("inf")

    def _missed(self, rank: int, now: float) -> str:
        return (
            f"nothing was heard of rank {rank} for {now - self.heard[rank]:,.0f} s: it was killed, "
            "its node or the network is down, or it hangs. Before that it was "
            f"{self.places[rank]}"
        )

    def _tick(self) -> float:
        """Seconds to the next look: several within the shortest limit."""
        return max(min(TICK, self.silence / 10, (self.watch.stall or TICK) / 10), SHORTEST)

    def _end(self, what: str) -> None:
        """Say what is wrong and how to go on, and end all ranks."""
        sys.stderr.write(f"scip_mpi: {what}. The job ends. {advice()}\n")
        sys.stderr.flush()
        # The launcher may drop what it has not forwarded when the abort reaches it.
        time.sleep(GRACE)
        self.over.set()
        self.world.abort(FAILED)
