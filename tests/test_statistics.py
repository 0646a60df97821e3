"""Exact statistics against rational arithmetic, and the same bits for any partition."""

from __future__ import annotations

import math
import statistics as standard
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.statistics import (
    carry,
    count_finite,
    exact_sum,
    exact_sum_of_squares,
    mean_std,
    quantiles,
    to_fraction,
)

finite = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True)
# Values that cancel, lie far apart, or stand at the ends of the format.
SMALL = [0.0, -0.0, 5e-324, -5e-324, 2.2250738585072014e-308, 2.0**-537]
LARGE = [1e308, -1e308, 1.7976931348623157e308, 2.0**511 + 2.0**459]
COMMON = [1.0, -1.0, 1 + 2**-52, 2.0**53, -(2.0**53), 1e16, 3.0, 0.1]
extremes = st.sampled_from([*SMALL, *LARGE, *COMMON])
values_lists = st.lists(finite | extremes, max_size=40)
fast = settings(deadline=None, max_examples=150)


def identity(array: np.ndarray) -> np.ndarray:
    return array


def one_group(x: np.ndarray) -> np.ndarray:
    return np.zeros(len(x), np.int32)


def moments(x: np.ndarray) -> tuple[float, float]:
    g = one_group(x)
    return mean_std(len(x), exact_sum(x, g, 1)[0], exact_sum_of_squares(x, g, 1)[0])


@fast
@given(values_lists)
@example([5e-324] * 3)
@example([1.5e-323, 1e-310])
@example([1.7976931348623157e308] * 5)
@example([1e308, 1.0, -1e308])
def test_sums_are_exact(values: list[float]) -> None:
    x = np.array(values, np.float64)
    total = to_fraction(exact_sum(x, one_group(x), 1)[0])
    squares = to_fraction(exact_sum_of_squares(x, one_group(x), 1)[0])
    assert total == sum((Fraction(v) for v in values), Fraction(0))
    assert squares == sum((Fraction(v) ** 2 for v in values), Fraction(0))


@fast
@given(values_lists, st.randoms(use_true_random=False), st.integers(1, 5))
def test_any_order_and_partition_gives_the_same_limbs(
    values: list[float], random, ranks: int
) -> None:
    x = np.array(values, np.float64)
    groups = np.arange(len(x)) % 3
    order = list(range(len(x)))
    random.shuffle(order)
    for add_up in (exact_sum, exact_sum_of_squares):
        parts = [add_up(x[order[r::ranks]], groups[order[r::ranks]], 3) for r in range(ranks)]
        assert np.array_equal(carry(np.sum(parts, axis=0)), add_up(x, groups, 3))


def test_groups_are_kept_apart() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal(3000) * 10.0 ** rng.integers(-200, 200, 3000)
    groups = rng.integers(0, 7, 3000).astype(np.int32)
    groups[groups == 4] = 5  # a group without values
    limbs, squares = exact_sum(x, groups, 7), exact_sum_of_squares(x, groups, 7)
    for g in range(7):
        mine = [Fraction(v) for v in x[groups == g]]
        assert to_fraction(limbs[g]) == sum(mine, Fraction(0))
        assert to_fraction(squares[g]) == sum((v * v for v in mine), Fraction(0))


def test_more_values_than_a_limb_holds_without_carrying() -> None:
    top = np.nextafter(2.0, 0)  # the widest pieces
    x = np.full(1_000_000, top)
    g = one_group(x)
    assert to_fraction(exact_sum(x, g, 1)[0]) == 1_000_000 * Fraction(top)
    assert to_fraction(exact_sum_of_squares(x, g, 1)[0]) == 1_000_000 * Fraction(top) ** 2
    # A thousand million values, added as ranks add them.
    limbs = exact_sum(-x, g, 1) * 1000
    assert to_fraction(carry(limbs)[0]) == -1_000_000_000 * Fraction(top)


def test_nan_and_infinity_are_left_out() -> None:
    x = np.array([1.0, np.nan, np.inf, 3.0, -np.inf, 5.0])
    groups = np.array([0, 0, 1, 1, 1, 0])
    assert count_finite(x, groups, 2, identity).tolist() == [2, 1]
    assert [to_fraction(s) for s in exact_sum(x, groups, 2)] == [6, 3]
    assert [to_fraction(s) for s in exact_sum_of_squares(x, groups, 2)] == [26, 9]


@fast
@given(st.lists(finite | extremes, min_size=1, max_size=30))
@example([5e-324, 0.0])
@example([0.0, 0.0, 0.0, 2.2250738585072014e-308])
@example([5e-324] * 7 + [0.0])
@example([1e16, 1e16 + 2])
@example([0.1] * 10)
@example([1.7976931348623157e308, -1.7976931348623157e308])
def test_mean_and_std_are_rounded_once(values: list[float]) -> None:
    mean, std = moments(np.array(values))
    exact = [Fraction(v) for v in values]
    centre = sum(exact) / len(exact)
    variance = sum((v - centre) ** 2 for v in exact) / len(exact)
    assert mean == float(centre)
    # The nearest double: the exact root lies between the midpoints to its neighbours.
    found, below, above = Fraction(std), math.nextafter(std, 0), math.nextafter(std, math.inf)
    assert std == 0 or ((found + Fraction(below)) / 2) ** 2 <= variance
    step = Fraction(above) - found if above != math.inf else found - Fraction(below)
    assert variance <= (found + step / 2) ** 2


def test_std_agrees_with_the_standard_library() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        x = rng.standard_normal(rng.integers(1, 200)) * 10.0 ** rng.integers(-30, 30) + 1
        mean, std = moments(x)
        assert mean == float(sum(map(Fraction, x)) / len(x))
        assert std == standard.pstdev([Fraction(v) for v in x])


def test_a_group_without_values_has_no_mean() -> None:
    none = np.empty(0)
    limbs = exact_sum(none, none.astype(np.int32), 1)[0]
    assert np.isnan(mean_std(0, limbs, limbs)).all()


FRACTIONS = (0.0, 0.01, 0.25, 1 / 3, 0.5, 0.75, 0.99, 1.0)
moderate = st.floats(-1e300, 1e300, allow_subnormal=True)


@fast
@given(st.lists(moderate | st.sampled_from([0.0, -0.0, 1.0, 5e-324, -5e-324]), min_size=1))
def test_quantiles_are_numpys(values: list[float]) -> None:
    x = np.array(values)
    found = quantiles(x, one_group(x), 1, FRACTIONS, identity)
    assert np.array_equal(found[0], np.quantile(x, FRACTIONS))


@fast
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=20))
def test_the_ends_of_what_is_finite(values: list[float]) -> None:
    x = np.array(values, np.float64)
    good = x[np.isfinite(x)]
    good = good[np.abs(good) < 1e300]
    x = np.concatenate([good, x[~np.isfinite(x)]])
    low, high = quantiles(x, one_group(x), 1, (0.0, 1.0), identity)[0]
    if len(good):
        assert (low, high) == (good.min(), good.max())
    else:
        assert np.isnan([low, high]).all()


@pytest.mark.parametrize("size", [1, 2, 4])
def test_quantiles_per_group_and_partition(size: int) -> None:
    """Ranks as threads that add their histograms, the last of them without a value."""
    rng = np.random.default_rng(5)
    x = np.round(rng.standard_normal(5000) * 100) / 10  # many ties
    x[::97] = np.nan
    groups = rng.integers(0, 5, len(x)).astype(np.int32)
    groups[groups == 3] = 2
    whole = quantiles(x, groups, 5, FRACTIONS, identity)
    for g in range(5):
        mine = x[(groups == g) & np.isfinite(x)]
        if len(mine):
            assert np.array_equal(whole[g], np.quantile(mine, FRACTIONS))
        else:
            assert np.isnan(whole[g]).all()
    owner = rng.integers(0, max(size - 1, 1), len(x))

    def work(world) -> tuple[bytes, int]:
        calls = []

        def allreduce(array: np.ndarray) -> np.ndarray:
            assert array.dtype == np.int64
            calls.append(array.shape)
            return world.allreduce(array)

        mine = owner == world.rank
        return quantiles(x[mine], groups[mine], 5, FRACTIONS, allreduce).tobytes(), len(calls)

    done = run_threads(size, work)
    assert {bits for bits, _ in done} == {whole.tobytes()}
    assert len({calls for _, calls in done}) == 1


def test_huge_gaps_between_neighbours_do_not_overflow() -> None:
    x = np.array([-1.7e308, 1.7e308])
    low, middle = quantiles(x, one_group(x), 1, (0.25, 0.5), identity)[0]
    assert low == pytest.approx(-0.85e308, rel=1e-15)
    assert middle == 0
