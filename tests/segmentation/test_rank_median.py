"""The median over a disc equals scikit-image's rank filter, level by level."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters.rank import median
from skimage.morphology import disk

from scip_mpi.segmentation.rank_median import disc_halves, median_scratch, rank_median

LEVELS = 1 << 12


def ours(planes: list[np.ndarray]) -> list[np.ndarray]:
    """Medians of planes, in buffers for the largest of them."""
    height, width = (max(p.shape[k] for p in planes) for k in (0, 1))
    scratch = median_scratch(height, width)
    corner = np.empty((height, width), np.uint16)
    out = np.empty((height, width), np.uint16)
    found = []
    for plane in planes:
        h, w = plane.shape
        corner[:h, :w] = plane
        disc_halves(h, w, scratch)
        rank_median(corner, h, w, scratch, np.empty(LEVELS, np.int64), out)
        found.append(out[:h, :w].copy())
    return found


def same_as_scikit_image(planes: list[np.ndarray]) -> None:
    for plane, found in zip(planes, ours(planes), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a rank filter on many levels
            np.testing.assert_array_equal(found, median(plane, footprint=disk(5)))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=3),
    # Few bits, all of a byte's, and more: the bits that are found on bytes and those that are not.
    st.sampled_from([1, 2, 3, 100, 256, 257, 514, LEVELS]),
    st.sampled_from(["even", "low", "high", "ends"]),
    st.integers(0, 2**32),
)
def test_planes_of_any_levels(shapes, levels, kind, seed) -> None:
    rng = np.random.default_rng(seed)
    part = {
        "even": lambda s: rng.random(s),
        "low": lambda s: rng.random(s) ** 9,
        "high": lambda s: 1 - rng.random(s) ** 9,
        "ends": lambda s: rng.integers(0, 2, s),
    }[kind]
    same_as_scikit_image(
        [np.minimum(part(s) * levels, levels - 1).astype(np.uint16) for s in shapes]
    )


@pytest.mark.parametrize("shape", [(70, 61), (1, 5000), (5000, 1), (33, 64)])
def test_planes_of_several_blocks(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    y, x = np.indices(shape)
    slope = (y * 400) // shape[0] + (x * 100) // shape[1]
    same_as_scikit_image([(slope + rng.integers(0, 14, shape)).astype(np.uint16)])
