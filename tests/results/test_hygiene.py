"""Missing and constant columns, over any number of ranks."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.results.hygiene import ColumnCheck

VALUES = st.sampled_from([0.0, -0.0, 1.0, -1.0, 3e38, -3e38, 1e-45, np.nan, np.inf, -np.inf])


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.integers(1, 5)), elements=VALUES),
    st.sampled_from([1, 2, 3]),
)
def test_counts_are_pandas_like(rows: np.ndarray, ranks: int) -> None:
    def one(world):
        check = ColumnCheck(rows.shape[1])
        for row in rows[world.rank :: world.size]:
            check.add(row[np.newaxis])
        return check.over_all(world.allreduce, world.allmax)

    for missing, constant in run_threads(ranks, one):
        for j, column in enumerate(rows.T):
            present = column[~np.isnan(column)]
            assert missing[j] == np.isnan(column).sum()
            assert constant[j] == (len(np.unique(present)) <= 1)
