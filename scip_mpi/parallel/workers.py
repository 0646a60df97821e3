"""The loops of the segmenting and the feature ranks. They see links only, never MPI."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scip_mpi.batches import UInt8Array
from scip_mpi.loaders.contract import References
from scip_mpi.loaders.dispatch import received
from scip_mpi.memory import MemoryAccount
from scip_mpi.parallel.clerk import told
from scip_mpi.parallel.link import Backoff, Link, Message, Tag, drain
from scip_mpi.parallel.manager import AHEAD, featurizers, report, spares
from scip_mpi.parallel.roles import Role, Roles
from scip_mpi.parallel.sharing import Sharing
from scip_mpi.signals import StopFlag
from scip_mpi.timers import Timers

# Runs of a chunk that are reported together, as long as there are more than these to do.
TOGETHER = 8
# Chunks that a featurizer takes from a segmenter before it has answered.
CREDITS = 2
# Share(n, part) -> what is found of parts 0 to n of a chunk, in order.
Share = Callable[[int, Callable[[int], Any]], list[Any]]


@dataclass
class Desk:
    """What a rank's loop works with: its links, clock and memory, and who else there is.

    ``serve`` lets rank 0 answer as the manager between batches, and ``beat`` every rank say that it
    lives, where no second thread may; they do nothing elsewhere. ``helps`` says whether this rank
    may take others' rows.
    """

    rank: int
    roles: Sequence[Roles]
    manager: Link
    peers: Link
    timers: Timers
    stop: StopFlag
    memory: MemoryAccount
    serve: Callable[[], bool] = field(default=lambda: False)
    beat: Callable[[], None] = field(default=lambda: None)
    helps: Callable[[], bool] = field(default=lambda: True)
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
    desk.beat()
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


class PassOver(Exception):
    """The pass is over; ``reason`` is why the run ends early, if it does."""

    def __init__(self, reason: str | None) -> None:
        super().__init__(reason)
        self.reason = reason


def first_pass(
    desk: Desk,
    segment: Callable[[References, Share], Measured | None],
    hold: Callable[[UInt8Array], Measured],
    measure: Callable[[Any], Any],
    go_on: Callable[[], None] = lambda: None,
) -> str | None:
    """Segment what the manager assigns; hold what segmenters send; until the pass is over.

    Parameters
    ----------
    desk : Desk
        Links and roles.
    segment : callable
        Segments a chunk; on a rank that also computes features it keeps the result itself. With the
        function that it is given it may have ranks that are free measure parts of the chunk. None
        where this rank's device has failed: others do that chunk, and those that wait here.
    hold : callable
        Takes in a chunk segmented elsewhere.
    measure : callable
        Measures a part of a chunk, whosever it is.
    go_on : callable
        Has ``segment`` use this rank's CPU from here on, as no device is left.

    Returns
    -------
    str or None
        Why the run ends early, if it does.
    """
    computes = desk.mine(Role.FEATURIZER)
    peers = [] if computes else featurizers(desk.roles)
    credits = deque(peer for _ in range(CREDITS) for peer in peers)
    outbox: deque[Measured] = deque()
    queue: deque[References] = deque()
    sharing = Sharing(desk.manager, desk.peers, desk.timers, measure)
    backoff = Backoff()

    def tell(done: Measured) -> None:
        body = report(done.lo, done.images, done.objects, done.failed)
        desk.manager.send(0, Tag.MEASURED, body)

    def take(message: Message) -> None:
        if message.tag is Tag.ASSIGN:
            queue.append(received(message.body))
        elif message.tag is Tag.CREDIT:
            credits.append(message.source)
        elif message.tag is Tag.GO_ON:
            go_on()
        elif message.tag is Tag.MASKS:
            tell(hold(message.body))
            desk.peers.send(message.source, Tag.CREDIT)
        else:
            sharing.take(message)

    def listen() -> bool:
        heard = hear(desk)
        if heard.over:
            raise PassOver(heard.reason)
        for message in heard.messages:
            take(message)
        return heard.busy

    def give_back(chunks: Iterable[References]) -> None:
        firsts = [int(chunk.index[0]) for chunk in chunks]
        desk.manager.send(0, Tag.RETURN, np.array(firsts, np.int64).view(np.uint8))

    def share(count: int, part: Callable[[int], Any]) -> list[Any]:
        return sharing.share(count, part, listen)

    def step() -> bool:
        busy = listen()
        while outbox and credits:
            busy = True
            body = outbox.popleft().body
            desk.peers.send(credits.popleft(), Tag.MASKS, body)
            desk.memory.release("outbox", body.nbytes)
        # A part comes first, as another rank waits for it. Without credits the featurizers are
        # behind: do not pile up masks here.
        if sharing.help():
            return True
        if queue and len(outbox) < CREDITS:
            busy = True
            chunk = queue.popleft()
            done = segment(chunk, share)
            if done is None:
                sharing.abandon()
                give_back([chunk, *queue])
                queue.clear()
            elif computes:
                tell(done)
            else:
                desk.manager.send(0, Tag.ASK)
                outbox.append(done)
                desk.memory.hold("outbox", done.body.nbytes)
        return busy

    try:
        while True:
            if step():
                backoff.reset()
            else:
                desk.timers.wait(backoff.wait())
    except PassOver as over:
        return over.reason


@dataclass(frozen=True)
class Run:
    """A run of rows that is computed at once.

    Attributes
    ----------
    chunk : int
        First row of the chunk that it is of.
    start, rows : int
        Its first row in the table, and how many they are.
    work : Any
        What it takes to compute it, as its holder or as a message has it.
    """

    chunk: int
    start: int
    rows: int
    work: Any


def second_pass(
    desk: Desk,
    own: Iterable[Run],
    write: Callable[[Run], int],
    pack: Callable[[Run], UInt8Array],
    unpack: Callable[[UInt8Array], Run],
    tell: Callable[[int], bytes],
) -> str | None:
    """Write this rank's rows, then others' that have more; until all rows are written.

    Parameters
    ----------
    desk : Desk
        Links and roles.
    own : iterable of Run
        The rows of the chunks that this rank holds, in order. Their last ones are handed over to
        ranks that have none left.
    write : callable
        Computes and writes a run; returns how many of its rows failed.
    pack, unpack : callable
        A run of this rank's as a message, and back.
    tell : callable
        What this rank knows of a block of images and their objects.

    Returns
    -------
    str or None
        Why the run ends early, if it does.
    """
    mine = deque(own)
    given: deque[Run] = deque()
    unreported: list[tuple[Run, int]] = []
    asked = 0
    # Alone there is nobody to ask.
    exhausted = len(desk.roles) == 1 or (desk.rank == 0 and spares(desk.roles, Role.FEATURIZER))
    backoff = Backoff()

    def take(message: Message) -> None:
        nonlocal asked, exhausted
        if message.tag is Tag.GIVE:
            # The last run stays: it will be begun before a message could arrive.
            if len(mine) > 1:
                rank = int(message.body.view(np.int64)[0])
                with desk.timers.stage("send"):
                    desk.peers.send(rank, Tag.ITEM, pack(mine.pop()))
            else:
                desk.manager.send(0, Tag.NOTHING, message.body)
        elif message.tag is Tag.ITEM:
            given.append(unpack(message.body))
            asked -= 1
        elif message.tag is Tag.TELL:
            block = int(message.body.view(np.int64)[0])
            with desk.timers.stage("send"):
                desk.manager.send(0, Tag.TOLD, told(block, tell(block)))
        elif message.tag is Tag.EXHAUSTED:
            exhausted = True

    def tell_written() -> None:
        """Report runs that follow each other in one chunk as one."""
        first = unreported[0][0]
        rows, bad = sum(run.rows for run, _ in unreported), sum(bad for _, bad in unreported)
        desk.manager.send(
            0, Tag.WRITTEN, report(first.chunk, len(unreported), rows, bad, first.start)
        )
        unreported.clear()

    while True:
        heard = hear(desk)
        if heard.over:
            return heard.reason
        busy = heard.busy
        for message in heard.messages:
            take(message)
        while not exhausted and desk.helps() and len(mine) + len(given) + asked < AHEAD:
            asked += 1
            desk.manager.send(0, Tag.ASK)
        if mine or given:
            busy = True
            run = mine.popleft() if mine else given.popleft()
            unreported.append((run, write(run)))
            following = mine[0] if mine else None
            alone = following is None or following.chunk != run.chunk
            if alone or len(unreported) == TOGETHER or len(mine) < TOGETHER:
                tell_written()
        if busy:
            backoff.reset()
        else:
            desk.timers.wait(backoff.wait())
