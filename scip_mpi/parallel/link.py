"""What a role loop sees of the other ranks: send, poll, peer failed, deadline."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from scip_mpi.batches import UInt8Array


class Tag(IntEnum):
    """What a message says. Every message carries the world's epoch beside it."""

    # to the manager
    ASK = 0  # a rank has room for more work
    MEASURED = 1  # a featurizer holds the masks and measurements of a chunk
    WRITTEN = 2  # a run of rows is in the table
    HALT = 3  # a rank was told to stop (signal), or an image failed under `on_error: abort`
    # to the workers
    ASSIGN = 4  # a chunk to segment, with its part of the catalog
    EXHAUSTED = 5  # nothing is left to assign or to hand over
    MASKS = 6  # the masks and measurements of a chunk, from a segmenter to a featurizer
    CREDIT = 7  # a featurizer can take one more chunk from this segmenter
    FINISH = 8  # the pass is over
    STOP = 9  # leave the pass: the run ends early
    GIVE = 10  # hand a run of rows, or a part of a chunk, over to the rank named
    ITEM = 11  # a run of rows to compute, or a part to measure, with all that it takes
    NOTHING = 12  # to the manager: nothing is left here to hand over to the rank named
    TELL = 13  # tell what is known of a block of images and their objects
    TOLD = 14  # to the manager: the block's number, and what is known of it
    OFFER = 15  # to the manager: how many parts of a chunk are here for ranks that are free
    FOUND = 16  # what was found of a part, to the rank whose chunk it is of
    # about devices that have failed
    RETURN = 18  # to the manager: chunks that a rank does not do, as its device has failed
    GO_ON = 19  # to such a rank: no device is left anywhere, so it does chunks on its CPU
    # beside all else
    PULSE = 17  # a rank lives, and where it is


class Port(IntEnum):
    """Separate streams of messages: rank 0 listens to both at once, and all ranks for pulses."""

    MANAGER = 0
    WORKER = 1
    PULSE = 2


@dataclass(frozen=True)
class Message:
    """A message as received: who sent it, what it is, and its body as bytes."""

    source: int
    tag: Tag
    body: UInt8Array


class Link(Protocol):
    """One port's messages between the ranks of a world. No call blocks."""

    rank: int
    size: int

    def send(self, to: int, tag: Tag, body: UInt8Array | bytes = b"") -> None:
        """Start sending; the body must not change afterwards."""

    def poll(self) -> Message | None:
        """Take the next message that has arrived, in any order of sources."""

    def unsent(self) -> int:
        """Bytes whose sending has not finished."""

    def failed(self, peer: int) -> bool:
        """Whether a peer is known to be gone."""


def drain(link: Link) -> Iterator[Message]:
    """All messages that have arrived."""
    while (message := link.poll()) is not None:
        yield message


@dataclass
class Backoff:
    """Sleep longer the longer nothing happens, so that idle ranks leave the cores to others.

    Each pause is about a quarter of the time waited so far: so late is noticed what happens.
    """

    shortest: float = 2e-5
    longest: float = 5e-3
    pause: float = field(default=2e-5, init=False)

    def wait(self) -> float:
        """Sleep; returns the seconds slept."""
        started = time.perf_counter()
        time.sleep(self.pause)
        self.pause = min(self.pause * 1.25, self.longest)
        return time.perf_counter() - started

    def reset(self) -> None:
        """Something happened: be quick again."""
        self.pause = self.shortest


@dataclass(frozen=True)
class Deadline:
    """A moment on this rank's own monotonic clock."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """The moment in so many seconds."""
        return cls(time.monotonic() + seconds)

    def passed(self) -> bool:
        """Whether it is over."""
        return time.monotonic() > self.at
