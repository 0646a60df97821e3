"""The simulated run against closed forms: where the answer is known, the simulation gives it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.model.job import Fixed, books_of, chunk_sizes, cut_runs, predict, rows_of_a_run
from bench.model.machine import Machine, Waiting, collective, from_probes
from bench.model.passes import Books, Runs, first_pass, second_pass
from bench.model.scenario import Scenario, read
from bench.model.work import Pieces, Work, from_run, pieces
from scip_mpi import plan
from scip_mpi.chunks import shrinking
from scip_mpi.parallel import link
from scip_mpi.parallel.link import Backoff
from scip_mpi.passes import SWITCHING

FREE = Machine(0, 0, 0, 0, 0, 0, 0, 0, 0)
# Ranks that sleep look up this much later at most.
LATE = Backoff.longest


def test_one_rank_takes_the_sum_of_its_work() -> None:
    costs = [0.3, 0.1, 0.7, 0.2]
    one = first_pass(FREE, [0.0], costs, [1] * 4)
    assert one.ends[0] == pytest.approx(sum(costs))
    assert one.holder.tolist() == [0] * 4
    two = second_pass(FREE, [0.0], [Runs(costs, [5] * 4, [0] * 4)], 0)
    assert two.ends[0] == pytest.approx(sum(costs))
    assert two.moved == 0


def test_the_manager_of_one_rank_takes_its_time_from_it() -> None:
    machine = Machine(0, 0, assign=0.01, assign_image=0.001, report=0.002, nap=0)
    one = first_pass(machine, [0.0], [1.0] * 5, [3] * 5)
    served = 5 * (0.01 + 3 * 0.001) + 5 * 0.002
    assert one.manager == pytest.approx(served + machine.send)
    # The first two chunks are assigned before anything runs; what is served afterwards is stolen.
    assert 5 < one.ends[0] <= 5 + one.manager + 1e-9


@given(st.integers(2, 40), st.integers(1, 200))
def test_equal_chunks_without_latency_take_the_ceiling(ranks: int, chunks: int) -> None:
    one = first_pass(FREE, [0.0] * ranks, [1.0] * chunks, [1] * chunks)
    ideal = math.ceil(chunks / ranks)
    # A rank holds two chunks, so one may wait behind another while a third rank has none.
    assert ideal <= one.last.max() <= ideal + 1 + 20 * LATE
    assert one.ends.max() <= one.last.max() + 2 * LATE
    assert one.busy.sum() == pytest.approx(chunks)
    assert np.bincount(one.holder, minlength=ranks).sum() == chunks


def test_many_equal_chunks_take_the_ceiling_exactly() -> None:
    one = first_pass(FREE, [0.0] * 8, [1.0] * 80, [1] * 80)
    assert one.last.max() == pytest.approx(10, abs=20 * LATE)


def test_the_critical_path_of_a_chunk_is_assigned_worked_reported_and_ended() -> None:
    machine = Machine(latency=0.5, per_byte=0, assign=0.25, assign_image=0, report=0.125, nap=0,
                      send=0.0)  # fmt: skip
    one = first_pass(machine, [0.0, 100.0], [10.0], [1])
    # ASSIGN there, the work, MEASURED back, FINISH there; sleepers look up later.
    path = 0.25 + 0.5 + 10 + 0.5 + 0.125 + 0.5
    assert path <= one.ends[0] <= path + 4 * LATE + machine.report
    assert one.ends[1] == pytest.approx(100, abs=1e-9)


def test_hand_over_evens_out_a_skewed_second_pass() -> None:
    own = [Runs([0.1] * 100, [10] * 100, [0] * 100), *(Runs([], [], []) for _ in range(3))]
    two = second_pass(FREE, [0.0] * 4, own, 0)
    assert two.busy.sum() == pytest.approx(10)
    assert two.last.max() == pytest.approx(2.5, abs=0.25)
    assert two.moved == pytest.approx(75, abs=3)
    alone = second_pass(FREE, [0.0], own[:1], 0)
    assert alone.last.max() == pytest.approx(10)


def test_a_table_without_rows_ends_at_once() -> None:
    two = second_pass(FREE, [1.0, 1.0], [Runs([], [], [])] * 2, 0)
    assert two.ends.max() <= 1 + LATE


def test_the_manager_bounds_the_pass_when_it_is_slower_than_the_ranks() -> None:
    machine = Machine(0, 0, assign=0.01, assign_image=0, report=0.01, nap=0, send=0)
    one = first_pass(machine, [0.0] * 50, [0.1] * 1000, [1] * 1000)
    assert one.manager >= 1000 * 0.02
    assert one.ends.max() >= one.manager


def test_the_clerk_holds_up_the_end_and_shares_rank_0() -> None:
    own = [Runs([0.1] * 10, [1] * 10, [r] * 10) for r in range(4)]
    books = Books([range(4)] * 10, [1.0] * 10, [0.0] * 10, [0.0] * 10)
    two = second_pass(FREE, [0.0] * 4, own, 0, books=books)
    assert two.busy.sum() == pytest.approx(4)
    # Ten seconds of the clerk, half as fast while rank 0 works.
    assert 10 <= two.ends.min() <= 12


def test_manager_and_clerk_take_time_and_python_from_each_other() -> None:
    own = [Runs([], [], []), Runs([0.5] * 10, [1] * 10, [0] * 10)]
    books = Books([[1]], [4.0], [0.0], [0.0])
    machine = Machine(latency=0, per_byte=0, assign=0, assign_image=0, report=0.1, nap=0, send=0)
    two = second_pass(machine, [0.0, 0.0], own, 0, books=books)
    # What the clerk was at when reports came in takes longer, by what was served meanwhile.
    assert 4 + 0.1 * 7 <= two.ends.min() <= 5.5
    assert second_pass(FREE, [0.0, 0.0], own, 0, books=books).ends.min() == pytest.approx(
        5 + SWITCHING, abs=3 * LATE
    )


def test_a_sleeper_looks_up_when_its_pauses_say() -> None:
    waiting = Waiting(3e-5)
    # Pauses of 20, 25, 30, 30, ... us: looks at 20, 45, 75, 105 us.
    assert waiting.until(1.0, 1.0) == 1.0
    assert waiting.until(1.0, 1 + 1e-5) == pytest.approx(1 + 2e-5)
    assert waiting.until(1.0, 1 + 4e-5) == pytest.approx(1 + 4.5e-5)
    assert waiting.until(1.0, 1 + 8e-5) == pytest.approx(1 + 10.5e-5)
    assert Waiting(0.0).until(1.0, 5.0) == 5.0


def test_a_reduction_takes_a_step_for_every_doubling() -> None:
    assert collective(1, 1, FREE) == 0
    times = [collective(p, 1, Machine(latency=1.0, nap=0)) for p in (2, 4, 1024)]
    assert times == pytest.approx([1, 2, 10], rel=0.06)


def test_the_model_sleeps_as_the_program_does(monkeypatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(link.time, "sleep", pauses.append)
    backoff = Backoff()
    for _ in range(40):
        backoff.wait()
    waited = sum(pauses)
    assert Waiting(Backoff.longest).until(0.0, waited - 1e-6) == pytest.approx(waited)


@settings(deadline=None)
@given(st.integers(1, 300_000), st.integers(1, 40))
def test_chunks_are_those_that_the_program_cuts(images: int, ranks: int) -> None:
    pixels = 12 * 64 * 64
    least = plan.LEAST_PIXELS // pixels
    most = min(plan.CHUNK_IMAGES, plan.CHUNK_BYTES // (2 * pixels))
    costs = np.full(images, pixels, np.int64)
    bounds = shrinking(costs, plan.SHARE * ranks, least * pixels, most * pixels)
    assert chunk_sizes(images, ranks, pixels).tolist() == np.diff(bounds).tolist()


def test_the_clerk_asks_only_who_holds_chunks_of_a_block() -> None:
    books = books_of(Fixed(), np.full(100, 250), np.arange(100) % 60)
    assert [len(holders) for holders in books.holders] == [8] * 12 + [4]
    assert books.costs[0] - books.costs[1] == pytest.approx(Fixed.clerk_first)


def test_runs_of_a_chunk_are_reported_together() -> None:
    runs = Runs([1.0] * 48, [1] * 48, [0] * 24 + [1] * 24)
    two = second_pass(FREE, [0.0, 0.0], [runs, runs], 0)
    # 40 runs of each by eights, 8 one by one, less those that change hands; some ask.
    assert 2 * (5 + 7) <= two.messages <= 2 * (5 + 8) + 12


def test_rank_0_takes_no_others_rows_while_the_clerk_is_busy() -> None:
    own = [Runs([], [], []), Runs([1.0] * 20, [1] * 20, [0] * 20)]
    books = Books([[1]], [15.0], [0.0], [0.0])
    two = second_pass(FREE, [0.0, 0.0], own, 0, books=books)
    assert two.moved <= 3
    assert second_pass(FREE, [0.0, 0.0], own, 0).moved >= 9


def test_runs_hold_the_rows_of_their_chunks() -> None:
    assert cut_runs(np.array([25, 3, 10]), 10).tolist() == [10, 10, 5, 3, 10]
    assert rows_of_a_run(1e9, 12 * 64 * 64) == 21
    assert rows_of_a_run(1, 12 * 64 * 64) == 1


def test_costs_are_drawn_around_what_was_recorded() -> None:
    recorded = pieces([[10, 1.0], [10, 3.0], [20, 4.0]])
    assert recorded.each == pytest.approx(0.2)
    assert recorded.factors == pytest.approx([0.5, 1.5, 1.0])
    rng = np.random.default_rng(0)
    drawn = recorded.draw([20] * 20_000, rng)
    assert drawn.mean() == pytest.approx(4.0, rel=0.01)
    # Twice the items vary by the square root less.
    assert set(np.round(drawn, 6)) == set(np.round([4, 4 * (1 - 0.5**1.5), 4 * (1 + 0.5**1.5)], 6))


def test_without_records_the_stages_of_run_json_tell_the_costs() -> None:
    stages = {
        name: {"cpu_s": s}
        for name, s in {
            "read": 1.0,
            "segment": 2.0,
            "measure": 1.0,
            "features": 5.0,
            "write": 1.0,
        }.items()
    }
    work = from_run({"images": 100, "rows": 50, "ranks": [{"stages": stages}]})
    assert work.images.each == pytest.approx(0.04)
    assert work.rows.each == pytest.approx(0.12)
    recorded = {"stages": stages, "costs": {"chunks": [[10, 0.5]], "runs": [[5, 0.5], [5, 1.5]]}}
    work = from_run({"images": 100, "rows": 50, "ranks": [recorded]})
    assert work.images.each == pytest.approx(0.05)
    assert work.rows.each == pytest.approx(0.2)


def steady(image: float, row: float) -> Work:
    one = np.ones(1)
    return Work(Pieces(image, one, np.ones(1, np.int64)), Pieces(row, one, np.ones(1, np.int64)))


def test_a_run_of_one_rank_is_its_own_measure() -> None:
    told = predict(Machine(), Fixed(), steady(1e-3, 2e-3), 1, chunk_sizes(2000, 1, 49152), 49152)
    assert told.efficiency == pytest.approx(1, abs=0.01)
    assert told.after == pytest.approx(2000 * 3e-3, rel=0.05)


def test_more_ranks_are_never_better_than_ideal() -> None:
    before = 2.0
    for ranks in (1, 4, 32, 256):
        sizes = chunk_sizes(50_000, ranks, 49152)
        told = predict(Machine(), Fixed(), steady(1e-3, 2e-3), ranks, sizes, 49152)
        assert told.chunks == len(sizes)
        assert told.efficiency <= before + 0.01
        before = told.efficiency


def test_same_seed_same_prediction() -> None:
    work = Work(pieces([[10, 1.0], [10, 3.0]]), pieces([[5, 1.0], [5, 2.0]]))
    sizes = chunk_sizes(1000, 4, 49152)
    first, second = (predict(Machine(), Fixed(), work, 4, sizes, 49152, seed=3) for _ in range(2))
    assert first == second


def test_the_machine_is_what_the_probes_say() -> None:
    rows = {"one way 0 bytes": 1e-6, "one way 4194304 bytes": 1e-6 + 4194304e-9,
            "chunk of 1 images": 5e-5, "chunk of 256 images": 5e-5 + 255e-6,
            "rows reported": 1e-5, "rows found among 2 ranks": 2e-5,
            "rows found among 4096 ranks": 2e-5 + 4094e-9, "send": 3e-6,
            "nap beyond": 6e-5}  # fmt: skip
    machine = from_probes(rows)
    assert machine.one_way(1000) == pytest.approx(2e-6)
    assert machine.assign == pytest.approx(4e-5)
    assert machine.assign_image == pytest.approx(1e-6)
    assert machine.find_rank == pytest.approx(1e-9)


def test_a_scenario_is_read_as_it_was_written(tmp_path) -> None:
    scenario = Scenario([10, 4], [0.5, 0.2], [1.0, 0.4], 3)
    scenario.write(tmp_path / "scenario.json")
    assert read(tmp_path / "scenario.json") == scenario
    runs = scenario.held([1, 0])
    assert runs.rows == [3, 3, 3, 1, 3, 1]
    assert sum(runs.costs) == pytest.approx(1.4)
