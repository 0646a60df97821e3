"""Tallies and the statistics taken from them, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from scip_mpi.features.order_statistics import MAD, N_STATISTICS, some_statistics
from scip_mpi.features.tally import (
    LANES,
    WIDEST,
    add_value,
    tally_both,
    tally_plane,
    tally_whole,
    whole_range,
)

WHOLE = st.one_of(
    st.lists(st.integers(0, 65535), min_size=1, max_size=60),
    st.lists(st.integers(1000, 1040), min_size=1, max_size=60),
    st.integers(0, 65535).map(lambda v: [v] * 7),
    st.just([0, 65535]),
)


def room(n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    return np.empty(n + 1), np.empty(n + 1, np.int64)


@settings(max_examples=200, deadline=None)
@given(WHOLE, st.sampled_from(["uint16", "int16", "int8"]))
def test_every_way_to_tally_whole_numbers_is_numpys_unique(drawn: list[int], dtype: str) -> None:
    flat = np.array(drawn).astype(dtype)
    expected = np.unique(flat, return_counts=True)
    low, high, total = whole_range(flat)
    assert (low, high, total) == (flat.min(), flat.max(), flat.sum(dtype=np.int64))
    values, times = room(flat.size)
    found = flat.astype(np.int32)
    m = tally_whole(found, flat.size, np.empty_like(found), values, times)
    assert np.array_equal(values[:m], expected[0])
    assert np.array_equal(times[:m], expected[1])
    if high - low >= WIDEST:
        return
    counts = np.zeros(LANES * WIDEST, np.uint32)
    m = tally_plane(flat, low, high, counts, values, times)
    assert np.array_equal(values[:m], expected[0])
    assert np.array_equal(times[:m], expected[1])
    assert not counts.any()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(5, 30), st.booleans()), min_size=1, max_size=40))
def test_a_mask_and_its_rim_are_tallied_together(drawn: list[tuple[int, bool]]) -> None:
    numbers = np.array([v for v, _ in drawn])
    at_edge = np.array([e for _, e in drawn])
    counts = np.zeros(2 * WIDEST, np.uint32)
    np.add.at(counts, 2 * (numbers - 5) + at_edge, 1)
    (values, times), (edge_values, edge_times) = room(numbers.size), room(numbers.size)
    m, e = tally_both(counts, 26, 5, values, times, edge_values, edge_times)
    for found, some in (((values[:m], times[:m]), numbers),
                        ((edge_values[:e], edge_times[:e]), numbers[at_edge])):  # fmt: skip
        expected = np.unique(some, return_counts=True)
        assert np.array_equal(found[0], expected[0])
        assert np.array_equal(found[1], expected[1])
    assert not counts.any()


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(st.sampled_from([-7.5, 0.0, 1.0, 65535.0]), st.floats(-1e6, 1e6, width=32)),
        min_size=1,
        max_size=50,
    )
)
def test_median_quartiles_and_mad_are_numpys(drawn: list[float]) -> None:
    ascending = np.sort(np.array(drawn))
    values, times = room(ascending.size)
    m = 0
    for value in ascending:
        m = add_value(value, m, values, times)
    out = np.empty(N_STATISTICS)
    upto = np.empty(ascending.size, np.int64)
    some_statistics(values, times, m, upto, ascending.sum(), True, True, out)
    median = np.median(ascending)
    expected = [
        ascending.mean(), median, ascending[-1], ascending[0], ascending.std(),
        np.median(np.abs(ascending - median)), *np.percentile(ascending, [25, 75]),
        ascending.sum(),
    ]  # fmt: skip
    size = np.abs(ascending).max()
    assert out[:9] == pytest.approx(expected, rel=1e-12, abs=1e-13 * size + 1e-300)
    assert upto[m - 1] == ascending.size
    assert out[MAD] >= 0.0
