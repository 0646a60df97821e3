from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scip_mpi.timers import BINS, FIRST_BIN, SAMPLES, Samples, Timeline, Timers

intervals = st.lists(
    st.tuples(st.sampled_from(["read", "write"]), st.floats(0, 50), st.floats(0, 20)), max_size=20
)


@given(intervals)
def test_no_time_is_lost_however_long_the_run(given: list[tuple[str, float, float]]) -> None:
    timeline = Timeline(0.0, _origin=0.0)
    for stage, begun, seconds in given:
        timeline.add(stage, begun, begun + seconds)
    for stage in {s for s, _, _ in given}:
        spent = sum(seconds for s, _, seconds in given if s == stage)
        assert sum(timeline.stages[stage]) == pytest.approx(spent, abs=1e-6)
        assert len(timeline.stages[stage]) == BINS


def test_an_interval_lies_in_its_bins() -> None:
    timeline = Timeline(0.0, _origin=0.0)
    timeline.add("read", 1.5 * FIRST_BIN, 3.25 * FIRST_BIN)
    told = timeline.summary()
    assert told["bin_s"] == FIRST_BIN
    shares = [s / FIRST_BIN for s in told["stages"]["read"]]
    assert shares == pytest.approx([0, 0.5, 1, 0.25])
    # Twice as long a run has bins of twice the width.
    timeline.add("read", BINS * FIRST_BIN, BINS * FIRST_BIN)
    assert timeline.width == 2 * FIRST_BIN
    shares = [s / FIRST_BIN for s in timeline.summary()["stages"]["read"]]
    assert shares == pytest.approx([0.5, 1.25])


def test_samples_stay_few_and_spread_over_all() -> None:
    samples = Samples()
    for k in range(10 * SAMPLES):
        samples.add(k, 0.5)
    sizes = [size for size, _ in samples.items]
    assert SAMPLES / 2 <= len(sizes) <= SAMPLES
    assert sizes == list(range(0, 10 * SAMPLES, samples.every))


def test_stages_and_waiting_are_counted() -> None:
    timers = Timers()
    with timers.stage("read"), timers.piece("chunks", 7):
        sum(range(10_000))
    timers.wait(0.125)
    assert timers.wall["wait"] == pytest.approx(0.125, abs=0.01)
    assert timers.wall["read"] >= timers.cpu["read"] * 0.5 > 0
    assert timers.busy()["wall_s"] == round(timers.wall["read"], 4)
    assert timers.costs["chunks"].items[0][0] == 7
    assert set(timers.timeline.stages) == {"read", "wait"}
