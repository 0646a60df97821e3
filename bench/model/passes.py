"""The two passes of a run as `scip_mpi.parallel` plays them: offices and the ranks' loops."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.model.machine import Machine
from bench.model.world import Played, World
from scip_mpi.parallel.link import Tag
from scip_mpi.parallel.workers import AHEAD


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
    world, ranks = World(machine, begins, steals), len(begins)
    chunks, given, measured, over = len(costs), 0, 0, False
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
        return now + machine.report

    def pause(now: float) -> float:
        nonlocal over
        if over or measured < chunks:
            return now
        over = True
        return world.end(now)

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

    played = world.play(look, serve, pause)
    played.holder = holder
    return played


@dataclass(frozen=True)
class Runs:
    """The runs of rows that a rank holds: seconds and rows of each, in order."""

    costs: list[float]
    rows: list[int]


@dataclass(frozen=True)
class Books:
    """What the clerk enters beside the second pass, block by block (`scip_mpi.parallel.clerk`).

    Attributes
    ----------
    blocks : int
    cost : float
        The clerk's seconds for a block.
    size : float
        Bytes that the ranks tell of a block, all together.
    asked : int
        Ranks that are asked for a block.
    tell : float
        Seconds of a rank to tell.
    ahead : int
        Blocks asked for before the first of them is entered.
    """

    blocks: int
    cost: float
    size: float
    asked: int
    tell: float = 1e-4
    ahead: int = 2


NO_BOOKS = Books(0, 0.0, 0.0, 0)


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
    total, written, over = int(left.sum()), 0, False
    # A run: seconds, rows, the rank that held it first.
    mine = [
        deque((c, n, r) for c, n in zip(runs.costs, runs.rows, strict=True))
        for r, runs in enumerate(own)
    ]
    given: list[deque[tuple[float, int, int]]] = [deque() for _ in range(ranks)]
    asked, exhausted = [0] * ranks, [ranks == 1] * ranks
    working = [(0, 0)] * ranks
    # Blocks asked for, told by all that were asked, being entered, and entered; who has told.
    blocks_asked, complete, entering, blocks_entered = 0, 0, False, 0
    told = [0] * books.blocks
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
        nonlocal written, complete
        if tag is Tag.ASK:
            return find(now, rank)
        if tag is Tag.NOTHING:
            left[rank] = 0
            return find(now, what)
        if tag is Tag.ITEM:
            told[what] += 1
            complete += told[what] == books.asked
            enter(now)
            return now + machine.report + machine.per_byte * books.size / books.asked
        rows, holder = what
        left[holder] = max(left[holder] - rows, 0)
        written += rows
        return now + machine.report

    def enter(now: float) -> None:
        nonlocal entering
        if not entering and complete > blocks_entered:
            entering = True
            world.enter(now, books.cost)

    def entered(now: float) -> None:
        nonlocal entering, blocks_entered
        entering, blocks_entered = False, blocks_entered + 1
        enter(now)

    def pause(now: float) -> float:
        nonlocal blocks_asked, over
        if blocks_asked < books.blocks and blocks_asked - blocks_entered < books.ahead:
            for k in range(books.asked):
                now += machine.send
                world.send(now, (blocks_asked * books.asked + k) % ranks, Tag.ASSIGN, blocks_asked)
            blocks_asked += 1
        elif not over and written == total and blocks_entered == books.blocks:
            over = True
            now = world.end(now)
        return now

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
            elif tag is Tag.ASSIGN:
                now += books.tell
                world.tell(now, rank, Tag.ITEM, what)
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

    return world.play(look, serve, pause, entered)
