"""Grey levels, pairs and gradients of a mask, against NumPy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masks import Mask, masks, runs_of
from scipy import ndimage
from skimage.feature import graycomatrix
from skimage.filters import sobel as skimage_sobel

from scip_mpi.features.cooccurrence import (
    ANGLES,
    BINS,
    LEVELS,
    MARGIN,
    OUTSIDE,
    STEPS,
    bounds,
    count_pairs,
    quantise,
)
from scip_mpi.features.gradient import sobel, surrounded
from scip_mpi.features.selection import exact_sums
from scip_mpi.features.tally import WIDEST

SPANS = st.sampled_from([0, 1, 14, 15, 30, 45, 300, WIDEST - 1, WIDEST, 30000])


def plane_for(mask: Mask, dtype: str, span: int, seed: int) -> np.ndarray:
    low = 100 if dtype[0] == "u" else -100
    values = np.random.default_rng(seed).integers(low, low + span + 1, mask.shape)
    return (values * 0.37 if dtype[0] == "f" else values).astype(dtype)


@settings(max_examples=200, deadline=None)
@given(
    masks(20, 80), st.sampled_from(["uint16", "int16", "int32", "float32"]), SPANS,
    st.integers(0, 999),
)  # fmt: skip
def test_levels_are_numpys_and_pairs_scikit_images(
    mask: Mask, dtype: str, span: int, seed: int
) -> None:
    if not mask.any():
        return
    plane = plane_for(mask, dtype, span, seed)
    runs, _ = runs_of(mask)
    box, low, high = bounds(plane, runs)
    inside = plane[mask]
    assert (low, high) == (inside.min(), inside.max())
    shape = box[2] - box[0] + MARGIN, box[3] - box[1] + 2 * MARGIN
    levels = np.empty(shape, np.uint8)
    table = np.empty(WIDEST, np.uint8)
    quantise(plane, exact_sums(plane.dtype), runs, box, low, high, table, levels)
    edges = np.histogram_bin_edges(inside.astype(float), BINS)
    expected = np.where(mask, np.digitize(plane.astype(float), edges, right=True), OUTSIDE)
    expected = expected[box[0] : box[2], box[1] : box[3]]
    assert np.array_equal(levels[:-MARGIN, MARGIN:-MARGIN], expected)
    assert (levels[-MARGIN:] == OUTSIDE).all()
    counts = np.empty((ANGLES, LEVELS * (LEVELS + 1)), np.uint32)
    for step, distance in zip(STEPS, (3, 5), strict=True):
        count_pairs(levels, runs, box, step, counts)
        both = graycomatrix(
            expected, [distance], [np.pi / 4, 3 * np.pi / 4], levels=LEVELS + 1, symmetric=True
        )[:LEVELS, :LEVELS, 0]
        found = counts.reshape(ANGLES, LEVELS, LEVELS + 1)[:, :, :LEVELS].astype(int)
        for k in range(ANGLES):
            assert np.array_equal(found[k] + found[k].T, both[:, :, k])


@settings(max_examples=200, deadline=None)
@given(masks(), st.sampled_from(["uint16", "float64"]), st.integers(0, 9), st.integers(0, 999))
def test_the_gradient_where_all_neighbours_are_in_the_mask(
    mask: Mask, dtype: str, margin: int, seed: int
) -> None:
    if not mask.any():
        return
    plane = plane_for(mask, dtype, 1000, seed)
    _, box = runs_of(mask, margin)
    part = slice(box[0], box[2]), slice(box[1], box[3])
    shape = mask[part].shape
    wide = 3 * (shape[1] + 2)
    places = np.empty(mask[part].size + 1, np.int32)
    flags = np.empty(shape[1], np.uint8)
    found = surrounded(mask.astype(np.uint8), box, np.empty(wide, np.uint8), flags, places)
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    alone = ndimage.minimum_filter(mask.astype(np.uint8), footprint=ring, mode="nearest")
    assert np.array_equal(places[:found], np.flatnonzero(alone[part]))
    squared = np.empty(mask[part].size)
    sobel(plane, box, np.empty(wide), squared)
    expected = skimage_sobel(plane.astype(float))[part]
    assert np.sqrt(squared).reshape(shape) == pytest.approx(expected, rel=1e-12, abs=1e-9)
