"""The two passes of a run, event by event, as `scip_mpi.parallel` plays them.

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
from scip_mpi.parallel.workers import AHEAD

# The manager's thread sleeps no longer than this (`scip_mpi.parallel.manager.Manager.run`).
MANAGER_LONGEST = 2e-3


class Event(IntEnum):
    """What happens at a moment."""

    HEARD = 0  # a message has reached the manager
    SERVED = 1  # the manager is free for its next message
    REACHED = 2  # a message has reached a rank
    WORKED = 3  # a rank has done a piece of work
    LOOKED = 4  # a rank looks up from its sleep


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
    clerk_left : float
        Seconds of the clerk's work that were left when rank 0 heard the end.
    """

    ends: FloatArray
    last: FloatArray
    busy: FloatArray
    holder: Int64Array
    manager: float = 0.0
    messages: int = 0
    moved: int = 0
    clerk_left: float = 0.0


@dataclass
class World:
    """Ranks, manager and the messages on their way.

    ``clerk`` seconds are to be done beside, on rank 0; ``steals`` says whether what the manager
    serves comes out of rank 0's time (not if its work is to sleep).
    """

    machine: Machine
    begins: Sequence[float]
    clerk: float = 0.0
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
        self.free_since, self.serving = min(self.begins), False
        self.inbox: list[deque[tuple[Tag, Any]]] = [deque() for _ in range(ranks)]
        self.idle_since: list[float | None] = [None] * ranks
        self.woken = [False] * ranks
        self.stolen = 0.0
        self.clerk_at: float | None = None
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

    def tell(self, when: float, rank: int, tag: Tag, what: Any = None) -> None:
        """A rank sends to the manager."""
        self.at(when + self.machine.one_way(40), Event.HEARD, rank, (tag, what))

    def send(self, when: float, rank: int, tag: Tag, what: Any = None, size: float = 0) -> None:
        """Somebody sends to a rank."""
        self.at(when + self.machine.one_way(size), Event.REACHED, rank, (tag, what))

    def work(self, now: float, rank: int, cost: float) -> None:
        """A rank begins a piece of work. Rank 0 shares its core with the clerk, half and half."""
        self.idle_since[rank] = None
        self.played.busy[rank] += cost
        if rank == 0:
            self.stolen = 0.0
            self._rest(now)
            shared = min(cost, self.clerk)
            self.clerk -= shared
            cost += shared
        self.at(now + cost, Event.WORKED, rank)

    def rest(self, now: float, rank: int) -> None:
        """A rank has nothing to do and sleeps."""
        self.idle_since[rank] = now
        if rank == 0 and self.clerk_at is None:
            self.clerk_at = now

    def _rest(self, now: float) -> None:
        # What the clerk did while rank 0 slept.
        if self.clerk_at is not None:
            self.clerk = max(self.clerk - (now - self.clerk_at), 0.0)
            self.clerk_at = None

    def play(
        self,
        look: Callable[[float, int, bool], None],
        serve: Callable[[float, int, Tag, Any], float],
    ) -> Played:
        """Let everything happen.

        Parameters
        ----------
        look : callable
            ``look(now, rank, worked)``: a rank looks up, after a piece of work or from its sleep.
        serve : callable
            ``serve(now, rank, tag, what)``: the manager answers; returns when it is done.
        """
        heap, played = self.heap, self.played
        for rank, begin in enumerate(self.begins):
            self.at(begin, Event.LOOKED, rank)
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
                if not self.serving:
                    self.serving = True
                    heard = self.manager_waiting.until(self.free_since, now)
                    self.at(heard, Event.SERVED, 0)
            elif event is Event.SERVED:
                if not self.queue:
                    self.serving, self.free_since = False, now
                    continue
                done = serve(now, *self.queue.popleft())
                played.manager += done - now
                played.messages += 1
                self.stolen += (done - now) * self.steals
                self.at(done, Event.SERVED, 0)
            elif event is Event.REACHED:
                if not np.isnan(played.ends[rank]):
                    continue
                self.inbox[rank].append(what)
                since = self.idle_since[rank]
                if since is not None and not self.woken[rank]:
                    self.woken[rank] = True
                    self.at(self.waiting.until(since, now), Event.LOOKED, rank)
            else:
                self.woken[rank] = False
                look(now, rank, False)
        if np.isnan(played.ends).any():
            raise RuntimeError("the simulated pass has stalled: some ranks never heard its end")
        self._rest(played.ends[0])
        played.clerk_left = self.clerk
        return played

    def end(self, now: float) -> float:
        """The manager says that the pass is over; returns when it has told all."""
        for rank in range(len(self.begins)):
            now += self.machine.send
            self.send(now, rank, Tag.FINISH)
        return now


def first_pass(
    machine: Machine,
    begins: Sequence[float],
    costs: Sequence[float],
    images: Sequence[int],
    steals: bool = True,
) -> Played:
    """Chunks are handed out, in order, to ranks as they ask.

    Parameters
    ----------
    begins : sequence of float
        When each rank enters the pass.
    costs, images : sequence
        Seconds of work, and images, of each chunk, in the order in which they are handed out.
    """
    world, ranks = World(machine, begins, steals=steals), len(begins)
    chunks, given, measured = len(costs), 0, 0
    holder = np.full(chunks, -1, np.int64)
    asked, exhausted = [0] * ranks, [False] * ranks
    queues: list[deque[int]] = [deque() for _ in range(ranks)]
    working = [-1] * ranks

    def serve(now: float, rank: int, tag: Tag, chunk: Any) -> float:
        nonlocal given, measured
        if tag is Tag.ASK:
            if given == chunks:
                now += machine.report
                world.send(now, rank, Tag.EXHAUSTED)
                return now
            now += machine.assign + machine.assign_image * images[given]
            holder[given] = rank
            # A path of some 60 bytes, and 20 of numbers, for each image.
            world.send(now, rank, Tag.ASSIGN, given, 80.0 * images[given])
            given += 1
            return now
        measured += 1
        now += machine.report
        return world.end(now) if measured == chunks else now

    def look(now: float, rank: int, worked: bool) -> None:
        if worked:
            world.tell(now, rank, Tag.MEASURED, working[rank])
            asked[rank] -= 1
        inbox = world.inbox[rank]
        while inbox:
            tag, what = inbox.popleft()
            if tag is Tag.ASSIGN:
                queues[rank].append(what)
            elif tag is Tag.EXHAUSTED:
                exhausted[rank] = True
            else:
                world.played.ends[rank] = now
                return
        while not exhausted[rank] and asked[rank] < AHEAD:
            asked[rank] += 1
            world.tell(now, rank, Tag.ASK)
        if queues[rank]:
            working[rank] = queues[rank].popleft()
            world.work(now, rank, costs[working[rank]])
        else:
            world.rest(now, rank)

    played = world.play(look, serve)
    played.holder = holder
    return played


@dataclass(frozen=True)
class Runs:
    """The runs of rows that a rank holds: seconds and rows of each, in order."""

    costs: list[float]
    rows: list[int]


def second_pass(
    machine: Machine,
    begins: Sequence[float],
    own: Sequence[Runs],
    row_bytes: float,
    pack: float = 0.0,
    clerk: float = 0.0,
    steals: bool = True,
) -> Played:
    """Ranks write their own rows, then those that others hand over.

    Parameters
    ----------
    begins : sequence of float
        When each rank enters the pass.
    own : sequence of Runs
        What each rank holds.
    row_bytes : float
        Bytes of a row that is handed over: its pixels and masks.
    pack : float
        Seconds to pack or unpack one.
    clerk : float
        Seconds of work that rank 0 does beside.
    """
    world, ranks = World(machine, begins, clerk, steals), len(begins)
    left = np.array([sum(runs.rows) for runs in own], np.int64)
    total, written = int(left.sum()), 0
    # A run: seconds, rows, the rank that held it first.
    mine = [
        deque((c, n, r) for c, n in zip(runs.costs, runs.rows, strict=True))
        for r, runs in enumerate(own)
    ]
    given: list[deque[tuple[float, int, int]]] = [deque() for _ in range(ranks)]
    asked, exhausted = [0] * ranks, [ranks == 1] * ranks
    working = [(0, 0)] * ranks
    finding = machine.find + machine.find_rank * ranks

    def find(now: float, rank: int) -> float:
        now += finding
        held, left[rank] = left[rank], 0
        richest = int(left.argmax())
        most = left[richest]
        left[rank] = held
        if most > 0:
            world.send(now, richest, Tag.GIVE, rank)
        else:
            world.send(now, rank, Tag.EXHAUSTED)
        return now

    def serve(now: float, rank: int, tag: Tag, what: Any) -> float:
        nonlocal written
        if tag is Tag.ASK:
            return find(now, rank)
        if tag is Tag.NOTHING:
            left[rank] = 0
            return find(now, what)
        rows, holder = what
        left[holder] = max(left[holder] - rows, 0)
        written += rows
        now += machine.report
        return world.end(now) if written == total else now

    def look(now: float, rank: int, worked: bool) -> None:
        if worked:
            world.tell(now, rank, Tag.WRITTEN, working[rank])
        inbox = world.inbox[rank]
        while inbox:
            tag, what = inbox.popleft()
            if tag is Tag.GIVE:
                now += machine.send
                if len(mine[rank]) > 1:
                    run = mine[rank].pop()
                    now += pack * run[1]
                    world.send(now, what, Tag.ITEM, run, row_bytes * run[1])
                    world.played.moved += 1
                else:
                    world.tell(now, rank, Tag.NOTHING, what)
            elif tag is Tag.ITEM:
                now += pack * what[1]
                given[rank].append(what)
                asked[rank] -= 1
            elif tag is Tag.EXHAUSTED:
                exhausted[rank] = True
            else:
                world.played.ends[rank] = now
                return
        while not exhausted[rank] and len(mine[rank]) + len(given[rank]) + asked[rank] < AHEAD:
            asked[rank] += 1
            world.tell(now, rank, Tag.ASK)
        if mine[rank] or given[rank]:
            cost, rows, holder = (mine[rank] or given[rank]).popleft()
            working[rank] = rows, holder
            world.work(now, rank, cost)
        else:
            world.rest(now, rank)

    if total == 0:
        # Over before anybody looks up.
        world.at(min(begins), Event.SERVED, 0)
        world.end(min(begins))
    return world.play(look, serve)
