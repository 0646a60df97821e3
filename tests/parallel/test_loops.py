"""The loops of manager, segmenters and featurizers, with ranks that are threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from scip_mpi.batches import UInt8Array
from scip_mpi.checkpoint.ledger import Ledger
from scip_mpi.devices import DeviceLost
from scip_mpi.loaders.contract import Catalog, References
from scip_mpi.loaders.dispatch import Dispatch
from scip_mpi.memory import MemoryAccount
from scip_mpi.parallel import manager as managers
from scip_mpi.parallel.clerk import Clerk
from scip_mpi.parallel.guard import GuardedThread
from scip_mpi.parallel.inprocess import ThreadWorld, run_threads
from scip_mpi.parallel.link import Port
from scip_mpi.parallel.manager import ChunkOffice, Manager, RowOffice
from scip_mpi.parallel.roles import Role, Sight, assign_roles
from scip_mpi.parallel.workers import Desk, Measured, Run, Share, first_pass, second_pass
from scip_mpi.parallel.world import Alone
from scip_mpi.signals import StopFlag
from scip_mpi.timers import Timers

IMAGES = 37
BOUNDS = [0, 5, 6, 16, 30, 37]
BLOCKS = 5


EACH = np.arange(IMAGES, dtype=np.int64)
CATALOG = Catalog(
    files=[f"{i}.tiff" for i in range(IMAGES)], sources=EACH[:, np.newaxis], names=[], named=EACH,
    within=0 * EACH, unit=EACH, group=EACH.astype(np.int32), groups=[], metadata={}, sizes=EACH,
    mtimes=EACH,
)  # fmt: skip


def job(
    world,
    segmenters: int,
    stop_at: int | None = None,
    in_thread: bool = True,
    slow: int | None = None,
    parts: dict[int, int] | None = None,
    stop_part: int | None = None,
    fails: Mapping[int, int] | None = None,
):
    """Both passes with work that only says who did it; ``parts`` of the chunks that have some.

    The devices of some ranks fail (``fails``) in the chunk after so many.
    """
    roles, _ = assign_roles([Sight("n")] * world.size, segmenters)
    calls = (fails or {}).get(world.rank, IMAGES)
    went_on: list[int] = []
    stop = StopFlag()
    memory = MemoryAccount(1 << 20)
    desk = Desk(
        world.rank, roles, world.link(Port.MANAGER), world.link(Port.WORKER), Timers(), stop, memory
    )
    held: dict[int, tuple[int, int]] = {}
    written: list[int] = []
    measured = Ledger(BOUNDS)
    segmented: list[int] = []
    did: list[tuple[int, int]] = []
    seen: list[tuple[int, int, int]] = []
    blocks: list[tuple[int, list[str]]] = []
    clerk = Clerk(
        [range(world.size)] * BLOCKS,
        lambda k, told: blocks.append((k, sorted(bytes(t).decode() for t in told))),
    )

    def measure(part: tuple[int, int]) -> tuple[int, int]:
        did.append(part)
        time.sleep(0.002)
        if part[1] == stop_part:
            stop.signal = "SIGTERM"
        return part

    idle: list[int] = []
    segmented_chunks: list[int] = []

    def failing_part(after: int, lo: int):
        made = []

        def part(k: int) -> tuple[int, int]:
            made.append(k)
            if len(made) > after:
                raise DeviceLost("made to fail")
            return lo, k

        return part

    def one(part: References, share: Share) -> Measured | None:
        lo, n = int(part.index[0]), len(part)
        count = (parts or {}).get(lo, 0)
        if len(segmented_chunks) >= calls and not went_on:
            # In the middle of the chunk: some parts may be with others.
            if count and not idle:
                with pytest.raises(DeviceLost):
                    share(count, failing_part(count // 2, lo))
            idle.append(lo)
            return None
        segmented_chunks.append(lo)
        assert share(count, lambda k: (lo, k)) == [(lo, k) for k in range(count)]
        segmented.extend(part.index.tolist())
        if stop_at is not None and lo >= stop_at:
            stop.signal = "SIGTERM"
        if desk.mine(Role.FEATURIZER):
            held[lo] = (lo, n)
        body = np.array([lo, n], np.int64).view(np.uint8)
        return Measured(lo, n, n, 0, body)

    def hold(body: UInt8Array) -> Measured:
        lo, n = body.view(np.int64).tolist()
        held[lo] = (lo, n)
        return Measured(lo, n, n, 0, b"")

    def run_pass(office, worker):
        thread = None
        if world.rank == 0:
            manager = Manager(desk.manager, desk.peers, world.size, office())
            if in_thread:
                thread = GuardedThread(world, manager.run, "manager")
                thread.start()
                clerk_thread = GuardedThread(world, lambda: clerk.run(manager.ended), "clerk")
                clerk_thread.start()
            else:
                desk.serve = lambda: manager.serve() | clerk.work()
        reason = worker()
        if thread is not None:
            thread.join()
        return reason

    def chunks() -> ChunkOffice:
        message = Dispatch(CATALOG).message
        sharers = managers.segmenters(roles)
        others = managers.stand_ins(roles)
        return ChunkOffice(measured, message, lambda *told: seen.append(told), sharers, others)

    def rows() -> RowOffice:
        # A row per image, so that rows are numbered as images are.
        ledger = Ledger(BOUNDS)
        for lo, entry in ledger.entries.items():
            entry.rank = measured.entries[lo].rank
        return RowOffice(ledger, world.size, lambda *told: seen.append(told), clerk)

    def write(run: Run) -> int:
        if world.rank == slow:
            time.sleep(0.005)
        written.extend(range(run.start, run.start + run.rows))
        return 0

    def pack(run: Run) -> UInt8Array:
        return np.array([run.chunk, run.start, run.rows], np.int64).view(np.uint8)

    def unpack(body: UInt8Array) -> Run:
        return Run(*body.view(np.int64).tolist(), None)

    def tell(block: int) -> bytes:
        return f"{world.rank} of {block}".encode()

    def go_on() -> None:
        went_on.append(1)

    reason = run_pass(chunks, lambda: first_pass(desk, one, hold, measure, go_on))
    if reason is None:
        own = [
            Run(lo, start, min(2, lo + n - start), None)
            for lo, n in sorted(held.values())
            for start in range(lo, lo + n, 2)
        ]
        reason = run_pass(rows, lambda: second_pass(desk, own, write, pack, unpack, tell))
    assert memory.total() == 0 or reason is not None
    return {
        "held": held,
        "segmented": segmented,
        "went_on": len(went_on),
        "written": written,
        "did": did,
        "reason": reason,
        "seen": seen,
        "blocks": blocks,
        "roles": roles,
    }


@pytest.mark.parametrize("segmenters", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_every_image_is_segmented_once_and_held_by_a_featurizer(size: int, segmenters: int) -> None:
    results = run_threads(size, lambda world: job(world, segmenters))
    images = Counter(i for r in results for i in r["segmented"])
    assert images == Counter(range(IMAGES))
    held = Counter(lo for r in results for lo in r["held"])
    assert held == Counter(BOUNDS[:-1])
    for rank, result in enumerate(results):
        assert result["reason"] is None
        if result["held"]:
            assert Role.FEATURIZER in result["roles"][rank]
        if result["segmented"]:
            assert Role.SEGMENTER in result["roles"][rank]
    assert Counter(row for r in results for row in r["written"]) == Counter(range(IMAGES))
    assert sum(count for count, _ in results[0]["seen"]) == 2 * IMAGES


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("size", [1, 3])
def test_the_clerk_hears_every_rank_of_every_block_in_order(size: int, in_thread: bool) -> None:
    first, *others = run_threads(size, lambda world: job(world, 0, in_thread=in_thread, slow=0))
    assert first["blocks"] == [
        (block, [f"{rank} of {block}" for rank in range(size)]) for block in range(BLOCKS)
    ]
    assert all(not other["blocks"] for other in others)


@pytest.mark.parametrize("in_thread", [True, False])
def test_rows_go_to_ranks_that_have_none_left(in_thread: bool) -> None:
    # With two ranks set apart to segment, the third holds all rows; they help it.
    results = run_threads(3, lambda world: job(world, 2, in_thread=in_thread, slow=2))
    assert [len(r["held"]) for r in results] == [0, 0, len(BOUNDS) - 1]
    assert Counter(row for r in results for row in r["written"]) == Counter(range(IMAGES))
    assert all(r["written"] for r in results)


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("segmenters", [0, 3])
def test_among_many_rank_0_only_hands_out_work(monkeypatch, segmenters, in_thread) -> None:
    monkeypatch.setattr(managers, "MANY", 3)
    results = run_threads(6, lambda world: job(world, segmenters, in_thread=in_thread))
    assert results[0]["segmented"] == []
    if not segmenters:
        assert results[0]["written"] == []
    assert Counter(i for r in results for i in r["segmented"]) == Counter(range(IMAGES))
    assert Counter(row for r in results for row in r["written"]) == Counter(range(IMAGES))


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("segmenters", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 2, 4, 7])
def test_parts_of_chunks_are_shared_out(size: int, segmenters: int, in_thread: bool) -> None:
    # Two chunks have many parts, so that ranks may give each other some, and one has a single one.
    parts = {0: 30, 6: 1, 30: 20}
    results = run_threads(
        size, lambda world: job(world, segmenters, in_thread=in_thread, parts=parts)
    )
    assert {r["reason"] for r in results} == {None}
    done = Counter(part for r in results for part in r["did"])
    assert done == Counter((lo, k) for lo, n in parts.items() for k in range(n))
    assert Counter(lo for r in results for lo in r["held"]) == Counter(BOUNDS[:-1])
    doers = [r for r in results if r["did"]]
    assert all(Role.SEGMENTER in results[k]["roles"][k] for k, r in enumerate(results) if r["did"])
    able = sum(Role.SEGMENTER in roles for roles in results[0]["roles"])
    assert len(doers) >= min(able, 2)


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("parts", [{}, {0: 30, 6: 1, 16: 9, 30: 20}])
@pytest.mark.parametrize(
    ("size", "segmenters", "fails"),
    [
        (4, 2, {0: 1}), (4, 2, {1: 0}), (4, 2, {0: 1, 1: 0}), (3, 1, {0: 0}), (1, 0, {0: 1}),
        (2, 0, {0: 0, 1: 0}), (6, 3, {0: 0, 1: 0, 2: 1}), (5, 0, {1: 0, 2: 0}),
    ],
)  # fmt: skip
def test_who_has_lost_its_device_hands_its_chunks_over(
    size: int, segmenters: int, fails: dict[int, int], parts: dict[int, int], in_thread: bool
) -> None:
    results = run_threads(
        size,
        lambda world: job(world, segmenters, in_thread=in_thread, parts=parts, fails=fails),
    )
    assert {r["reason"] for r in results} == {None}
    assert Counter(i for r in results for i in r["segmented"]) == Counter(range(IMAGES))
    assert Counter(lo for r in results for lo in r["held"]) == Counter(BOUNDS[:-1])
    assert Counter(row for r in results for row in r["written"]) == Counter(range(IMAGES))
    able = [k for k, r in enumerate(results) if Role.SEGMENTER in r["roles"][k]]
    if set(able) - set(fails):
        # A device is left: nobody else segments.
        assert {r["went_on"] for r in results} == {0}
        assert all(not r["segmented"] for k, r in enumerate(results) if k not in able)
        for rank, calls in fails.items():
            assert len({i for i in results[rank]["segmented"] if i in BOUNDS}) <= calls
    else:
        # Who hears of it late hears that all is done, by others if there are any.
        went_on = {k for k, r in enumerate(results) if r["went_on"]}
        assert went_on <= set(fails)
        assert went_on or len(fails) < size


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("segmenters", [0, 2])
def test_a_stop_flag_ends_the_pass_amid_shared_parts(segmenters: int, in_thread: bool) -> None:
    results = run_threads(
        4,
        lambda world: job(world, segmenters, in_thread=in_thread, parts={0: 400}, stop_part=9),
    )
    assert {r["reason"] for r in results} == {"signal SIGTERM"}


@pytest.mark.parametrize("in_thread", [True, False])
@pytest.mark.parametrize("size", [1, 3])
def test_a_table_without_rows_is_over_at_once(size: int, in_thread: bool) -> None:
    def empty(world):
        roles, _ = assign_roles([Sight("n")] * size, 0)
        links = world.link(Port.MANAGER), world.link(Port.WORKER)
        desk = Desk(world.rank, roles, *links, Timers(), StopFlag(), MemoryAccount(0))
        thread = None
        if world.rank == 0:
            manager = Manager(*links, size, RowOffice(Ledger([0, 0]), size, pytest.fail))
            if in_thread:
                thread = GuardedThread(world, manager.run, "manager")
                thread.start()
            else:
                desk.serve = manager.serve
        reason = second_pass(desk, [], pytest.fail, pytest.fail, pytest.fail, pytest.fail)
        if thread is not None:
            thread.join()
        return reason

    assert run_threads(size, empty) == [None] * size


def test_rank_0_can_serve_between_batches() -> None:
    results = run_threads(3, lambda world: job(world, 1, in_thread=False))
    assert Counter(i for r in results for i in r["segmented"]) == Counter(range(IMAGES))


def test_a_world_of_one_needs_no_thread() -> None:
    result = job(Alone(), 0, in_thread=False)
    assert sorted(result["segmented"]) == list(range(IMAGES))


@pytest.mark.parametrize("segmenters", [0, 1])
def test_a_stop_flag_on_one_rank_ends_the_pass_on_all(segmenters: int) -> None:
    results = run_threads(3, lambda world: job(world, segmenters, stop_at=6))
    assert {r["reason"] for r in results} == {"signal SIGTERM"}


def test_an_error_on_one_rank_ends_all_and_names_the_rank() -> None:
    def broken(world: ThreadWorld):
        if world.rank == 1:
            raise ValueError("disk on fire")
        world.barrier()

    with pytest.raises(RuntimeError, match=r"rank \d+: [\s\S]*"):
        run_threads(3, broken)
    assert threading.active_count() < 50


def test_messages_of_an_earlier_epoch_are_dropped() -> None:
    from scip_mpi.parallel.inprocess import ThreadLink, _Meeting
    from scip_mpi.parallel.link import Tag

    meeting = _Meeting(2)
    old = ThreadLink(meeting, Port.WORKER, 0, epoch=0)
    new = ThreadLink(meeting, Port.WORKER, 0, epoch=1)
    receiver = ThreadLink(meeting, Port.WORKER, 1, epoch=1)
    old.send(1, Tag.ASSIGN, b"stale")
    new.send(1, Tag.CREDIT, b"fresh")
    message = receiver.poll()
    assert message is not None
    assert (message.tag, bytes(message.body)) == (Tag.CREDIT, b"fresh")
    assert receiver.poll() is None
