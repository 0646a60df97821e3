"""Who is dead, cut off or hangs is noticed; who only takes long, sleeps or is slow is not."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pytest

from scip_mpi.loaders.contract import References
from scip_mpi.loaders.gather import gather
from scip_mpi.parallel import pulse as pulses
from scip_mpi.parallel import watch as watches
from scip_mpi.parallel.inprocess import ThreadWorld, run_threads
from scip_mpi.parallel.link import Backoff, Port
from scip_mpi.parallel.pulse import Clock, Pulse
from scip_mpi.parallel.watch import Watch, cpu_seconds
from scip_mpi.parallel.world import Alone
from scip_mpi.timers import Timers

REFERENCES = References(
    [("a.tif",), ("b.tif",), ("c.tif",)], np.zeros(3, np.int64), np.arange(7, 10), np.zeros(3, "i4")
)


class Stuck:
    """A call that returns only when it is let go: what a file system that hangs looks like."""

    def __init__(self) -> None:
        self.ends = os.pipe()
        self.reached = threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        os.read(self.ends[0], 1)

    def let_go(self) -> None:
        os.write(self.ends[1], b"!")

    def close(self) -> None:
        for end in self.ends:
            os.close(end)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    with closing(Stuck()) as call:
        yield call


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulses, "APART", 0.05)
    monkeypatch.setattr(pulses, "GRACE", 0.0)
    monkeypatch.setattr(pulses, "TURN", 0.5)


def read(call: Stuck) -> None:
    """As a loader does, with the second image on a file system that hangs."""

    def decode(sources: tuple[str, ...], *_: object) -> np.ndarray:
        if sources == ("b.tif",):
            call()
        return np.ones((1, 2, 2), np.uint16)

    gather(REFERENCES, decode, None, np.dtype(np.uint16))


def until_ended(world: ThreadWorld) -> None:
    while not world.meeting.barrier.broken:
        time.sleep(0.01)


def watched(stuck: Stuck, look: object) -> None:
    """Look at a thread that hangs in a stage, by ``look(watch)``."""
    made: list[Watch] = []

    def work() -> None:
        timers = Timers()
        made.append(Watch(Alone(), timers, stall=60))
        with timers.stage("read"):
            read(stuck)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert stuck.reached.wait(60)
        look(made[0])  # type: ignore[operator]
    finally:
        stuck.let_go()
        thread.join()


def test_what_is_said_of_a_rank_that_hangs(stuck: Stuck) -> None:
    def look(watch: Watch) -> None:
        assert watch.look(1) is None
        assert watch.look(0) is None
        assert watch.look(60) is None
        said = watch.look(1)
        assert said is not None
        assert said.startswith("for 61 s it has done nothing, in stage read, at image 8 (b.tif) [")
        assert "decode" not in said  # but the innermost function
        assert watch.idle == 0

    watched(stuck, look)


def test_who_takes_another_step_does_not_hang(stuck: Stuck) -> None:
    def look(watch: Watch) -> None:
        watch.look(0)
        for _ in range(10):
            assert watch.look(50) is None
            watch.timers.steps += 1

    watched(stuck, look)


def test_who_computes_is_given_longer(stuck: Stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    # 1.2 % of a processor, as a rank may have that shares 2 cores with many others.
    passed = [0.0]
    monkeypatch.setattr(watches, "cpu_seconds", lambda _: 0.012 * passed[0])

    def look(watch: Watch) -> None:
        watch.look(0)
        for _ in range(10):
            passed[0] += 60
            assert watch.look(60) is None
        passed[0] += 1
        said = watch.look(1)
        assert said is not None
        assert said.startswith("for 601 s it has computed without getting on")

    watched(stuck, look)


def test_without_a_limit_nobody_hangs(stuck: Stuck) -> None:
    def look(watch: Watch) -> None:
        watch.stall = None
        assert watch.look(0) is None
        assert watch.look(1e9) is None

    watched(stuck, look)


def test_who_waits_for_others_does_not_hang() -> None:
    over = threading.Event()
    made: list[Watch] = []

    def work() -> None:
        made.append(Watch(Alone(), Timers(), stall=60))
        while not over.is_set():
            Backoff(shortest=0.01, longest=60).wait()
        Backoff(longest=1).wait()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        while not made:
            time.sleep(0.01)
        made[0].look(0)
        assert made[0].look(1000) is None
        assert made[0].look(1000) is None
    finally:
        over.set()
        thread.join()


def test_processor_time_is_that_of_one_thread() -> None:
    mine = threading.get_native_id()
    before = cpu_seconds(mine)
    while cpu_seconds(mine) < before + 0.05:
        sum(range(1000))
    assert cpu_seconds(0) == 0


def test_time_in_which_a_process_did_not_run_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = iter([100.0, 101.0, 103.0, 9000.0, 9001.0])
    monkeypatch.setattr(pulses.time, "monotonic", lambda: next(now))
    clock = Clock(longest=4)
    assert [clock.advance() for _ in range(4)] == [1, 2, 4, 1]
    assert clock.now == 8


def test_many_ranks_are_heard_of_less_often() -> None:
    world = Alone()
    assert Pulse(world).silence == pulses.SILENCE
    world.size = 1024
    assert Pulse(world).apart == pytest.approx(1024 / pulses.A_SECOND)
    assert Pulse(world).silence == pulses.SILENCE
    world.size = 100_000
    assert Pulse(world).silence == pulses.LATE * Pulse(world).apart


def test_a_rank_that_hangs_ends_the_job(stuck: Stuck, capsys: pytest.CaptureFixture[str]) -> None:
    def job(world: ThreadWorld) -> None:
        end = world.abort

        def abort(code: int) -> None:
            end(code)
            stuck.let_go()

        world.abort = abort  # type: ignore[method-assign]
        with Pulse(world) as pulse:
            timers = Timers()
            pulse.follow(timers, 1.0)
            if world.rank == 1:
                with timers.stage("read"):
                    read(stuck)
            world.barrier()

    with pytest.raises(RuntimeError, match="BrokenBarrierError"):
        run_threads(3, job)
    said = capsys.readouterr().err
    assert said.count("scip_mpi: ") == 1
    assert "rank 1 on threads hangs: for " in said
    assert " s it has done nothing, in stage read, at image 8 (b.tif) [" in said


@pytest.mark.parametrize("lost", [0, 2])
def test_a_rank_that_is_not_heard_of_ends_the_job(
    lost: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def job(world: ThreadWorld) -> None:
        if world.rank == lost:
            until_ended(world)
            return
        with Pulse(world, silence=1.0):
            world.barrier()

    with pytest.raises(RuntimeError, match="BrokenBarrierError"):
        run_threads(3, job)
    said = capsys.readouterr().err
    assert said.count("scip_mpi: ") == 1
    assert f"nothing was heard of rank {lost} for " in said


def test_ranks_that_all_wait_for_each_other_end_the_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def job(world: ThreadWorld) -> None:
        with Pulse(world) as pulse:
            pulse.follow(Timers(), 1.0)
            link = world.link(Port.WORKER)
            while link.poll() is None:
                Backoff(shortest=0.05).wait()

    with pytest.raises(RuntimeError, match="BrokenBarrierError"):
        run_threads(2, job)
    assert "all ranks have waited for each other for " in capsys.readouterr().err


def test_nobody_is_lost_in_a_job_that_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    def job(world: ThreadWorld) -> int:
        with Pulse(world, silence=20.0) as pulse:
            timers = Timers()
            pulse.follow(timers, 2.0)
            for _ in range(40):
                with timers.stage("read"):
                    time.sleep(0.1)
            world.barrier()
        return world.rank

    assert run_threads(3, job) == [0, 1, 2]
    assert capsys.readouterr().err == ""
