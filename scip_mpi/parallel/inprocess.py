"""A world whose ranks are threads: the role loops run as they are, without mpiexec."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.parallel.link import Link, Message, Port, Tag
from scip_mpi.parallel.world import SharedFile, World


class _Meeting:
    """What the threads share: mailboxes, a barrier and a slot each for collectives."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.mail: dict[tuple[Port, int], queue.SimpleQueue[tuple[int, Message]]] = {
            (port, rank): queue.SimpleQueue() for port in Port for rank in range(size)
        }
        self.barrier = threading.Barrier(size)
        self.slots: list[Any] = [None] * size
        self.gone: set[int] = set()


class ThreadLink:
    """Messages through queues."""

    def __init__(self, meeting: _Meeting, port: Port, rank: int, epoch: int) -> None:
        self.meeting = meeting
        self.port = port
        self.rank = rank
        self.size = meeting.size
        self.epoch = epoch

    def send(self, to: int, tag: Tag, body: UInt8Array | bytes = b"") -> None:
        """Copy, as a message between processes is."""
        data = np.frombuffer(bytes(body), np.uint8)
        self.meeting.mail[self.port, to].put((self.epoch, Message(self.rank, tag, data)))

    def poll(self) -> Message | None:
        """Take the oldest message of this epoch; an abort on another rank ends this one too."""
        if self.meeting.barrier.broken:
            raise threading.BrokenBarrierError
        while True:
            try:
                epoch, message = self.meeting.mail[self.port, self.rank].get_nowait()
            except queue.Empty:
                return None
            if epoch == self.epoch:
                return message

    def unsent(self) -> int:
        """Nothing ever waits."""
        return 0

    def failed(self, peer: int) -> bool:
        """Whether the peer's thread ended with an error."""
        return peer in self.meeting.gone


class ThreadWorld:
    """One rank of a world of threads."""

    def __init__(self, meeting: _Meeting, rank: int, epoch: int = 0) -> None:
        self.meeting = meeting
        self.rank = rank
        self.size = meeting.size
        self.epoch = epoch
        self.serves_in_thread = True
        self.survives = False
        self.nodes = ["threads"] * self.size
        self.formerly = list(range(self.size))

    def link(self, port: Port) -> Link:
        """The messages of one port."""
        return ThreadLink(self.meeting, port, self.rank, self.epoch)

    def node(self) -> str:
        """All threads are on one node."""
        return "threads"

    def _exchange(self, value: Any) -> list[Any]:
        self.meeting.slots[self.rank] = value
        self.meeting.barrier.wait()
        values = list(self.meeting.slots)
        self.meeting.barrier.wait()
        return values

    def bcast(self, value: Any) -> Any:
        """Rank 0's value."""
        return self._exchange(value)[0]

    def gather(self, value: Any) -> list[Any] | None:
        """Every rank's value on rank 0."""
        values = self._exchange(value)
        return values if self.rank == 0 else None

    def allreduce(self, array: Int64Array) -> Int64Array:
        """Sum over the ranks."""
        return np.sum(self._exchange(np.array(array, np.int64)), axis=0, dtype=np.int64)

    def allmax(self, array: Int64Array) -> Int64Array:
        """Largest over the ranks, item by item."""
        return np.max(self._exchange(np.array(array, np.int64)), axis=0)

    def barrier(self) -> None:
        """Wait for all threads."""
        self._exchange(None)

    def open_shared(self, path: str) -> SharedFile:
        """Threads write with the operating system's own calls."""
        raise UserError("--writer mpi needs MPI: start with mpiexec or srun, or use --writer posix")

    def communicator(self) -> Any:
        """None: there is no MPI."""
        return None

    def abort(self, code: int) -> None:
        """Break the barrier, so that the other threads end too."""
        self.meeting.gone.add(self.rank)
        self.meeting.barrier.abort()

    def survivors(self) -> World:
        """A thread that ends ends all."""
        return self

    def close(self) -> None:
        """Nothing to leave."""


def run_threads(size: int, job: Callable[[ThreadWorld], Any], epoch: int = 0) -> list[Any]:
    """Run a job on ``size`` ranks that are threads; its results in rank order.

    Raises
    ------
    RuntimeError
        A rank ended with an error, which is the cause and whose traceback is in the message.
    """
    meeting = _Meeting(size)
    results: list[Any] = [None] * size
    errors: list[tuple[int, BaseException]] = []

    def rank_main(rank: int) -> None:
        world = ThreadWorld(meeting, rank, epoch)
        try:
            results[rank] = job(world)
        except BaseException as error:
            errors.append((rank, error))
            world.abort(1)

    threads = [threading.Thread(target=rank_main, args=(r,)) for r in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        rank, error = errors[0]
        text = "".join(traceback.format_exception(error))
        raise RuntimeError(f"rank {rank}: {text}") from error
    return results
