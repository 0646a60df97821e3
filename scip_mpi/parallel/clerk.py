"""The clerk: collects what all ranks know of images and objects, and writes it down in order.

Beside the second pass, so that no rank waits for it: block after block of the catalog is asked for,
and only a few blocks are in rank 0's memory at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

import numpy as np

from scip_mpi.batches import UInt8Array
from scip_mpi.parallel.link import Backoff, Message, Tag

# Blocks asked for before the first of them is written: a rank tells between two runs of rows.
AHEAD = 8
_NUMBER = np.dtype(np.int64)


def told(block: int, body: bytes) -> UInt8Array:
    """Body of a TOLD message."""
    return np.frombuffer(np.int64(block).tobytes() + body, np.uint8)


class Clerk:
    """What rank 0 asks and writes. Messages are the manager's; the writing may be a thread's.

    Parameters
    ----------
    holders : sequence of sequence of int
        The ranks that know something of each block of the catalog.
    write : callable
        ``write(block, bodies)`` is called once for each block, in order, with what was told of it.
    """

    def __init__(
        self,
        holders: Sequence[Sequence[int]],
        write: Callable[[int, list[UInt8Array]], None],
    ) -> None:
        self.holders = holders
        self.blocks = len(holders)
        self.write = write
        self.heard: dict[int, list[UInt8Array]] = defaultdict(list)
        self.complete: SimpleQueue[list[UInt8Array]] = SimpleQueue()
        self.asked = 0
        self.collected = 0
        self.written = 0

    def ask(self, send: Callable[..., None]) -> bool:
        """Ask for the next block, if few enough are under way; whether anything was asked."""
        if self.asked == self.blocks or self.asked - self.written >= AHEAD:
            return False
        for rank in self.holders[self.asked]:
            send(rank, Tag.TELL, np.int64(self.asked).tobytes())
        self.asked += 1
        return True

    def hear(self, message: Message) -> None:
        """Take in what a rank told."""
        block = int(message.body[: _NUMBER.itemsize].view(_NUMBER)[0])
        self.heard[block].append(message.body[_NUMBER.itemsize :])
        while self.collected < self.blocks:
            told = self.heard[self.collected]
            if len(told) < len(self.holders[self.collected]):
                break
            self.complete.put(self.heard.pop(self.collected))
            self.collected += 1

    def work(self) -> bool:
        """Write the next block, if it is complete; whether it was."""
        try:
            bodies = self.complete.get_nowait()
        except Empty:
            return False
        self.write(self.written, bodies)
        self.written += 1
        return True

    def done(self) -> bool:
        """Whether all is written."""
        return self.written == self.blocks

    def run(self, over: Callable[[], bool]) -> None:
        """Write until all is, or the pass is over: what the thread does."""
        backoff = Backoff(longest=2e-3)
        while not (self.done() or over()):
            if self.work():
                backoff.reset()
            else:
                backoff.wait()
