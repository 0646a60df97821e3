"""The world of ranks: an object passed in, replaceable, never kept by a module.

`Alone` is the world of one process without MPI; `scip_mpi.parallel.mpi.MPIWorld` the one of
mpiexec or srun; `scip_mpi.parallel.inprocess.ThreadWorld` runs ranks as threads, for tests.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.parallel.link import Link, Message, Port, Tag


class SharedFile(Protocol):
    """A file that several ranks write at offsets of their own."""

    def write_at(self, offset: int, buffer: UInt8Array) -> None:
        """Write all of the buffer at a byte offset."""

    def sync(self) -> None:
        """Bring this rank's writes to the disk."""

    def close(self) -> None:
        """Close; collective."""


class World(Protocol):
    """Ranks that work together. Collective calls must be made by all of them, in one order."""

    rank: int
    size: int
    epoch: int
    serves_in_thread: bool
    """Whether a second thread of rank 0 may send and receive."""
    survives: bool
    """Whether `RanksLost` is raised, and others go on, when a rank dies."""
    nodes: list[str]
    """Node of each rank."""
    formerly: list[int]
    """The rank that each rank was in the world whose survivors these are."""

    def link(self, port: Port) -> Link:
        """The messages of one port."""

    def node(self) -> str:
        """Name of this rank's node."""

    def bcast(self, value: Any) -> Any:
        """Rank 0's value, on every rank. Collective."""

    def gather(self, value: Any) -> list[Any] | None:
        """Every rank's value in rank order on rank 0; None elsewhere. Collective."""

    def allreduce(self, array: Int64Array) -> Int64Array:
        """Sum over the ranks. Collective."""

    def allmax(self, array: Int64Array) -> Int64Array:
        """Largest over the ranks, item by item. Collective."""

    def barrier(self) -> None:
        """Wait for all ranks. Collective."""

    def open_shared(self, path: str) -> SharedFile:
        """Open an existing file for writing by all ranks. Collective."""

    def communicator(self) -> Any:
        """The MPI communicator for libraries that want one; None without MPI."""

    def abort(self, code: int) -> None:
        """End all ranks at once."""

    def survivors(self) -> World:
        """The world of the ranks that live, after `RanksLost`. Collective."""

    def close(self) -> None:
        """Leave in order. Collective."""


@dataclass
class LoopbackLink:
    """The link of a rank that is alone: messages to itself, in order."""

    rank: int = 0
    size: int = 1
    queue: deque[Message] = field(default_factory=deque)

    def send(self, to: int, tag: Tag, body: UInt8Array | bytes = b"") -> None:
        """Deliver at once."""
        if to != 0:
            raise ValueError(f"there is no rank {to} in a world of one")
        self.queue.append(Message(0, tag, np.frombuffer(body, np.uint8)))

    def poll(self) -> Message | None:
        """Take the oldest message."""
        return self.queue.popleft() if self.queue else None

    def unsent(self) -> int:
        """Nothing ever waits."""
        return 0

    def failed(self, peer: int) -> bool:
        """It is here."""
        return False


@dataclass
class Alone:
    """A world of one process, without MPI."""

    rank: int = 0
    size: int = 1
    epoch: int = 0
    serves_in_thread: bool = False
    survives: bool = False
    nodes: list[str] = field(default_factory=lambda: [socket.gethostname()])
    formerly: list[int] = field(default_factory=lambda: [0])
    links: dict[Port, LoopbackLink] = field(
        default_factory=lambda: {port: LoopbackLink() for port in Port}
    )

    def link(self, port: Port) -> Link:
        """The loopback link of a port."""
        return self.links[port]

    def node(self) -> str:
        """The host's name."""
        return self.nodes[0]

    def bcast(self, value: Any) -> Any:
        """Return the value itself."""
        return value

    def gather(self, value: Any) -> list[Any] | None:
        """Return the value, as a list of one."""
        return [value]

    def allreduce(self, array: Int64Array) -> Int64Array:
        """Return the array itself."""
        return array

    def allmax(self, array: Int64Array) -> Int64Array:
        """Return the array itself."""
        return array

    def barrier(self) -> None:
        """Nobody to wait for."""

    def open_shared(self, path: str) -> SharedFile:
        """One rank writes with the operating system's own calls; there is nothing to share."""
        raise UserError("--writer mpi needs MPI: start with mpiexec or srun, or use --writer posix")

    def communicator(self) -> Any:
        """None: there is no MPI."""
        return None

    def abort(self, code: int) -> None:
        """End this process without clean-up, as an abort of MPI does."""
        os._exit(code)

    def survivors(self) -> World:
        """There is nobody to lose."""
        return self

    def close(self) -> None:
        """Nothing to leave."""


# Where launchers say how many processes they started. A value above 1 beside an MPI world of one
# means that the launcher and the MPI library do not understand each other.
_SIZES = (
    "SLURM_STEP_NUM_TASKS",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "MV2_COMM_WORLD_SIZE",
    "PALS_SIZE",
    "ALPS_APP_PE_COUNT",
)
_RANKS = (
    "PMIX_RANK",
    "PMI_RANK",
    "OMPI_COMM_WORLD_RANK",
    "MV2_COMM_WORLD_RANK",
    "PALS_RANKID",
    "SLURM_PROCID",
)


def launched_size(environ: Mapping[str, str]) -> int:
    """How many processes the launcher started, by its environment; 1 when nothing says."""
    sizes = [int(environ[k]) for k in _SIZES if environ.get(k, "").isdigit()]
    # Slurm sets its variables in a batch script too, where one process runs by itself.
    if "SLURM_STEP_NUM_TASKS" in environ and environ.get("SLURM_STEP_ID") in (None, ""):
        sizes = [int(environ[k]) for k in _SIZES[1:] if environ.get(k, "").isdigit()]
    return max(sizes, default=1)


def launched_rank(environ: Mapping[str, str]) -> int:
    """This process's rank by the launcher's environment, before any MPI is loaded."""
    return next((int(environ[k]) for k in _RANKS if environ.get(k, "").isdigit()), 0)


def under_launcher(environ: Mapping[str, str]) -> bool:
    """Whether mpiexec, srun or the like started this process."""
    if launched_size(environ) > 1:
        return True
    return any(k in environ for k in _RANKS if k != "SLURM_PROCID") or any(
        k in environ for k in _SIZES if k != "SLURM_STEP_NUM_TASKS"
    )


def enter(environ: Mapping[str, str] = os.environ) -> World:
    """The world this process belongs to.

    Raises
    ------
    UserError
        Several processes were started, but each is a world of its own: the launcher and the MPI
        library do not match. Nothing was written.
    """
    if not under_launcher(environ):
        return Alone()
    started = launched_size(environ)
    try:
        from scip_mpi.parallel.mpi import MPIWorld

        world: World = MPIWorld.enter()
    except (ImportError, RuntimeError) as error:
        if started == 1:
            return Alone()
        raise UserError(
            _mismatch(started, environ, f"MPI could not be loaded ({error})")
        ) from error
    if started > world.size == 1:
        raise UserError(_mismatch(started, environ, "each is an MPI world of its own"))
    return world


def _mismatch(started: int, environ: Mapping[str, str], what: str) -> str:
    if "SLURM_STEP_NUM_TASKS" in environ:
        cure = (
            "srun needs the --mpi= plugin of the MPI that mpi4py uses: `--mpi=pmi2` for MPICH "
            "(the `mpich` package), `--mpi=pmix` for Open MPI; `srun --mpi=list` shows those there"
        )
    else:
        cure = (
            "use the mpiexec of the MPI that mpi4py uses: with the packages from PyPI that is the "
            "one in this environment's bin folder (beside its python)"
        )
    return f"{started} processes were started, but {what}. Nothing was written. {cure}."
