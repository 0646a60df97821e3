"""Filter rules against scipy and numpy, for any partition of the objects."""

from __future__ import annotations

import inspect
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation, norm

from scip_mpi import filters, registry
from scip_mpi.errors import UserError
from scip_mpi.parallel.inprocess import run_threads


def identity(array: np.ndarray) -> np.ndarray:
    return array


@pytest.fixture
def population() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(1000, 50, 400), rng.normal(20, 5, 300), [np.nan, np.inf]])
    groups = np.repeat([0, 2], [400, 302]).astype(np.int32)  # group 1 has no objects
    return values, groups


RULES = {name: registry.find("filters", name) for name in registry.names("filters")}
ONE = {"threshold": {}, "quantile": {"lower": 0.1, "upper": 0.8}, "mad": {"n_mads": 2}}
ALL = {**ONE, "range": {"lower": 15, "upper": 1010}}


def expected(name: str, x: np.ndarray) -> np.ndarray:
    """The definition, in scipy's and numpy's words."""
    if name == "threshold":
        return ~(x <= norm.ppf(0.05, np.mean(x), np.std(x)))
    if name == "quantile":
        return (x >= np.quantile(x, 0.1)) & (x <= np.quantile(x, 0.8))
    if name == "mad":
        return np.abs(x - np.median(x)) <= 2 * median_abs_deviation(x)
    return (x >= 15) & (x <= 1010)


@pytest.mark.parametrize("name", ALL)
def test_rules_keep_what_their_definition_keeps(
    name: str, population: tuple[np.ndarray, np.ndarray]
) -> None:
    values, groups = population
    found = RULES[name](values, groups, 3, identity, **ALL[name])
    assert found.keep.dtype == bool
    assert found.bounds.shape == (3, 2)
    for g in (0, 2):
        mine = (groups == g) & np.isfinite(values)
        want = expected(name, values[mine])
        assert np.array_equal(found.keep[mine], want)
        assert 0 < want.sum() < len(want)
    if name not in ("range", "threshold"):
        assert np.isnan(found.bounds[1]).all()
    assert not found.keep[~np.isfinite(values)].any()
    assert found.excluded == 2
    told = json.loads(json.dumps(found.description, allow_nan=False))
    assert (told["rule"], told["objects"], told["without_statistic"]) == (name, 702, 2)
    assert told["kept"] == found.keep.sum()


@pytest.mark.parametrize("name", ALL)
def test_one_group_is_decided_as_a_whole(
    name: str, population: tuple[np.ndarray, np.ndarray]
) -> None:
    values = population[0][:-2]
    found = RULES[name](values, np.zeros(700, np.int32), 1, identity, **ALL[name])
    assert np.array_equal(found.keep, expected(name, values))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size", [2, 5])
def test_the_decision_does_not_depend_on_ranks(
    name: str, size: int, population: tuple[np.ndarray, np.ndarray]
) -> None:
    values, groups = population
    rule = RULES[name]
    alone = rule(values, groups, 3, identity, **ALL[name])
    # The last rank has no objects at all.
    owner = np.random.default_rng(0).integers(0, size - 1, len(values))

    def work(world):
        mine = owner == world.rank
        return rule(values[mine], groups[mine], 3, world.allreduce, **ALL[name])

    parts = run_threads(size, work)
    for rank, part in enumerate(parts):
        assert np.array_equal(part.keep, alone.keep[owner == rank])
        assert part.bounds.tobytes() == alone.bounds.tobytes()
        assert part.description == alone.description


@pytest.mark.parametrize("name", ALL)
def test_no_objects_anywhere(name: str) -> None:
    none = np.empty(0)
    found = RULES[name](none, none.astype(np.int32), 2, identity, **ALL[name])
    assert found.keep.shape == (0,)
    assert found.description["kept"] == found.description["objects"] == 0


@pytest.mark.parametrize("name", ONE)
def test_equal_values_are_all_kept(name: str) -> None:
    values = np.full(9, 0.1)
    found = RULES[name](values, np.zeros(9, np.int32), 1, identity, **ALL[name])
    assert found.keep.all()


def test_the_constant_is_scipys() -> None:
    assert norm.ppf(0.05) == pytest.approx(filters.NORMAL_5_PERCENT, rel=1e-15)


@pytest.mark.parametrize("name", ALL)
def test_parameters_are_keywords_with_defaults(name: str) -> None:
    parameters = list(inspect.signature(RULES[name]).parameters.values())
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters[4:])


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("quantile", {"lower": 0.9, "upper": 0.1}, "lower"),
        ("quantile", {"upper": 99}, "upper 99"),
        ("quantile", {"lower": float("nan")}, "nan"),
        ("range", {"lower": 2, "upper": 1}, "lower <= upper"),
        ("mad", {"n_mads": -1}, "n_mads"),
        ("mad", {"n_mads": float("inf")}, "n_mads"),
    ],
)
def test_parameters_that_make_no_sense(name: str, parameters: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        RULES[name](np.ones(3), np.zeros(3, np.int32), 1, identity, **parameters)


def test_values_just_on_the_bounds_are_kept() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        x = np.round(rng.standard_normal(21), 1)
        found = RULES["mad"](x, np.zeros(21, np.int32), 1, identity, n_mads=2)
        assert np.array_equal(found.keep, expected("mad", x))


ANY = st.one_of(
    st.floats(width=64),
    st.sampled_from([0.0, -0.0, 1e308, -1e308, 5e-324, np.nan, np.inf, -np.inf]),
)


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(RULES)),
    st.lists(st.tuples(ANY, ANY, st.integers(0, 2)), max_size=12),
)
def test_any_values_are_decided(name: str, objects: list[tuple[float, float, int]]) -> None:
    table = np.array([o[:2] for o in objects], np.float64).reshape(-1, 2)
    groups = np.array([o[2] for o in objects], np.int32)
    with np.errstate(all="ignore"):
        if name == "polygon":
            corners = [(-1.0, -1.0), (1.0, -1.0), (0.0, 1e9)]
            found = RULES[name](table, groups, 3, identity, points=corners)
            finite = np.isfinite(table).all(axis=1)
        else:
            found = RULES[name](table[:, 0], groups, 3, identity, **ALL[name])
            finite = np.isfinite(table[:, 0])
    assert found.keep.shape == (len(objects),)
    assert found.keep.dtype == bool
    assert not found.keep[~finite].any()
    assert found.description["kept"] == found.keep.sum()
    assert found.excluded == (~finite).sum()
    json.dumps(found.description, allow_nan=False)
