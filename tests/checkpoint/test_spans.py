from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scip_mpi.checkpoint.spans import Spans


@given(st.lists(st.integers(0, 60), unique=True), st.integers(0, 60), st.integers(0, 60))
def test_what_is_inside_and_outside(bounds: list[int], lo: int, hi: int) -> None:
    edges = sorted(bounds)
    ranges = list(zip(edges[::2], edges[1::2], strict=False))
    members = {n for start, stop in ranges for n in range(start, stop)}
    spans = Spans(reversed(ranges))
    assert len(spans) == len(members)
    wanted = set(range(lo, hi))
    assert spans.count(lo, max(lo, hi)) == len(wanted & members)
    outside = list(spans.outside(lo, hi))
    assert [n for start, stop in outside for n in range(start, stop)] == sorted(wanted - members)
    assert all(start < stop for start, stop in outside)


def test_of_nothing() -> None:
    assert list(Spans().outside(3, 5)) == [(3, 5)]
    assert len(Spans()) == Spans().count(0, 9) == 0
