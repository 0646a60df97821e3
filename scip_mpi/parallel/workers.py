"""The loops of the segmenting and the feature ranks. They see links only, never MPI."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from scip_mpi.batches import UInt8Array
from scip_mpi.loaders.contract import References
from scip_mpi.memory import MemoryAccount
from scip_mpi.parallel.link import Backoff, Link, Message, Tag, drain
from scip_mpi.parallel.manager import featurizers, report
from scip_mpi.parallel.roles import Role, Roles
from scip_mpi.timers import StopFlag, Timers

# Chunks asked for ahead, so that a rank never waits for its next one.
AHEAD = 2
# Chunks that a featurizer takes from a segmenter before it has answered.
CREDITS = 2


@dataclass
class Desk:
    """What a rank's loop works with: its links, clock and memory, and who else there is.

    ``serve`` lets rank 0 answer as the manager between batches where no second thread may; it
    does nothing elsewhere.
    """

    rank: int
    roles: Sequence[Roles]
    manager: Link
    peers: Link
    timers: Timers
    stop: StopFlag
    memory: MemoryAccount
    serve: Callable[[], bool] = field(default=lambda: False)
    halted: str | None = None

    def mine(self, role: Role) -> bool:
        """Whether this rank has a role."""
        return role in self.roles[self.rank]

    def halt(self, reason: str) -> None:
        """Ask the manager to end the run early; once."""
        if self.halted is None:
            self.halted = reason
            self.manager.send(0, Tag.HALT, reason.encode())


@dataclass(frozen=True)
class Measured:
    """A segmented chunk on its way: its start, counts for the report, and the message's body."""

    lo: int
    images: int
    objects: int
    failed: int
    body: UInt8Array


@dataclass(frozen=True)
class Heard:
    """What a rank finds when it looks up from its work."""

    busy: bool
    messages: Sequence[Message] = ()
    over: bool = False
    reason: str | None = None


def hear(desk: Desk) -> Heard:
    """Serve as manager if that is this rank's to do, pass a signal on, take what has arrived."""
    busy = desk.serve()
    if desk.stop:
        desk.halt(f"signal {desk.stop.signal}")
    messages = []
    for message in drain(desk.peers):
        if message.tag is Tag.FINISH:
            return Heard(True, over=True)
        if message.tag is Tag.STOP:
            return Heard(True, over=True, reason=bytes(message.body).decode())
        messages.append(message)
    return Heard(busy or bool(messages), messages)


def first_pass(
    desk: Desk,
    segment: Callable[[References], Measured],
    hold: Callable[[UInt8Array], Measured],
) -> str | None:
    """Segment what the manager assigns; hold what segmenters send; until the pass is over.

    Parameters
    ----------
    desk : Desk
        Links and roles.
    segment : callable
        Segments a chunk; on a rank that also computes features it keeps the result itself.
    hold : callable
        Takes in a chunk segmented elsewhere.

    Returns
    -------
    str or None
        Why the run ends early, if it does.
    """
    segments, computes = desk.mine(Role.SEGMENTER), desk.mine(Role.FEATURIZER)
    peers = [] if computes else featurizers(desk.roles)
    credits = deque(peer for _ in range(CREDITS) for peer in peers)
    outbox: deque[Measured] = deque()
    queue: deque[References] = deque()
    asked, exhausted = 0, False
    backoff = Backoff()

    def tell(done: Measured) -> None:
        body = report(done.lo, done.images, done.objects, done.failed)
        desk.manager.send(0, Tag.MEASURED, body)

    def take(message: Message) -> None:
        nonlocal asked, exhausted
        if message.tag is Tag.ASSIGN:
            queue.append(pickle.loads(message.body))
        elif message.tag is Tag.EXHAUSTED:
            exhausted = True
        elif message.tag is Tag.CREDIT:
            credits.append(message.source)
        elif message.tag is Tag.MASKS:
            tell(hold(message.body))
            desk.peers.send(message.source, Tag.CREDIT)

    while True:
        heard = hear(desk)
        if heard.over:
            return heard.reason
        busy = heard.busy
        for message in heard.messages:
            take(message)
        while outbox and credits:
            busy = True
            body = outbox.popleft().body
            desk.peers.send(credits.popleft(), Tag.MASKS, body)
            desk.memory.release("outbox", body.nbytes)
        if segments and not exhausted:
            while asked < AHEAD:
                asked += 1
                desk.manager.send(0, Tag.ASK)
        # Without credits the featurizers are behind: do not pile up masks here.
        if queue and len(outbox) < CREDITS:
            busy = True
            done = segment(queue.popleft())
            asked -= 1
            if computes:
                tell(done)
            else:
                outbox.append(done)
                desk.memory.hold("outbox", done.body.nbytes)
        if busy:
            backoff.reset()
        else:
            desk.timers.wall["wait"] += backoff.wait()


def second_pass(desk: Desk, chunks: Sequence[int], write: Callable[[int], Measured]) -> str | None:
    """Write the rows of the chunks this rank holds; until every rank has done so.

    Returns
    -------
    str or None
        Why the run ends early, if it does.
    """
    to_do = deque(chunks)
    backoff = Backoff()
    while True:
        heard = hear(desk)
        if heard.over:
            return heard.reason
        busy = heard.busy
        if to_do:
            busy = True
            done = write(to_do.popleft())
            body = report(done.lo, done.images, done.objects, done.failed)
            desk.manager.send(0, Tag.WRITTEN, body)
        if busy:
            backoff.reset()
        else:
            desk.timers.wall["wait"] += backoff.wait()
