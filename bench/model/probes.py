"""What a message and a hand-out cost here: ``mpiexec -n 2 python -m bench.model.probes``.

Prints CSV lines ``what,seconds``. The program's own links, manager and offices are driven, with
empty work. Service times are CPU times of the manager's thread, so that other programs on the
machine disturb them little; latencies are wall times, of the faster messages.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.checkpoint.ledger import Ledger, State
from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.dispatch import Dispatch
from scip_mpi.parallel.link import Link, Message, Port, Tag, drain
from scip_mpi.parallel.manager import ChunkOffice, Manager, Office, RowOffice, report
from scip_mpi.parallel.world import World, enter

SIZES = (0, 64, 1 << 10, 1 << 14, 1 << 16, 1 << 18, 1 << 20, 4 << 20)
CHUNKS = 3000
# Of which the least counts: other programs on the machine can only add to it.
REPEATS = 3
# Images of a shard.
SHARD = 100_000
RANKS = (2, 64, 1024, 4096)
Row = tuple[str, float]


def wait_for(link: Link) -> Message:
    """The next message, without sleeping."""
    while (message := link.poll()) is None:
        pass
    return message


def ping_pong(world: World, repeats: int = 200) -> Iterator[Row]:
    """Seconds one way, by size."""
    link = world.link(Port.WORKER)
    for size in SIZES:
        body = np.zeros(size, np.uint8)
        times = []
        world.barrier()
        for _ in range(repeats if size < 1 << 18 else repeats // 4):
            started = time.perf_counter()
            if world.rank == 0:
                link.send(1, Tag.ITEM, body)
                wait_for(link)
            else:
                wait_for(link)
                link.send(0, Tag.ITEM, body)
            times.append((time.perf_counter() - started) / 2)
        # A large one takes long enough for other programs to get in between.
        yield f"one way {size} bytes", float(np.quantile(times, 0.1))


def naps() -> Iterator[Row]:
    """What a sleep takes beyond what was asked for."""
    over = []
    for _ in range(300):
        started = time.perf_counter()
        time.sleep(2e-5)
        over.append(time.perf_counter() - started - 2e-5)
    yield "nap beyond", float(np.median(over))


@dataclass
class Folded:
    """The workers' link as a manager of many ranks sees it, with all messages to rank 1."""

    link: Link
    rank: int = 0
    size: int = 2

    def send(self, to: int, tag: Tag, body: UInt8Array | bytes = b"") -> None:
        """Send to rank 1, whoever is meant; it hears the end once."""
        if to == 1 or tag is not Tag.FINISH:
            self.link.send(1, tag, body)

    def poll(self) -> Message | None:
        """Nothing is received here."""
        return None

    def unsent(self) -> int:
        """As the link says."""
        return self.link.unsent()

    def failed(self, peer: int) -> bool:
        """Everybody is here."""
        return False


def catalog(images: int) -> Catalog:
    """A catalog of shards, with paths of the usual length."""
    files = [f"/data/experiment_07/packed/cells_{k:04d}.h5" for k in range(images // SHARD + 1)]
    each, none = np.arange(images, dtype=np.int64), np.zeros(images, np.int64)
    facts = np.zeros(len(files), np.int64)
    return Catalog(
        files=files,
        sources=(each // SHARD)[:, None],
        names=[],
        named=each,
        within=each % SHARD,
        unit=each,
        group=none.astype(np.int32),
        groups=["a"],
        metadata={},
        sizes=facts,
        mtimes=facts,
    )


def serve(world: World, office: Office, ranks: int) -> float:
    """CPU seconds of a manager's thread over a whole pass."""
    manager = Manager(world.link(Port.MANAGER), Folded(world.link(Port.WORKER)), ranks, office)
    spent = 0.0

    def run() -> None:
        nonlocal spent
        started = time.thread_time()
        manager.run()
        spent = time.thread_time() - started

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return spent


def clear(world: World) -> None:
    """Drop what a pass has left unanswered."""
    world.barrier()
    for port in Port:
        for _ in drain(world.link(port)):
            pass
    world.barrier()


def take_chunks(world: World, images: int) -> None:
    """A worker that reports all chunks at once: the manager never waits."""
    manager, peers = world.link(Port.MANAGER), world.link(Port.WORKER)
    for k in range(CHUNKS):
        manager.send(0, Tag.MEASURED, report(k * images, images, images, 0))
    while wait_for(peers).tag is not Tag.FINISH:
        pass


def sending(world: World) -> Iterator[Row]:
    """CPU seconds to start a short message."""
    link, body = world.link(Port.WORKER), np.zeros(40, np.uint8)
    clear(world)
    started = time.thread_time()
    for _ in range(CHUNKS):
        link.send(1 - world.rank, Tag.ITEM, body)
    yield "send", (time.thread_time() - started) / CHUNKS
    clear(world)


def hand_out_chunks(world: World) -> Iterator[Row]:
    """Seconds of the manager per chunk (reported, another assigned) by its images."""
    for images in (1, 16, 256):
        spent = []
        for _ in range(REPEATS):
            clear(world)
            if world.rank != 0:
                take_chunks(world, images)
                continue
            ledger = Ledger(range(0, CHUNKS * images + 1, images))
            message = Dispatch(catalog(CHUNKS * images)).message
            office = ChunkOffice(ledger, message, lambda *_: None, [1])
            spent.append(serve(world, office, 2) / CHUNKS)
        yield f"chunk of {images} images", min(spent, default=0.0)


def report_rows(world: World, bounds: Int64Array) -> None:
    """A worker that reports all rows as written, one by one."""
    manager, peers = world.link(Port.MANAGER), world.link(Port.WORKER)
    for lo in bounds[:-1].tolist():
        manager.send(0, Tag.WRITTEN, report(lo, 1, 1, 0, lo))
    while wait_for(peers).tag is not Tag.FINISH:
        pass


class Finding(RowOffice):
    """Rows of which none is ever given: each ASK is answered as one whose rows lie elsewhere."""

    def done(self) -> bool:
        """When all have been asked for."""
        self.asked = getattr(self, "asked", 0)
        return self.asked >= CHUNKS

    def answer(self, message: Message, send: Callable[..., None]) -> None:
        """Count what was asked."""
        self.asked = getattr(self, "asked", 0) + 1
        super().answer(message, send)


def ask_rows(world: World) -> None:
    """A worker that asks for rows and takes nothing."""
    manager, peers = world.link(Port.MANAGER), world.link(Port.WORKER)
    for _ in range(CHUNKS):
        manager.send(0, Tag.ASK)
    while wait_for(peers).tag is not Tag.FINISH:
        pass


def hand_over_rows(world: World) -> Iterator[Row]:
    """Seconds of the manager per report of rows, and per request for some, by ranks."""
    bounds = np.arange(CHUNKS + 1)
    spent = []
    for _ in range(REPEATS):
        clear(world)
        if world.rank != 0:
            report_rows(world, bounds)
            continue
        ledger = Ledger(bounds)
        for entry in ledger.entries.values():
            entry.rank, entry.state = 1, State.MEASURED
        spent.append(serve(world, RowOffice(ledger, 2, lambda *_: None), 2) / CHUNKS)
    yield "rows reported", min(spent, default=0.0)
    for ranks in RANKS:
        clear(world)
        if world.rank != 0:
            ask_rows(world)
            yield "", 0.0
            continue
        ledger = Ledger(bounds)
        for entry in ledger.entries.values():
            entry.rank, entry.state = 0, State.MEASURED
        yield (
            f"rows found among {ranks} ranks",
            serve(world, Finding(ledger, ranks, lambda *_: None), 2) / CHUNKS,
        )


def reductions(world: World) -> Iterator[Row]:
    """Seconds of a reduction between the two ranks, by its numbers."""
    for numbers in (1, 1 << 12, 1 << 17):
        array, times = np.zeros(numbers, np.int64), []
        for _ in range(50):
            world.barrier()
            started = time.perf_counter()
            world.allreduce(array)
            times.append(time.perf_counter() - started)
        yield f"reduction of {numbers} numbers", float(np.median(times))


def main() -> None:
    """Measure everything and print it from rank 0."""
    world = enter()
    if world.size != 2:
        sys.exit("start this with mpiexec -n 2")
    rows: list[Row] = []
    for measure in (ping_pong, sending, hand_out_chunks, hand_over_rows, reductions):
        rows += measure(world)
    clear(world)
    rows += naps()
    if world.rank == 0:
        print("what,seconds")
        for what, seconds in rows:
            print(f"{what},{seconds:.3e}")
    world.close()


if __name__ == "__main__":
    main()
