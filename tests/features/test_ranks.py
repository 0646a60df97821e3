"""Order and ranks against NumPy's and SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from scip_mpi.features.ranks import ascending, dense_ranks


@pytest.mark.parametrize("n", [1, 2, 3, 17, 500])
@pytest.mark.parametrize("kind", ["few", "narrow", "wide", "any"])
def test_order_and_ranks(n: int, kind: str) -> None:
    rng = np.random.default_rng(n)
    top = {"few": 3, "narrow": 200, "wide": 65536, "any": 30}[kind]
    values = rng.integers(0, top, n).astype(float)
    if kind == "any":
        values = np.where(rng.random(n) < 0.1, -0.0, values * 0.37 - 4)
    low, high, exact = values.min(), values.max(), kind != "any"
    order = ascending(values, low, high, exact, *np.empty((2, n), np.int64))
    assert np.array_equal(order[:n], np.argsort(values, kind="stable"))
    ranks = np.empty(n)
    largest = dense_ranks(values, low, high, exact, *np.empty((2, n), np.int64), ranks)
    assert np.array_equal(ranks, stats.rankdata(values, method="dense") - 1)
    assert largest == ranks.max()
