"""Rules combined, and polygons, against plain Python and matplotlib's definition of inside."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi import filters
from scip_mpi.errors import UserError
from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.verdict import Combination, Rule, decide, rules_of

BIG = Rule(filters.between, "big", [0], False, {"lower": 0.4})
SMALL = Rule(filters.between, "small", [0], False, {"upper": 0.6})
TYPICAL = Rule(filters.quantile, "typical", [1], True, {"lower": 0.2, "upper": 0.9})
GATE = Rule(filters.polygon, "gate", [0, 1], False, {"points": [(0, 0), (1, 0), (0, 1)]})


def together(*parts: Rule | Combination) -> Combination:
    return Combination("all", parts)


def either(*parts: Rule | Combination) -> Combination:
    return Combination("any", parts)


@pytest.mark.parametrize("ranks", [1, 3])
def test_combinations(ranks: int) -> None:
    rng = np.random.default_rng(0)
    statistics = rng.random((60, 2))
    statistics[7, 0] = np.nan
    statistics[8, 1] = np.nan
    groups = rng.integers(0, 2, 60).astype(np.int32)
    tree = together(either(together(BIG, SMALL), GATE), TYPICAL)

    def one(world):
        mine = slice(world.rank, None, world.size)
        return decide(tree, statistics[mine], groups[mine], 2, world.allreduce)

    found = run_threads(ranks, one)
    keep, broken = np.empty(60, bool), np.empty((60, 4), bool)
    for rank, verdict in enumerate(found):
        keep[rank::ranks], broken[rank::ranks] = verdict.keep, verdict.broken
    x, y = statistics.T
    typical = np.zeros(60, bool)
    for g in (0, 1):
        low, high = np.nanquantile(y[groups == g], [0.2, 0.9])
        typical |= (groups == g) & (y >= low) & (y <= high)
    rules = [x >= 0.4, x <= 0.6, (x + y < 1) & (x >= 0) & (y >= 0), typical]
    np.testing.assert_array_equal(broken, ~np.array(rules).T)
    np.testing.assert_array_equal(keep, ((rules[0] & rules[1]) | rules[2]) & rules[3])
    assert [r.label for r in rules_of(tree)] == ["big", "small", "gate", "typical"]
    told = json.loads(json.dumps(found[0].description, allow_nan=False))
    assert (told["objects"], told["kept"]) == (60, keep.sum())
    assert told["all"][1]["of"] == "typical"
    assert told["all"][0]["any"][1]["rule"] == "polygon"


def inside(point: tuple[float, float], corners: list[tuple[float, float]]) -> bool:
    """Winding number, an independent definition for points that are not on the outline."""
    angles = 0.0
    x, y = point
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1], strict=True):
        a, b = complex(x0 - x, y0 - y), complex(x1 - x, y1 - y)
        angles += np.angle(b / a)
    return abs(angles) > 3


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=3, max_size=3, unique=True
    ),
    st.tuples(st.integers(0, 19), st.integers(0, 19)),
)
def test_inside_a_triangle(corners: list[tuple[int, int]], cell: tuple[int, int]) -> None:
    # Off the grid, so that no point is on a line between grid points of this size.
    point = (cell[0] + 0.4871, cell[1] + 0.3129)
    values = np.array([point])
    outline = [(float(a), float(b)) for a, b in corners]
    found = filters.polygon(values, np.zeros(1, np.int64), 1, lambda a: a, points=outline)
    assert found.keep[0] == inside(point, outline)


def test_a_square_tiles_the_plane() -> None:
    # Neighbouring gates share no object and lose none.
    rng = np.random.default_rng(1)
    values = rng.integers(0, 5, (400, 2)).astype(np.float64)
    total = np.zeros(400, int)
    for x in range(5):
        for y in range(5):
            corners = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)]
            found = filters.polygon(values, np.zeros(400, np.int64), 1, lambda a: a, points=corners)
            total += found.keep
    assert (total == 1).all()


def test_a_polygon_with_a_notch() -> None:
    corners = [(0, 0), (4, 0), (4, 4), (2, 1), (0, 4)]
    values = np.array([[2, 0.5], [2, 2], [0.5, 2], [3.5, 2], [5, 2], [np.nan, 1], [np.inf, 1]])
    found = filters.polygon(values, np.zeros(7, np.int64), 1, lambda a: a, points=corners)
    assert found.keep.tolist() == [True, False, True, True, False, False, False]
    assert found.excluded == 2


def test_two_corners_are_no_polygon() -> None:
    with pytest.raises(UserError, match="at least 3 points"):
        filters.polygon(
            np.zeros((1, 2)), np.zeros(1, np.int64), 1, lambda a: a, points=[(0, 0), (1, 1)]
        )
