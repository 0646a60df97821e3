from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scip_mpi.chunks import cut


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
