"""A run whose work is to sleep: ``mpiexec -n RANKS python -m bench.sleeping SCENARIO.json``.

The program's own loops, manager and offices run both passes, with callables that sleep for as
long as the work would take. Sleeping scales on 2 cores as work does on many, so this shows the
scheduling alone. Prints a JSON object: seconds of each pass; how long each
rank was to sleep and did, and when it had done its last piece; which chunks it held.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from bench.model.probes import catalog
from bench.model.scenario import Scenario, read
from scip_mpi.batches import UInt8Array
from scip_mpi.checkpoint.ledger import Ledger
from scip_mpi.loaders.contract import References
from scip_mpi.loaders.dispatch import Dispatch
from scip_mpi.memory import MemoryAccount
from scip_mpi.parallel.guard import GuardedThread, abort_guard
from scip_mpi.parallel.link import Port
from scip_mpi.parallel.manager import ChunkOffice, Manager, Office, RowOffice, segmenters
from scip_mpi.parallel.roles import Sight, assign_roles
from scip_mpi.parallel.workers import Desk, Measured, Run, Share, first_pass, second_pass
from scip_mpi.parallel.world import World, enter
from scip_mpi.signals import StopFlag
from scip_mpi.timers import Timers

NOTHING = np.empty(0, np.uint8)
# Bytes of a row that is handed over: 12 channels of 64 x 64 pixels of 16 bits.
ROW_BYTES = 12 * 64 * 64 * 2


def managed(
    world: World, desk: Desk, office: Callable[[], Office], work: Callable[[], Any]
) -> float:
    """Seconds of a pass, from all ranks' start to the last one's end."""
    thread = None
    if world.rank == 0:
        manager = Manager(desk.manager, desk.peers, world.size, office())
        if world.size > 1:
            thread = GuardedThread(world, manager.run, "manager")
        else:
            desk.serve = manager.serve
    world.barrier()
    started = time.time()
    if thread is not None:
        thread.start()
    work()
    ended = time.time()
    if thread is not None:
        thread.join()
    # All ranks are on one machine and share its clock.
    spans = world.gather((started, ended))
    return 0.0 if spans is None else max(e for _, e in spans) - min(s for s, _ in spans)


def sleep(world: World, scenario: Scenario) -> dict[str, Any]:
    """Both passes on all ranks."""
    bounds = np.array([0, *accumulate(scenario.images)], np.int64)
    chunk_at = {int(lo): k for k, lo in enumerate(bounds[:-1])}
    roles, _ = assign_roles([Sight("here")] * world.size, 0)
    slept, took, ended = [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]

    def nap(seconds: float, which: int) -> None:
        started = time.perf_counter()
        time.sleep(seconds)
        took[which] += time.perf_counter() - started
        ended[which] = time.time()
        slept[which] += seconds

    def desk() -> Desk:
        manager, peers = world.link(Port.MANAGER), world.link(Port.WORKER)
        memory = MemoryAccount(1 << 30)
        return Desk(world.rank, roles, manager, peers, Timers(), StopFlag(), memory)

    held: list[int] = []

    def unused(_: Any) -> Any:
        raise AssertionError("no rank is set apart, and no chunk has parts")

    def segment(references: References, _: Share) -> Measured:
        lo = int(references.index[0])
        chunk = chunk_at[lo]
        nap(scenario.first[chunk], 0)
        held.append(chunk)
        return Measured(lo, len(references), len(references), 0, NOTHING)

    ledger = Ledger(bounds, scenario.weights)
    listed = catalog(int(bounds[-1])) if world.rank == 0 else None

    def chunks() -> ChunkOffice:
        assert listed is not None
        return ChunkOffice(ledger, Dispatch(listed).message, lambda *_: None, segmenters(roles))

    own_desk = desk()
    first = managed(
        world,
        own_desk,
        chunks,
        lambda: first_pass(own_desk, segment, unused, unused),
    )

    def rows() -> RowOffice:
        table = Ledger(bounds)
        for lo, entry in table.entries.items():
            entry.rank = ledger.entries[lo].rank
        return RowOffice(table, world.size, lambda *_: None)

    own = []
    for chunk in sorted(held):
        runs, start = scenario.runs(chunk), int(bounds[chunk])
        for cost, size in zip(runs.costs, runs.rows, strict=True):
            own.append(Run(int(bounds[chunk]), start, size, cost))
            start += size

    def write(run: Run) -> int:
        nap(run.work, 1)
        return 0

    def pack(run: Run) -> UInt8Array:
        head = np.array([run.chunk, run.start, run.rows, run.work], np.float64).view(np.uint8)
        return np.concatenate([head, np.zeros(run.rows * ROW_BYTES, np.uint8)])

    def unpack(body: UInt8Array) -> Run:
        chunk, start, size, cost = body[:32].view(np.float64).tolist()
        return Run(int(chunk), int(start), int(size), cost)

    own_desk = desk()
    second = managed(
        world,
        own_desk,
        rows,
        lambda: second_pass(own_desk, own, write, pack, unpack, lambda _: b""),
    )
    every = world.gather((slept, took, ended, held))
    if every is None:
        return {}
    return {
        "first_s": first,
        "second_s": second,
        "slept_first": [s[0] for s, *_ in every],
        "slept_second": [s[1] for s, *_ in every],
        "took_first": [t[0] for _, t, *_ in every],
        "took_second": [t[1] for _, t, *_ in every],
        "ended_first": [e[0] for *_, e, _ in every],
        "ended_second": [e[1] for *_, e, _ in every],
        "held": [h for *_, h in every],
    }


def main() -> None:
    """Sleep through a scenario and print how long it took."""
    world = enter()
    with abort_guard(world):
        told = sleep(world, read(Path(sys.argv[1])))
        if world.rank == 0:
            print(json.dumps(told))
        world.close()


if __name__ == "__main__":
    main()
