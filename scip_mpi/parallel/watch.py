"""A rank watches itself: a thread of it that no longer gets on is noticed, and said where it is."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path

from scip_mpi.parallel.guard import GuardedThread
from scip_mpi.parallel.whereabouts import Whereabouts, whereabouts
from scip_mpi.parallel.world import World
from scip_mpi.timers import Timers

# Seconds without progress after which a rank hangs, if the config says nothing else.
STALL = 1800.0
# Who computes is given so many times as long: that may take its time, a file system may not.
COMPUTING = 10
# Of the time that passes, the part that a thread which computes is sure to get of a processor,
# however many share it.
SHARE = 0.01
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Record:
    """What was last seen of a thread, and how long it has not got on."""

    seen: Whereabouts
    cpu: float
    still: float = 0.0


class Watch:
    """Looks now and then at the threads of a rank that do its work.

    Parameters
    ----------
    world : World
    timers : Timers
        What the rank counts its stages with.
    stall : float or None
        Seconds without progress that are too many; None if no number is.

    Attributes
    ----------
    idle : float
        Seconds for which all of these threads have only waited for other ranks.
    """

    def __init__(self, world: World, timers: Timers, stall: float | None = STALL) -> None:
        self.world = world
        self.timers = timers
        self.stall = stall
        self.worker = threading.current_thread()
        self.records: dict[threading.Thread, Record] = {}
        self.steps = timers.steps
        self.idle = 0.0

    def look(self, passed: float) -> str | None:
        """Look at all threads; what is to be said of one that hangs.

        Parameters
        ----------
        passed : float
            Seconds since the last time, as far as this process was running in them.
        """
        stepped = self.timers.steps != self.steps
        self.steps = self.timers.steps
        records = {}
        for thread in self._threads():
            seen = whereabouts(thread.ident or 0)
            if seen is None:
                continue
            cpu = cpu_seconds(thread.native_id or 0)
            last = self.records.get(thread)
            gets_on = seen.waiting or (stepped and thread is self.worker)
            if last is None or gets_on or (seen.position, seen.images) != last_place(last):
                last = Record(seen, cpu)
            else:
                last.still += passed
            records[thread] = last
        self.records = records
        waiting = all(record.seen.waiting for record in records.values())
        self.idle = self.idle + passed if waiting and not stepped else 0.0
        said = (self._hangs(thread, record) for thread, record in records.items())
        return next(filter(None, said), None)

    def _hangs(self, thread: threading.Thread, record: Record) -> str | None:
        if self.stall is None or record.still <= self.stall:
            return None
        computes = cpu_seconds(thread.native_id or 0) - record.cpu > SHARE * record.still
        if computes and record.still <= COMPUTING * self.stall:
            return None
        what = "computed without getting on" if computes else "done nothing"
        return f"for {record.still:,.0f} s it has {what}, {self._place(thread, record.seen)}"

    def place(self) -> str:
        """Where the rank's own thread is."""
        record = self.records.get(self.worker)
        return "" if record is None else self._place(self.worker, record.seen)

    def _place(self, thread: threading.Thread, seen: Whereabouts) -> str:
        stage = f"in stage {self.timers.at}" if self.timers.at else "between two stages"
        parts = [stage if thread is self.worker else f"in the {thread.name}"]
        if seen.images:
            parts.append(f"at {seen.images}")
        return f"{', '.join(parts)} [{seen.line}]"

    def _threads(self) -> list[threading.Thread]:
        """The rank's own thread, and those beside it but for the one that looks."""
        beside = [
            thread
            for thread in threading.enumerate()
            if isinstance(thread, GuardedThread) and thread.world is self.world
        ]
        return [t for t in (self.worker, *beside) if t is not threading.current_thread()]


def last_place(record: Record) -> tuple[tuple[tuple[int, int], ...], str]:
    """What changes when a thread gets on."""
    return record.seen.position, record.seen.images


def cpu_seconds(native_id: int) -> float:
    """Processor time of a thread of this process, in steps of 10 ms; 0 where nobody tells."""
    try:
        text = Path(f"/proc/self/task/{native_id}/stat").read_text()
    except OSError:
        return 0.0
    # After the name, which may hold anything: state, 10 numbers, user time, system time.
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS
