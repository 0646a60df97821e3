"""Ranks, a manager and messages, event by event: what both passes of a run are played on.

A world is the manager (a queue on rank 0 that is served message by message) and the ranks' loops.
A rank looks up between two pieces of work, or from its sleep when it has none; so does the manager
when its queue is empty. What the manager serves comes out of rank 0's time.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np

from bench.model.machine import Machine, Waiting
from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.parallel.link import Backoff, Tag
from scip_mpi.passes import SWITCHING

# The manager's thread sleeps no longer than this (`scip_mpi.parallel.manager.Manager.run`).
MANAGER_LONGEST = 2e-3


class Event(IntEnum):
    """What happens at a moment."""

    HEARD = 0  # a message has reached the manager
    SERVED = 1  # the manager is free for its next message
    REACHED = 2  # a message has reached a rank
    WORKED = 3  # a rank has done a piece of work
    LOOKED = 4  # a rank looks up from its sleep
    ENTERED = 5  # the clerk has entered a block


@dataclass
class Played:
    """How a pass went.

    Attributes
    ----------
    ends : ndarray of float64, shape (P,)
        When each rank heard that the pass is over.
    last : ndarray of float64, shape (P,)
        When each rank ended its last piece of work.
    busy : ndarray of float64, shape (P,)
        Seconds of work of each rank.
    holder : ndarray of int64
        First pass: the rank that got each chunk.
    manager : float
        Seconds that the manager served.
    messages : int
        How many it served.
    moved : int
        Second pass: runs of rows that changed hands.
    """

    ends: FloatArray
    last: FloatArray
    busy: FloatArray
    holder: Int64Array
    manager: float = 0.0
    messages: int = 0
    moved: int = 0


@dataclass
class World:
    """Ranks, manager and the messages on their way.

    ``steals`` says whether what the manager serves comes out of rank 0's time (not if its work is
    to sleep).
    """

    machine: Machine
    begins: Sequence[float]
    steals: bool = True
    heap: list[tuple[float, int, Event, int, Any]] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        ranks, alone = len(self.begins), len(self.begins) == 1
        # Alone, the manager serves between two pieces of work and nobody sleeps.
        nap = self.machine.nap
        self.waiting = Waiting(0.0 if alone else Backoff.longest, nap)
        self.manager_waiting = Waiting(0.0 if alone else MANAGER_LONGEST, nap)
        self.queue: deque[tuple[int, Tag, Any]] = deque()
        self.free_since, self.serving = min(self.begins), True
        self.inbox: list[deque[tuple[Tag, Any]]] = [deque() for _ in range(ranks)]
        self.idle_since: list[float | None] = [None] * ranks
        self.woken = [False] * ranks
        self.stolen = 0.0
        self.entering, self.lost = False, 0.0
        self.played = Played(
            np.full(ranks, np.nan),
            np.array(self.begins, np.float64),
            np.zeros(ranks),
            np.empty(0, np.int64),
        )

    def at(self, when: float, event: Event, rank: int, what: Any = None) -> None:
        """Let something happen."""
        self.count += 1
        heapq.heappush(self.heap, (when, self.count, event, rank, what))

    def tell(self, when: float, rank: int, tag: Tag, what: Any = None, size: float = 40) -> None:
        """A rank sends to the manager."""
        self.at(when + self.machine.one_way(size), Event.HEARD, rank, (tag, what))

    def send(self, when: float, rank: int, tag: Tag, what: Any = None, size: float = 0) -> None:
        """Somebody sends to a rank."""
        self.at(when + self.machine.one_way(size), Event.REACHED, rank, (tag, what))

    def work(self, now: float, rank: int, cost: float) -> None:
        """A rank begins a piece of work."""
        self.idle_since[rank] = None
        self.played.busy[rank] += cost
        if rank == 0:
            self.stolen = 0.0
        self.at(now + cost, Event.WORKED, rank)

    def rest(self, now: float, rank: int) -> None:
        """A rank has nothing to do and sleeps."""
        self.idle_since[rank] = now

    def wake(self, now: float, rank: int) -> None:
        """There is something for a rank, which it finds when it next looks up."""
        since = self.idle_since[rank]
        if since is not None and not self.woken[rank] and np.isnan(self.played.ends[rank]):
            self.woken[rank] = True
            self.at(self.waiting.until(since, now), Event.LOOKED, rank)

    def enter(self, now: float, cost: float) -> None:
        """The clerk begins a block. It shares rank 0's core with rank 0's work, half and half.

        What the manager serves meanwhile is lost to it, and the manager must wait for it to let
        Python go, if it had nothing to do before.
        """
        working = self.idle_since[0] is None
        self.stolen += cost * self.steals
        self.entering, self.lost = True, 0.0
        self.at(now + cost * (1 + (working and self.steals)), Event.ENTERED, 0)

    def play(
        self,
        look: Callable[[float, int, bool], None],
        serve: Callable[[float, int, Tag, Any], float],
        pause: Callable[[float], float],
        entered: Callable[[float], None] = lambda now: None,
    ) -> Played:
        """Let everything happen.

        Parameters
        ----------
        look : callable
            ``look(now, rank, worked)``: a rank looks up, after a piece of work or from its sleep.
        serve : callable
            ``serve(now, rank, tag, what)``: the manager answers; returns when it is done.
        pause : callable
            ``pause(now)``: the manager has answered all; returns when it has done what else there
            is to do, ``now`` if nothing.
        entered : callable
            ``entered(now)``: the clerk has entered a block.
        """
        heap, played = self.heap, self.played
        for rank, begin in enumerate(self.begins):
            self.at(begin, Event.LOOKED, rank)
        self.at(self.free_since, Event.SERVED, 0)
        while heap:
            now, _, event, rank, what = heapq.heappop(heap)
            if event is Event.WORKED:
                if rank == 0 and self.stolen > 0:
                    self.at(now + self.stolen, Event.WORKED, 0)
                    self.stolen = 0.0
                    continue
                played.last[rank] = now
                look(now, rank, True)
            elif event is Event.HEARD:
                self.queue.append((rank, *what))
                self._rouse(now)
            elif event is Event.SERVED:
                if self.queue:
                    done = serve(now, *self.queue.popleft())
                    played.messages += 1
                else:
                    done = pause(now)
                    if done == now:
                        self.serving, self.free_since = False, now
                        continue
                played.manager += done - now
                self.stolen += (done - now) * self.steals
                self.lost += (done - now) * self.steals
                self.at(done, Event.SERVED, 0)
            elif event is Event.REACHED:
                if not np.isnan(played.ends[rank]):
                    continue
                self.inbox[rank].append(what)
                self.wake(now, rank)
            elif event is Event.ENTERED:
                if self.lost > 0:
                    self.at(now + self.lost, Event.ENTERED, 0)
                    self.lost = 0.0
                    continue
                self.entering = False
                entered(now)
                self._rouse(now)
            else:
                self.woken[rank] = False
                look(now, rank, False)
        if np.isnan(played.ends).any():
            raise RuntimeError("the simulated pass has stalled: some ranks never heard its end")
        return played

    def _rouse(self, now: float) -> None:
        # The manager finds it when it next looks up.
        if not self.serving:
            self.serving = True
            found = self.manager_waiting.until(self.free_since, now)
            self.at(found + SWITCHING * self.entering, Event.SERVED, 0)

    def end(self, now: float) -> float:
        """The manager says that the pass is over; returns when it has told all."""
        for rank in range(len(self.begins)):
            now += self.machine.send
            self.send(now, rank, Tag.FINISH)
        return now
