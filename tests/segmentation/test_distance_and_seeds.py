"""Distances and seeds, against SciPy and their definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from scip_mpi.segmentation.distance import distance
from scip_mpi.segmentation.seeds import seeds

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20))


@settings(max_examples=150, deadline=None)
@given(hnp.arrays(bool, SHAPES, elements=st.sampled_from([True, True, True, False])))
def test_the_distance_is_scipys(mask: np.ndarray) -> None:
    found = distance(mask)
    if mask.all():
        assert np.isinf(found).all()
    else:
        np.testing.assert_array_equal(found, ndimage.distance_transform_edt(mask))


def test_the_distance_in_a_large_disc() -> None:
    y, x = np.mgrid[:301, :211]
    mask = np.hypot(y - 150, x - 105) < 100
    np.testing.assert_array_equal(distance(mask), ndimage.distance_transform_edt(mask))


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(np.float64, SHAPES, elements=st.integers(0, 5)),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_seeds_lead_their_neighbourhood(plane: np.ndarray, apart: int, seed: int) -> None:
    h, w = plane.shape
    parts = np.random.default_rng(seed).integers(0, 3, (h, w)).astype(np.int32)
    found = seeds(plane, parts, apart)
    number = 0
    for y in range(h):
        for x in range(w):
            around = [
                (plane[v, u], -v, -u)
                for v in range(max(y - apart, 0), min(y + apart + 1, h))
                for u in range(max(x - apart, 0), min(x + apart + 1, w))
                if parts[v, u] == parts[y, x]
            ]
            if parts[y, x] and max(around) == (plane[y, x], -y, -x):
                number += 1
                assert found[y, x] == number
            else:
                assert found[y, x] == 0
    assert set(parts[found > 0]) == set(parts[parts > 0])
