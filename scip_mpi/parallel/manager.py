"""The manager: hands out chunks, hears what is done, says when a pass is over."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence

import numpy as np

from scip_mpi.batches import UInt8Array
from scip_mpi.checkpoint.ledger import Ledger, State
from scip_mpi.loaders.contract import References
from scip_mpi.parallel.link import Backoff, Link, Message, Tag, drain
from scip_mpi.parallel.roles import Role, Roles

Report = np.dtype([("lo", np.int64), ("images", np.int64), ("rows", np.int64), ("bad", np.int64)])


def report(lo: int, images: int, rows: int, bad: int) -> UInt8Array:
    """Body of MEASURED and WRITTEN: a chunk's start, images, rows and failed images."""
    return np.array([(lo, images, rows, bad)], Report).view(np.uint8)


class Manager:
    """Serves the messages of a pass. It never blocks: a thread, or rank 0's own loop, drives it.

    Parameters
    ----------
    inbox, workers : Link
        The manager's port, and the workers' one.
    ledger : Ledger
        What is to do; advanced by the workers' reports.
    references : callable
        ``references(lo, hi)``: the part of the catalog that travels with a chunk.
    roles : sequence of Roles
        Roles of every rank.
    target : State
        What the pass brings every chunk to: MEASURED or WRITTEN.
    progress : callable
        ``progress(images, rows, failed)``, called with every report.
    """

    def __init__(
        self,
        inbox: Link,
        workers: Link,
        ledger: Ledger,
        references: Callable[[int, int], References],
        roles: Sequence[Roles],
        target: State,
        progress: Callable[[int, int, int], None],
    ) -> None:
        self.inbox = inbox
        self.workers = workers
        self.ledger = ledger
        self.references = references
        self.roles = roles
        self.target = target
        self.progress = progress
        self.rows = 0
        self.over = False

    def serve(self) -> bool:
        """Answer all messages that have arrived; whether there was anything to do."""
        busy = False
        for message in drain(self.inbox):
            busy = True
            self._answer(message)
        if not self.over and self.ledger.done(self.target):
            busy = True
            self._end(Tag.FINISH)
        return busy

    def run(self) -> None:
        """Serve until the pass is over: what the thread does."""
        backoff = Backoff(longest=2e-3)
        while not self.over:
            if self.serve():
                backoff.reset()
            else:
                backoff.wait()

    def _answer(self, message: Message) -> None:
        if message.tag is Tag.ASK:
            entry = None if self.over else self.ledger.take(message.source)
            if entry is None:
                self.workers.send(message.source, Tag.EXHAUSTED)
            else:
                part = self.references(entry.lo, entry.hi)
                body = pickle.dumps(part, protocol=5)
                self.workers.send(message.source, Tag.ASSIGN, body)
        elif message.tag is Tag.HALT:
            if not self.over:
                self._end(Tag.STOP, message.body)
        else:
            lo, images, rows, bad = message.body.view(Report)[0].tolist()
            state = State.MEASURED if message.tag is Tag.MEASURED else State.WRITTEN
            if self.ledger.advance(lo, message.source, state):
                self.rows += rows
                self.progress(images, rows, bad)

    def _end(self, tag: Tag, body: UInt8Array | bytes = b"") -> None:
        self.over = True
        for rank in range(len(self.roles)):
            self.workers.send(rank, tag, body)


def segmenters(roles: Sequence[Roles]) -> list[int]:
    """Ranks that segment."""
    return [rank for rank, held in enumerate(roles) if Role.SEGMENTER in held]


def featurizers(roles: Sequence[Roles]) -> list[int]:
    """Ranks that compute features."""
    return [rank for rank, held in enumerate(roles) if Role.FEATURIZER in held]
