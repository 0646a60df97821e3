"""Collective operations, all in one place: non-blocking, waiting by test and sleep."""

from __future__ import annotations

import pickle
from threading import RLock
from typing import Any

import numpy as np
from mpi4py import MPI

from scip_mpi.batches import Int64Array
from scip_mpi.parallel.link import Backoff

# Counts above this go in several pieces: some MPI libraries count in 32 bits.
LARGEST = 2**30


def finish(request: MPI.Request, lock: RLock) -> None:
    """Wait for a request without spinning: 64 ranks may share 2 cores."""
    backoff = Backoff()
    while True:
        with lock:
            if request.Test():
                return
        backoff.wait()


def allreduce(
    comm: MPI.Comm, lock: RLock, array: Int64Array, operation: MPI.Op = MPI.SUM
) -> Int64Array:
    """Sum (or another operation) of int64 arrays over the ranks.

    Whole numbers add up associatively, hence the same bits on any number of ranks.
    """
    sent = np.ascontiguousarray(array, np.int64).reshape(-1)
    received = np.empty_like(sent)
    for lo in range(0, max(sent.size, 1), LARGEST // 8):
        piece = slice(lo, lo + LARGEST // 8)
        with lock:
            request = comm.Iallreduce(sent[piece], received[piece], operation)
        finish(request, lock)
    return received.reshape(np.shape(array))


def barrier(comm: MPI.Comm, lock: RLock) -> None:
    """Wait for all ranks."""
    with lock:
        request = comm.Ibarrier()
    finish(request, lock)


def bcast(comm: MPI.Comm, lock: RLock, value: Any) -> Any:
    """Rank 0's object on every rank."""
    size = np.zeros(1, np.int64)
    data = np.empty(0, np.uint8)
    if comm.rank == 0:
        data = np.frombuffer(pickle.dumps(value, protocol=5), np.uint8)
        size[0] = data.size
    with lock:
        request = comm.Ibcast(size, 0)
    finish(request, lock)
    if comm.rank != 0:
        data = np.empty(size[0], np.uint8)
    for lo in range(0, int(size[0]), LARGEST):
        with lock:
            request = comm.Ibcast(data[lo : lo + LARGEST], 0)
        finish(request, lock)
    return value if comm.rank == 0 else pickle.loads(data.data)


def gather(comm: MPI.Comm, lock: RLock, value: Any) -> list[Any] | None:
    """Every rank's object on rank 0, in rank order, one rank's data at a time."""
    data = np.frombuffer(pickle.dumps(value, protocol=5), np.uint8)
    size = np.array([data.size], np.int64)
    sizes = np.empty(comm.size, np.int64) if comm.rank == 0 else None
    with lock:
        request = comm.Igather(size, sizes, 0)
    finish(request, lock)
    if sizes is None:
        for lo in range(0, data.size, LARGEST):
            with lock:
                request = comm.Isend(data[lo : lo + LARGEST], 0)
            finish(request, lock)
        return None
    values = [value]
    for source in range(1, comm.size):
        buffer = np.empty(sizes[source], np.uint8)
        for lo in range(0, buffer.size, LARGEST):
            with lock:
                request = comm.Irecv(buffer[lo : lo + LARGEST], source)
            finish(request, lock)
        values.append(pickle.loads(buffer.data))
    return values
