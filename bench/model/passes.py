"""The two passes of a run as `scip_mpi.parallel` plays them: offices and the ranks' loops."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bench.model.machine import Machine
from bench.model.world import Played, World
from scip_mpi.parallel import clerk
from scip_mpi.parallel.link import Tag
from scip_mpi.parallel.manager import AHEAD, MANY
from scip_mpi.parallel.workers import TOGETHER


def spared(ranks: int) -> list[bool]:
    """Which ranks ask for nothing: rank 0, where there are many."""
    return [ranks >= MANY, *[False] * (ranks - 1)]


def first_pass(
    machine: Machine,
    begins: Sequence[float],
    costs: Sequence[float],
    images: Sequence[int],
    steals: bool = True,
) -> Played:
    """Chunks are handed out, in order: some to each rank at first, and one for each that is done.

    Parameters
    ----------
    begins : sequence of float
        When each rank enters the pass.
    costs, images : sequence
        Seconds of work, and images, of each chunk, in the order in which they are handed out.
    """
    world, ranks = World(machine, begins, steals), len(begins)
    chunks, given, measured, over = len(costs), 0, 0, False
    holder = np.full(chunks, -1, np.int64)
    # At first two chunks for each.
    owed = deque(r for _ in range(AHEAD) for r in range(ranks) if not spared(ranks)[r])
    queues: list[deque[int]] = [deque() for _ in range(ranks)]
    working = [-1] * ranks

    def assign(now: float, rank: int) -> float:
        nonlocal given
        if given == chunks:
            return now
        now += machine.assign + machine.assign_image * images[given]
        holder[given] = rank
        # Where in its shard each image is, its group, and a path of some 60 bytes.
        world.send(now, rank, Tag.ASSIGN, given, 12.0 * images[given] + 100)
        given += 1
        return now

    def serve(now: float, rank: int, tag: Tag, chunk: Any) -> float:
        nonlocal measured
        measured += 1
        return assign(now + machine.report, rank)

    def pause(now: float) -> float:
        nonlocal over
        while owed:
            now = assign(now, owed.popleft())
        if not over and measured == chunks:
            over = True
            now = world.end(now)
        return now

    def look(now: float, rank: int, worked: bool) -> None:
        if worked:
            world.tell(now, rank, Tag.MEASURED, working[rank])
        inbox = world.inbox[rank]
        while inbox:
            tag, what = inbox.popleft()
            if tag is Tag.FINISH:
                world.played.ends[rank] = now
                return
            queues[rank].append(what)
        if queues[rank]:
            working[rank] = queues[rank].popleft()
            world.work(now, rank, costs[working[rank]])
        else:
            world.rest(now, rank)

    played = world.play(look, serve, pause)
    played.holder = holder
    return played


@dataclass(frozen=True)
class Runs:
    """The runs of rows that a rank holds: seconds, rows and chunk of each, in order."""

    costs: list[float]
    rows: list[int]
    chunks: list[int]


@dataclass(frozen=True)
class Piece:
    """A run of rows on its way: the rank that its chunk is with is its holder."""

    cost: float
    rows: int
    chunk: int
    holder: int


@dataclass(frozen=True)
class Books:
    """What the clerk enters beside the second pass, block by block (`scip_mpi.parallel.clerk`).

    Attributes
    ----------
    holders : sequence of sequence of int
        The ranks that are asked for each block.
    costs : sequence of float
        The clerk's seconds for each block.
    told : sequence of float
        Bytes that a rank tells of each block.
    tell : sequence of float
        Seconds that it takes a rank to tell of each block.
    """

    holders: Sequence[Sequence[int]] = ()
    costs: Sequence[float] = ()
    told: Sequence[float] = ()
    tell: Sequence[float] = ()

    def __len__(self) -> int:
        return len(self.holders)


@dataclass
class Clerk:
    """How far the clerk is: blocks asked for, told of by all, being entered, and entered."""

    books: Books
    asked: int = 0
    complete: int = 0
    entering: bool = False
    entered: int = 0
    heard: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.heard = [0] * len(self.books)

    def asks(self) -> bool:
        """Whether the next block is to be asked for now."""
        return self.asked < len(self.books) and self.asked - self.entered < clerk.AHEAD

    def hear(self, block: int) -> None:
        """A rank has told of a block; blocks are entered in order."""
        self.heard[block] += 1
        while self.complete < len(self.books) and self.heard[self.complete] == len(
            self.books.holders[self.complete]
        ):
            self.complete += 1

    def done(self) -> bool:
        """Whether all is entered."""
        return self.entered == len(self.books)


NO_BOOKS = Books()


def second_pass(
    machine: Machine,
    begins: Sequence[float],
    own: Sequence[Runs],
    row_bytes: float,
    pack: float = 0.0,
    books: Books = NO_BOOKS,
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
    books : Books
        What the clerk enters beside.
    steals : bool
        Whether manager and clerk take their time from rank 0's work.
    """
    world, ranks = World(machine, begins, steals), len(begins)
    left = np.array([sum(runs.rows) for runs in own], np.int64)
    total, written, longest, over = int(left.sum()), 0, 1, False
    mine = [
        deque(Piece(*run, r) for run in zip(runs.costs, runs.rows, runs.chunks, strict=True))
        for r, runs in enumerate(own)
    ]
    given: list[deque[Piece]] = [deque() for _ in range(ranks)]
    asked, exhausted = [0] * ranks, [True] if ranks == 1 else spared(ranks)
    working: list[Piece | None] = [None] * ranks
    unreported: list[list[Piece]] = [[] for _ in range(ranks)]
    entering = Clerk(books)
    finding = machine.find + machine.find_rank * ranks

    def find(now: float, rank: int) -> float:
        now += finding
        held, left[rank] = left[rank], 0
        richest = int(left.argmax())
        most = left[richest]
        left[rank] = held
        if most > 0:
            left[richest] = max(most - longest, 1)
            world.send(now, richest, Tag.GIVE, rank)
        else:
            world.send(now, rank, Tag.EXHAUSTED)
        return now

    def serve(now: float, rank: int, tag: Tag, what: Any) -> float:
        nonlocal written, longest
        if tag is Tag.ASK:
            return find(now, rank)
        if tag is Tag.NOTHING:
            left[rank] = 0
            return find(now, what)
        if tag is Tag.TOLD:
            entering.hear(what)
            enter(now)
            return now + machine.report + machine.per_byte * books.told[what]
        rows, runs, holder = what
        if rank == holder:
            left[rank] = max(left[rank] - rows, 0)
        longest = max(longest, rows // runs)
        written += rows
        return now + machine.report

    def enter(now: float) -> None:
        if not entering.entering and entering.complete > entering.entered:
            entering.entering = True
            world.enter(now, books.costs[entering.entered])

    def entered(now: float) -> None:
        entering.entering, entering.entered = False, entering.entered + 1
        enter(now)
        if entering.done():
            world.wake(now, 0)

    def pause(now: float) -> float:
        nonlocal over
        if entering.asks():
            for rank in books.holders[entering.asked]:
                now += machine.send
                world.send(now, rank, Tag.TELL, entering.asked)
            entering.asked += 1
        elif not over and written == total and entering.done():
            over = True
            now = world.end(now)
        return now

    def report(now: float, rank: int) -> None:
        runs = unreported[rank]
        body = sum(run.rows for run in runs), len(runs), runs[0].holder
        world.tell(now, rank, Tag.WRITTEN, body)
        runs.clear()

    def wrote(now: float, rank: int) -> None:
        run, ahead = working[rank], mine[rank]
        assert run is not None
        unreported[rank].append(run)
        alone = not ahead or ahead[0].chunk != run.chunk
        if alone or len(unreported[rank]) == TOGETHER or len(ahead) < TOGETHER:
            report(now, rank)

    def look(now: float, rank: int, worked: bool) -> None:
        if worked:
            wrote(now, rank)
        inbox = world.inbox[rank]
        while inbox:
            tag, what = inbox.popleft()
            if tag is Tag.GIVE:
                now += machine.send
                if len(mine[rank]) > 1:
                    run = mine[rank].pop()
                    now += pack * run.rows
                    world.send(now, what, Tag.ITEM, run, row_bytes * run.rows)
                    world.played.moved += 1
                else:
                    world.tell(now, rank, Tag.NOTHING, what)
            elif tag is Tag.ITEM:
                now += pack * what.rows
                given[rank].append(what)
                asked[rank] -= 1
            elif tag is Tag.TELL:
                now += books.tell[what]
                world.tell(now, rank, Tag.TOLD, what, books.told[what])
            elif tag is Tag.EXHAUSTED:
                exhausted[rank] = True
            else:
                world.played.ends[rank] = now
                return
        # Who is busy with the books takes no others' rows.
        helps = rank != 0 or entering.done()
        while (
            helps
            and not exhausted[rank]
            and len(mine[rank]) + len(given[rank]) + asked[rank] < AHEAD
        ):
            asked[rank] += 1
            world.tell(now, rank, Tag.ASK)
        if mine[rank] or given[rank]:
            working[rank] = run = (mine[rank] or given[rank]).popleft()
            world.work(now, rank, run.cost)
        else:
            world.rest(now, rank)

    return world.play(look, serve, pause, entered)
