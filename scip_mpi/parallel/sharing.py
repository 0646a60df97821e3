"""Parts of a chunk: shared out to ranks that have no chunk left to do, and done for others."""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from scip_mpi.devices import DeviceLost
from scip_mpi.parallel.link import Backoff, Link, Message, Tag
from scip_mpi.parallel.manager import offer
from scip_mpi.timers import Timers


class Sharing:
    """This rank's parts, of which others may do some, and theirs, of which it does some.

    Who does a part makes no difference to what is found of it.

    Parameters
    ----------
    manager, peers : Link
        The manager's port, and the workers' one.
    timers : Timers
    measure : callable
        What is found of a part; both may be anything that can be pickled.
    """

    def __init__(
        self, manager: Link, peers: Link, timers: Timers, measure: Callable[[Any], Any]
    ) -> None:
        self.manager = manager
        self.peers = peers
        self.timers = timers
        self.measure = measure
        # Others' parts that wait here, as they came.
        self.given: deque[Message] = deque()
        # Of this rank's parts: how many chunks had some before, what makes one, those that nobody
        # has yet, and what was found.
        self.chunk = 0
        self.part: Callable[[int], Any] = lambda _: None
        self.to_do: deque[int] = deque()
        self.found: dict[int, Any] = {}

    def share(
        self, count: int, part: Callable[[int], Any], listen: Callable[[], bool]
    ) -> list[Any]:
        """Have parts 0 to ``count`` measured, here or by ranks that are free; in order.

        Parameters
        ----------
        count : int
        part : callable
            Makes a part, given its number.
        listen : callable
            Takes in what has arrived; whether there was anything. It leaves by an exception if the
            pass is over.
        """
        self.chunk += 1
        self.part, self.to_do, self.found = part, deque(range(count)), {}
        self.manager.send(0, Tag.OFFER, offer(count))
        backoff = Backoff()
        while len(self.found) < count:
            busy = listen()
            if self.to_do:
                busy = True
                k = self.to_do.popleft()
                self.found[k] = self.measure(part(k))
            else:
                # Two ranks that wait for each other's parts must both go on.
                busy |= self.help()
            if busy:
                backoff.reset()
            else:
                self.timers.wait(backoff.wait())
        return [self.found[k] for k in range(count)]

    def take(self, message: Message) -> None:
        """Take in a message about parts."""
        if message.tag is Tag.GIVE:
            self._give(message)
        elif message.tag is Tag.ITEM:
            self.given.append(message)
        elif message.tag is Tag.FOUND:
            chunk, k, found = pickle.loads(message.body)
            # What comes late is of a chunk that was abandoned.
            if chunk == self.chunk:
                self.found[k] = found

    def abandon(self) -> None:
        """Leave the chunk at hand to another rank; what is found of its parts is forgotten."""
        self.chunk += 1
        if self.to_do:
            self.to_do.clear()
            self.manager.send(0, Tag.OFFER, offer(0))

    def help(self) -> bool:
        """Do a part that was given to this rank, and ask for another; whether there was one."""
        if not self.given:
            return False
        message = self.given.popleft()
        chunk, k, part = pickle.loads(message.body)
        try:
            found = self.measure(part)
        except DeviceLost:
            # Another rank waits for this part: what is begun here is done on the CPU.
            found = self.measure(part)
        self._send(message.source, Tag.FOUND, (chunk, k, found))
        self.manager.send(0, Tag.ASK)
        return True

    def _give(self, message: Message) -> None:
        rank = int(message.body.view(np.int64)[0])
        # The last part stays: it will be begun before a message could arrive.
        if len(self.to_do) > 1:
            k = self.to_do.pop()
            self._send(rank, Tag.ITEM, (self.chunk, k, self.part(k)))
        else:
            self.manager.send(0, Tag.OFFER, offer(0, rank))

    def _send(self, rank: int, tag: Tag, what: Any) -> None:
        with self.timers.stage("send"):
            self.peers.send(rank, tag, pickle.dumps(what, protocol=5))
