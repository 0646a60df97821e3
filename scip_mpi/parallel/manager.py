"""The manager: hears what is done, answers who has room for more, says when a pass is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.checkpoint.ledger import Ledger, State
from scip_mpi.parallel.clerk import Clerk
from scip_mpi.parallel.link import Backoff, Link, Message, Tag, drain
from scip_mpi.parallel.roles import Role, Roles

# How many times the mean cost of a chunk makes one that a rank gets by itself.
UNUSUAL = 4
# Chunks, or runs of rows, that a rank has ahead of it, so that it never waits for its next one.
AHEAD = 2
# Where so many ranks do the same work, rank 0's part of it is not worth their waiting for rank 0.
MANY = 256


def report(lo: int, count: int, rows: int, bad: int, start: int = -1) -> UInt8Array:
    """Body of MEASURED and WRITTEN.

    A chunk's first image, its images, objects and failed images; or a chunk's first row, and of the
    rows that were written the first one, in how many runs they were, and their number.
    """
    return np.array([lo, start, count, rows, bad], np.int64).view(np.uint8)


def offer(parts: int, rank: int = -1) -> UInt8Array:
    """Body of OFFER: parts that are left to hand over, and a rank for which there was none."""
    return np.array([parts, rank], np.int64).view(np.uint8)


class Office(Protocol):
    """What the manager of a pass decides."""

    def answer(self, message: Message, send: Callable[..., None]) -> None:
        """Take a worker's message in, and answer it through ``send(rank, tag, body)``."""

    def ask(self, send: Callable[..., None]) -> bool:
        """Ask what is to be asked of the workers now; whether anything was."""

    def done(self) -> bool:
        """Whether the pass is over."""


class Manager:
    """Serves the messages of a pass. It never blocks: a thread, or rank 0's own loop, drives it.

    Parameters
    ----------
    inbox, workers : Link
        The manager's port, and the workers' one.
    ranks : int
        Ranks of the world.
    office : Office
        Who gets what.
    """

    def __init__(self, inbox: Link, workers: Link, ranks: int, office: Office) -> None:
        self.inbox = inbox
        self.workers = workers
        self.ranks = ranks
        self.office = office
        self.over = False

    def serve(self) -> bool:
        """Answer all messages that have arrived; whether there was anything to do."""
        busy = False
        for message in drain(self.inbox):
            busy = True
            self._answer(message)
        if not self.over:
            busy |= self.office.ask(self.workers.send)
        if not self.over and self.office.done():
            busy = True
            self._end(Tag.FINISH)
        return busy

    def ended(self) -> bool:
        """Whether the workers were told that the pass is over."""
        return self.over

    def run(self) -> None:
        """Serve until the pass is over: what the thread does."""
        backoff = Backoff(longest=2e-3)
        while not self.over:
            if self.serve():
                backoff.reset()
            else:
                backoff.wait()

    def _answer(self, message: Message) -> None:
        if message.tag is not Tag.HALT:
            self.office.answer(message, self.workers.send)
        elif not self.over:
            self._end(Tag.STOP, message.body)

    def _end(self, tag: Tag, body: UInt8Array | bytes = b"") -> None:
        self.over = True
        for rank in range(self.ranks):
            self.workers.send(rank, tag, body)


class ChunkOffice:
    """The first pass: chunks of images are handed out until all have been measured.

    Each rank that segments has `AHEAD` chunks from the beginning, and gets another for each that it
    has done: its report asks for it, or, where another rank measures, a message of its own.

    A rank whose device has failed sends its chunks back, and they go to those that have one. When
    none is left, all ranks share the work, on their CPUs.

    Parameters
    ----------
    ledger : Ledger
        Ranges of images; advanced by the workers' reports.
    message : callable
        ``message(lo, hi)``: the part of the catalog that travels with a chunk.
    progress : callable
        ``progress(images, failed)``, called with every report.
    segmenters : sequence of int
        Ranks that share the work.
    stand_ins : sequence of int
        Ranks that share it when no device is left.
    """

    def __init__(
        self,
        ledger: Ledger,
        message: Callable[[int, int], bytes],
        progress: Callable[[int, int], None],
        segmenters: Sequence[int],
        stand_ins: Sequence[int] = (),
    ) -> None:
        self.ledger = ledger
        self.message = message
        self.progress = progress
        # Ranks that chunks are assigned to, and those whose device has failed.
        self.able = set(segmenters)
        self.disabled: set[int] = set()
        self.stand_ins = stand_ins
        # Some chunks may have been measured before this start.
        to_do = [lo for lo, e in ledger.entries.items() if e.state is State.TO_DO]
        self.left = sum(ledger.costs.get(lo, 0.0) for lo in to_do)
        self.dear = UNUSUAL * self.left / max(len(ledger.costs), 1)
        # Rank and cost of each dear chunk that is under way, by its first image.
        self.under_way: dict[int, tuple[int, float]] = {}
        self.waiting = [rank for _ in range(AHEAD) for rank in segmenters]
        # Chunks that each rank is at, and what it asked for beyond them when no chunk was left.
        self.at: Counter[int] = Counter()
        self.unmet: Counter[int] = Counter()
        # Ranks that have nothing to do, and how many parts of its chunk a rank has for them.
        self.free: list[int] = []
        self.offers: dict[int, int] = {}

    def answer(self, message: Message, send: Callable[..., None]) -> None:
        """Assign the next chunk, or a part of one, and note that one was measured."""
        if message.tag is Tag.ASK:
            self._assign(message.source, send)
        elif message.tag is Tag.OFFER:
            self._hear_offer(message, send)
        elif message.tag is Tag.RETURN:
            self._hear_return(message, send)
        else:
            self._hear_measured(message, send)

    def _hear_measured(self, message: Message, send: Callable[..., None]) -> None:
        lo, _, images, _, bad = message.body.view(np.int64).tolist()
        rank = self.ledger.entries[lo].rank
        if self.ledger.advance(lo, message.source, State.MEASURED):
            self.progress(images, bad)
            self.at[rank] -= 1
        self.under_way.pop(lo, None)
        self.ask(send)
        if message.source == rank:
            self._assign(rank, send)
        if not self.at[rank]:
            for _ in range(self.unmet.pop(rank, 0)):
                self._assign(rank, send)

    def _hear_return(self, message: Message, send: Callable[..., None]) -> None:
        """Put chunks back that a rank does not do, and wake those that can."""
        rank, returned = message.source, message.body.view(np.int64).tolist()
        for lo in returned:
            self.ledger.put_back(lo)
            self.left += self.ledger.costs.get(lo, 0.0)
            self.under_way.pop(lo, None)
        self.at[rank] -= len(returned)
        if rank not in self.disabled:
            self.disabled.add(rank)
            self.able.discard(rank)
            if not self.able:
                self._go_on(send)
        # Whoever had nothing to do, or asked for more than there was.
        asking, self.free = [*self.free, *self.unmet.elements()], []
        self.unmet.clear()
        self.waiting += [*asking, *[rank] * len(returned)]
        self.ask(send)

    def _go_on(self, send: Callable[..., None]) -> None:
        """No device is left: have all ranks do chunks on their CPUs."""
        for rank in sorted(self.disabled):
            send(rank, Tag.GO_ON)
        new = [rank for rank in self.stand_ins if rank not in self.disabled]
        self.able = {*self.disabled, *new}
        self.waiting += [rank for _ in range(AHEAD) for rank in new]

    def _assign(self, rank: int, send: Callable[..., None]) -> None:
        if self._has_enough(rank):
            self.waiting.append(rank)
            return
        entry = self.ledger.take(rank) if rank in self.able else None
        if entry is not None:
            cost = self.ledger.costs.get(entry.lo, 0.0)
            if cost > self.dear:
                self.under_way[entry.lo] = rank, cost
            self.at[rank] += 1
            self.left -= cost
            send(rank, Tag.ASSIGN, self.message(entry.lo, entry.hi))
        elif self.at[rank]:
            self.unmet[rank] += 1
        else:
            self._assign_part(rank, send)

    def _has_enough(self, rank: int) -> bool:
        """Whether a rank is at a dear chunk that is more than its share of all that is left.

        It would come last with another one.
        """
        share = self.left / len(self.able)
        return any(busy == rank and cost > share for busy, cost in self.under_way.values())

    def _assign_part(self, rank: int, send: Callable[..., None]) -> None:
        """Have the rank that has most parts send one to a rank that is free; or let it wait."""
        giver = max(self.offers, key=self.offers.__getitem__, default=None)
        if giver is None:
            self.free.append(rank)
            return
        self.offers[giver] -= 1
        if not self.offers[giver]:
            del self.offers[giver]
        send(giver, Tag.GIVE, np.array([rank], np.int64).view(np.uint8))

    def _hear_offer(self, message: Message, send: Callable[..., None]) -> None:
        parts, rank = message.body.view(np.int64).tolist()
        self.offers.pop(message.source, None)
        if parts:
            self.offers[message.source] = parts
        if rank >= 0:
            self.free.append(rank)
        free, self.free = self.free, []
        for rank in free:
            self._assign(rank, send)

    def ask(self, send: Callable[..., None]) -> bool:
        """Assign chunks to those that wait for one, at first to all; whether any did."""
        asking, self.waiting = self.waiting, []
        for rank in asking:
            self._assign(rank, send)
        return len(asking) > len(self.waiting)

    def done(self) -> bool:
        """Whether every chunk was measured."""
        return self.ledger.done(State.MEASURED)


class RowOffice:
    """The second pass: ranks that run out of rows are sent some by the rank that has most left.

    Parameters
    ----------
    ledger : Ledger
        Rows of each chunk, assigned to the rank that holds it.
    ranks : int
        Ranks of the world.
    progress : callable
        ``progress(rows, failed)``, called with every report.
    clerk : Clerk, optional
        Who writes down what the ranks know, during this pass.
    """

    def __init__(
        self,
        ledger: Ledger,
        ranks: int,
        progress: Callable[[int, int], None],
        clerk: Clerk | None = None,
    ) -> None:
        self.ledger = ledger
        self.progress = progress
        self.clerk = clerk
        self.left: Int64Array = np.zeros(ranks, np.int64)
        # Rows of a run, by the longest heard of.
        self.run = 1
        for entry in ledger.entries.values():
            self.left[entry.rank] += entry.hi - entry.lo - entry.reported

    def answer(self, message: Message, send: Callable[..., None]) -> None:
        """Find rows for a rank without any, or note that some were written."""
        if message.tag is Tag.ASK:
            self._find(message.source, send)
        elif message.tag is Tag.NOTHING:
            self.left[message.source] = 0
            self._find(int(message.body.view(np.int64)[0]), send)
        elif message.tag is Tag.TOLD:
            assert self.clerk is not None
            self.clerk.hear(message)
        elif message.tag is Tag.WRITTEN:
            lo, start, runs, rows, bad = message.body.view(np.int64).tolist()
            if self.ledger.advance_part(lo, start, rows, message.source, State.WRITTEN):
                # Runs that were handed over were taken off when they were.
                if message.source == self.ledger.entries[lo].rank:
                    self.left[message.source] = max(self.left[message.source] - rows, 0)
                self.run = max(self.run, rows // runs)
                self.progress(rows, bad)

    def _find(self, rank: int, send: Callable[..., None]) -> None:
        left = self.left.copy()
        left[rank] = 0
        richest = int(left.argmax())
        if left[richest] > 0:
            # A run less: who asks next is sent to the rank that has most then. Only the rank itself
            # knows that nothing is left.
            self.left[richest] = max(self.left[richest] - self.run, 1)
            send(richest, Tag.GIVE, np.array([rank], np.int64).view(np.uint8))
        else:
            send(rank, Tag.EXHAUSTED)

    def ask(self, send: Callable[..., None]) -> bool:
        """Ask for what the clerk has to write down."""
        return self.clerk is not None and self.clerk.ask(send)

    def done(self) -> bool:
        """Whether every row was written, and all else that was to be."""
        return self.ledger.done(State.WRITTEN) and (self.clerk is None or self.clerk.done())


def featurizers(roles: Sequence[Roles]) -> list[int]:
    """Ranks that compute features."""
    return [rank for rank, held in enumerate(roles) if Role.FEATURIZER in held]


def spares(roles: Sequence[Roles], role: Role) -> bool:
    """Whether rank 0 only hands a role's work out, as there are many to do it."""
    return sum(role in held for held in roles) >= MANY


def segmenters(roles: Sequence[Roles]) -> list[int]:
    """Ranks that chunks are handed out to."""
    ranks = [rank for rank, held in enumerate(roles) if Role.SEGMENTER in held]
    return [rank for rank in ranks if rank or not spares(roles, Role.SEGMENTER)]


def stand_ins(roles: Sequence[Roles]) -> list[int]:
    """Ranks that chunks are handed out to when no device is left: all, but for a busy rank 0."""
    return list(range(int(len(roles) >= MANY), len(roles)))
