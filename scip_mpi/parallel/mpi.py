"""The world of mpiexec and srun: messages and files by mpi4py."""

from __future__ import annotations

import errno
import os
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from threading import RLock
from typing import Any

import mpi4py
import numpy as np

mpi4py.rc.finalize = False
mpi4py.rc.threads = True
mpi4py.rc.thread_level = "multiple"

from mpi4py import MPI  # noqa: E402

from scip_mpi.batches import Int64Array, UInt8Array  # noqa: E402
from scip_mpi.errors import RanksLost  # noqa: E402
from scip_mpi.parallel import collectives, ulfm  # noqa: E402
from scip_mpi.parallel.link import Link, Message, Port, Tag  # noqa: E402
from scip_mpi.parallel.world import World  # noqa: E402

# What the operating system calls the errors of a disk.
ERRNO = {
    MPI.ERR_NO_SPACE: errno.ENOSPC,
    MPI.ERR_QUOTA: errno.EDQUOT,
    MPI.ERR_READ_ONLY: errno.EROFS,
    MPI.ERR_IO: errno.EIO,
}
# Seconds that MPI gets to end all ranks, before this one leaves without it.
PATIENCE = 10.0
# What a message says whose body comes in pieces: first its size, by this beside all tags.
ANNOUNCED = len(Tag)
KINDS = len(Tag) + 1


@dataclass
class Arriving:
    """A body of which not all pieces have come."""

    body: UInt8Array
    filled: int = 0


class MPILink:
    """Messages of one port over a communicator of its own; for more than one thread.

    Bodies above `collectives.LARGEST` go in pieces, which arrive in the order in which they were
    sent.
    """

    def __init__(
        self, comm: MPI.Intracomm, lock: RLock, epoch: int, revoke: Callable[[], None]
    ) -> None:
        self.comm = comm
        self.revoke = revoke
        self.lock = lock
        self.epoch = epoch
        self.rank: int = comm.rank
        self.size: int = comm.size
        self.outbox: deque[tuple[MPI.Request, UInt8Array]] = deque()
        self.arriving: dict[tuple[int, int], Arriving] = {}

    @ulfm.notices
    def send(self, to: int, tag: Tag, body: UInt8Array | bytes = b"") -> None:
        """Start sending; the buffer is held until it is gone."""
        data, most = np.frombuffer(body, np.uint8), collectives.LARGEST
        with self.lock:
            if data.size > most:
                self._start(to, ANNOUNCED, np.array([data.size], np.int64).view(np.uint8))
            for lo in range(0, max(data.size, 1), most):
                self._start(to, tag, data[lo : lo + most])
        self._clean()

    def _start(self, to: int, kind: int, data: UInt8Array) -> None:
        request = self.comm.Isend([data, MPI.BYTE], to, self.epoch * KINDS + kind)
        self.outbox.append((request, data))

    @ulfm.notices
    def poll(self) -> Message | None:
        """Take the next message that has arrived whole; those of an earlier epoch are dropped."""
        self._clean()
        while True:
            status = MPI.Status()
            with self.lock:
                matched = self.comm.Improbe(status=status)
                if matched is None:
                    return None
                epoch, kind = divmod(status.Get_tag(), KINDS)
                sender = status.Get_source(), epoch
                data = self._receive(matched, status.Get_elements(MPI.BYTE), sender)
            if data is None:
                continue
            if kind == ANNOUNCED:
                self.arriving[sender] = Arriving(np.empty(data.view(np.int64)[0], np.uint8))
            elif epoch == self.epoch:
                return Message(sender[0], Tag(kind), data)

    def _receive(
        self, matched: MPI.Message, size: int, sender: tuple[int, int]
    ) -> UInt8Array | None:
        """The body of a message, or of all pieces of one if this is the last."""
        arriving = self.arriving.get(sender)
        if arriving is None:
            data = np.empty(size, np.uint8)
            matched.Recv([data, MPI.BYTE])
            return data
        end = arriving.filled + size
        matched.Recv([arriving.body[arriving.filled : end], MPI.BYTE])
        arriving.filled = end
        if end < arriving.body.size:
            return None
        return self.arriving.pop(sender).body

    @ulfm.notices
    def unsent(self) -> int:
        """Bytes whose sending has not finished."""
        self._clean()
        with self.lock:
            return sum(data.nbytes for _, data in self.outbox)

    def failed(self, peer: int) -> bool:
        """A lost rank ends the job, or, where the MPI lets others go on, the world."""
        return False

    def _clean(self) -> None:
        # Rank 0's two threads share the outbox.
        with self.lock:
            while self.outbox and self.outbox[0][0].Test():
                self.outbox.popleft()


class MPISharedFile:
    """A file written by all ranks through MPI.

    ``lock`` is held during each call, where the MPI allows one call at a time.
    """

    def __init__(self, comm: MPI.Intracomm, path: str, lock: AbstractContextManager[Any]) -> None:
        self.path = path
        self.lock = lock
        with self._calling():
            self.file = MPI.File.Open(comm, path, MPI.MODE_WRONLY)

    def write_at(self, offset: int, buffer: UInt8Array) -> None:
        """Write the whole buffer, in pieces that any MPI can count."""
        flat, status = np.frombuffer(buffer, np.uint8), MPI.Status()
        while flat.size:
            with self._calling():
                self.file.Write_at(offset, flat[: collectives.LARGEST], status)
            # Open MPI raises nothing where the disk is full.
            written = status.Get_count(MPI.BYTE)
            if written <= 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO), self.path)
            offset, flat = offset + written, flat[written:]

    def sync(self) -> None:
        """Collective: every rank's writes are on the disk afterwards."""
        with self._calling():
            self.file.Sync()

    def close(self) -> None:
        """Close; collective."""
        with self._calling():
            self.file.Close()

    @contextmanager
    def _calling(self) -> Iterator[None]:
        """One call; what the disk does not let through is an error of the operating system."""
        try:
            with self.lock:
                yield
        except MPI.Exception as error:
            number = ERRNO.get(error.Get_error_class())
            if number is None:
                raise
            raise OSError(number, os.strerror(number), self.path) from error


def name_nodes(comm: MPI.Intracomm, lock: RLock) -> list[str]:
    """A name for the node of each rank. Collective.

    Ranks that can share memory are on one node. Names of hosts do not tell: they may be the same on
    several (containers, Slurm's virtual nodes), and then get the rank that is first there behind.
    """
    here = comm.Split_type(MPI.COMM_TYPE_SHARED, comm.rank)
    first = here.Get_group().Translate_ranks([0], comm.Get_group())[0]
    here.Free()
    name = os.environ.get("SLURMD_NODENAME") or MPI.Get_processor_name()
    told = collectives.gather(comm, lock, (first, name))
    nodes: list[str] = []
    if told is not None:
        of_first = {first: told[first][1] for first, _ in told}
        taken = Counter(of_first.values())
        nodes = [
            of_first[first] if taken[of_first[first]] == 1 else f"{of_first[first]}+{first}"
            for first, _ in told
        ]
    return list(collectives.bcast(comm, lock, nodes))


class MPIWorld:
    """The ranks of an MPI communicator, duplicated for our own use.

    Parameters
    ----------
    comm : Intracomm
    epoch : int, optional
        How many worlds of this process there were before.
    nodes : list of str, optional
        Node of each rank, where it is known.
    """

    def __init__(self, comm: MPI.Intracomm, epoch: int = 0, nodes: list[str] | None = None) -> None:
        self.lock = RLock()
        self.survives = ulfm.survives()
        self.revoked = False
        self.comm = comm.Dup()
        self.rank: int = comm.rank
        self.size: int = comm.size
        self.epoch = epoch
        self.serves_in_thread = MPI.Query_thread() >= MPI.THREAD_SERIALIZED
        self.links: dict[Port, MPILink] = {
            port: MPILink(comm.Dup(), self.lock, epoch, self.revoke) for port in Port
        }
        self.nodes = nodes or name_nodes(comm, self.lock)
        self.formerly = list(range(self.size))

    @classmethod
    def enter(cls) -> MPIWorld:
        """The world of all ranks that were started."""
        return cls.found(MPI.COMM_WORLD, 0, []) if ulfm.survives() else cls(MPI.COMM_WORLD)

    @classmethod
    def found(cls, comm: MPI.Intracomm, epoch: int, nodes: list[str]) -> MPIWorld:
        """A world of all ranks of a communicator that live; some may die meanwhile. Collective."""
        lock = RLock()
        while True:
            world = None
            try:
                world = cls(comm, epoch, nodes)
            except MPI.Exception as error:
                if not ulfm.is_death(error):
                    raise
                # Others may wait for this rank.
                comm.Revoke()
            if ulfm.unanimous(comm, lock, world is not None) and world is not None:
                return world
            comm, kept = ulfm.shrink(comm, nodes)
            epoch, nodes = epoch + 1, [nodes[rank] for rank in kept] if nodes else []

    def survivors(self) -> World:
        """The world of those that live, in their old order. Collective; all have left this one."""
        # Who thought that all was done hears that it was not.
        ulfm.unanimous(self.comm, self.lock, False)
        comm, kept = ulfm.shrink(self.comm, self.nodes)
        world = self.found(comm, self.epoch + 1, [self.nodes[rank] for rank in kept])
        between = world.comm.Get_group().Translate_ranks(
            list(range(world.size)), self.comm.Get_group()
        )
        world.formerly = list(between)
        return world

    def revoke(self) -> None:
        """Let everybody's next call fail: a rank has died."""
        with self.lock:
            if not self.revoked:
                self.revoked = True
                for comm in (self.comm, *(link.comm for link in self.links.values())):
                    comm.Revoke()

    def link(self, port: Port) -> Link:
        """The messages of one port."""
        return self.links[port]

    def node(self) -> str:
        """This node's name, another than that of every other node."""
        return self.nodes[self.rank]

    @ulfm.notices
    def bcast(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        return collectives.bcast(self.comm, self.lock, value)

    @ulfm.notices
    def gather(self, value: Any) -> list[Any] | None:
        """Every rank's value on rank 0."""
        return collectives.gather(self.comm, self.lock, value)

    @ulfm.notices
    def allreduce(self, array: Int64Array) -> Int64Array:
        """Sum over the ranks."""
        return collectives.allreduce(self.comm, self.lock, array)

    @ulfm.notices
    def allmax(self, array: Int64Array) -> Int64Array:
        """Largest over the ranks, item by item."""
        return collectives.allreduce(self.comm, self.lock, array, MPI.MAX)

    @ulfm.notices
    def barrier(self) -> None:
        """Wait for all ranks."""
        collectives.barrier(self.comm, self.lock)

    def open_shared(self, path: str) -> MPISharedFile:
        """Open an existing file for writing by all ranks."""
        several = MPI.Query_thread() == MPI.THREAD_MULTIPLE
        return MPISharedFile(self.comm, path, nullcontext() if several else self.lock)

    def communicator(self) -> MPI.Intracomm:
        """The communicator that parallel HDF5 takes."""
        return self.comm

    def abort(self, code: int) -> None:
        """End all ranks at once."""
        # A thread that hangs within MPI may hold what the abort waits for.
        leave = threading.Timer(PATIENCE, os._exit, (code,))
        leave.daemon = True
        leave.start()
        if self.survives:
            self.revoke()
            ulfm.end(self.comm, self.lock)
        else:
            MPI.COMM_WORLD.Abort(code)
        os._exit(code)

    def close(self) -> None:
        """Leave in order: what nobody waits for any more is received and dropped first."""
        while True:
            for link in self.links.values():
                while link.poll() is not None:
                    pass
            unsent = sum(link.unsent() for link in self.links.values())
            if self.allreduce(np.array([unsent], np.int64))[0] == 0:
                break
        self.barrier()
        if not self.survives:
            MPI.Finalize()
        elif not ulfm.unanimous(self.comm, self.lock, True):
            raise RanksLost("another rank has died")
        # Else Open MPI would wait for the dead there; the launcher needs none of it.
