from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi.chunks import cut, shrinking


@given(st.lists(st.integers(1, 1000), max_size=60), st.integers(1, 3000))
def test_every_item_is_in_one_run_of_about_the_target(costs: list[int], target: int) -> None:
    bounds = cut(np.array(costs, np.int64), target)
    assert bounds[0] == 0
    assert bounds[-1] == len(costs)
    assert (np.diff(bounds) > 0).all()
    for lo, hi in pairwise(bounds):
        # Without its first item, which may be dear, a run is always below the target.
        assert sum(costs[lo + 1 : hi]) < target


def test_equal_costs_make_equal_runs() -> None:
    assert cut(np.ones(10, np.int64), 4).tolist() == [0, 4, 8, 10]
    assert cut(np.zeros(0, np.int64), 4).tolist() == [0]


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 1000), max_size=60), st.integers(1, 9), st.integers(1, 500),
    st.integers(0, 2000),
)  # fmt: skip
def test_shrinking_runs_hold_every_item_once(
    costs: list[int], share: int, least: int, more: int
) -> None:
    bounds = shrinking(np.array(costs, np.int64), share, least, least + more)
    assert bounds[0] == 0
    assert bounds[-1] == len(costs)
    assert (np.diff(bounds) > 0).all()
    for lo, hi in pairwise(bounds):
        # Half of an item on either side may be too much or too little.
        assert sum(costs[lo:hi]) <= max(least + more, least) + max(costs[lo:hi])


def test_runs_shrink_towards_the_end() -> None:
    sizes = np.diff(shrinking(np.ones(1000, np.int64), share=4, least=5, most=100))
    assert sizes.max() == sizes[0] == 100
    assert (np.diff(sizes[:-1]) <= 0).all()
    assert sizes[-2] == 5
    assert sizes[-1] <= 5
    # What is left when a run begins is always four times as long, so four workers end together.
    left = 1000 - np.concatenate([[0], np.cumsum(sizes)[:-1]])
    assert (sizes <= np.maximum(left / 4, 5)).all()


@pytest.mark.parametrize("place", [0, 5, 40, 99])
def test_a_dear_item_is_a_run_of_its_own(place: int) -> None:
    costs = np.ones(100, np.int64)
    costs[place] = 1000
    bounds = shrinking(costs, share=8, least=10, most=50)
    runs = [list(range(lo, hi)) for lo, hi in pairwise(bounds.tolist())]
    assert [place] in runs
