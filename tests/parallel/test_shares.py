"""How many feature ranks a GPU keeps busy."""

from __future__ import annotations

import pytest

from scip_mpi.parallel.shares import best, shares


def test_feature_ranks_are_added_while_each_is_worth_it() -> None:
    found = shares(gpu=1e-3, hold=1e-4, read=1e-3, row=10e-3)
    assert found[0].first == pytest.approx(2e-3)
    assert found[0].second == pytest.approx(5e-3)
    chosen = best(found, least=0.05)
    assert chosen.gain >= 0.05
    assert found[chosen.features].gain < 0.05


def test_one_rank_is_enough_where_features_are_cheap() -> None:
    assert best(shares(gpu=1.0, hold=1e-4, read=0.0, row=1e-4)).features == 1
    # Where segmenting and reading cost next to nothing, each rank is worth its place.
    many = shares(gpu=1e-9, hold=1e-9, read=0.0, row=1.0)
    assert best(many, least=0.01) == many[-1]
