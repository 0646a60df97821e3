"""Pieces of work that need nothing of each other, dealt out as ranks get free.

Rank 0 holds what describes the pieces, and works on some itself; it answers the others between two
steps of its own work.
"""

from __future__ import annotations

import pickle
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from scip_mpi.parallel.link import Backoff, Port, Tag, drain
from scip_mpi.parallel.world import World

# Pieces that a rank has been given ahead of time.
AHEAD = 2

# Step(done, failed): called now and then during the work on a piece, with what was done since.
Step = Callable[[int, int], None]


def deal(
    world: World,
    pieces: int,
    describe: Callable[[int], Any],
    work: Callable[[Any, Step], None],
    told: Step,
) -> None:
    """Have all pieces worked on, each by one rank. Collective.

    Parameters
    ----------
    world : World
    pieces : int
        How many there are.
    describe : callable
        On rank 0: what a rank must know of a piece; it is sent pickled.
    work : callable
        Works on a piece, given that and a function to call now and then.
    told : callable
        On rank 0: what is done with what the ranks report, wherever they are.
    """
    if world.rank == 0:
        _lead(world, pieces, describe, work, told)
    else:
        _follow(world, work)


def _lead(
    world: World,
    pieces: int,
    describe: Callable[[int], Any],
    work: Callable[[Any, Step], None],
    told: Step,
) -> None:
    manager, peers = world.link(Port.MANAGER), world.link(Port.WORKER)
    to_do = deque(range(pieces))
    # Requests that will come: each rank asks again for each piece that it was given.
    waiting = AHEAD * (world.size - 1)

    def serve() -> bool:
        nonlocal waiting
        busy = False
        for message in drain(manager):
            busy = True
            if message.tag is Tag.MEASURED:
                told(*message.body.view(np.int64).tolist())
            elif to_do:
                peers.send(message.source, Tag.ASSIGN, pickle.dumps(describe(to_do.popleft())))
            else:
                waiting -= 1
                peers.send(message.source, Tag.EXHAUSTED)
        return busy

    def step(done: int, failed: int) -> None:
        told(done, failed)
        serve()

    backoff = Backoff()
    while to_do or waiting:
        busy = serve()
        if to_do:
            work(describe(to_do.popleft()), step)
        elif busy:
            backoff.reset()
        else:
            backoff.wait()


def _follow(world: World, work: Callable[[Any, Step], None]) -> None:
    manager, peers = world.link(Port.MANAGER), world.link(Port.WORKER)

    def step(done: int, failed: int) -> None:
        manager.send(0, Tag.MEASURED, np.array([done, failed], np.int64).tobytes())

    for _ in range(AHEAD):
        manager.send(0, Tag.ASK)
    waiting = AHEAD
    queue: deque[Any] = deque()
    backoff = Backoff()
    while waiting or queue:
        for message in drain(peers):
            backoff.reset()
            if message.tag is Tag.ASSIGN:
                queue.append(pickle.loads(message.body))
            waiting -= 1
        if queue:
            work(queue.popleft(), step)
            manager.send(0, Tag.ASK)
            waiting += 1
        elif waiting:
            backoff.wait()
