"""Runs of masks and what is read off them, against SciPy and scikit-image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from masks import Mask, masks, runs_of
from scipy import ndimage
from skimage.measure import euler_number, perimeter_crofton
from skimage.measure import perimeter as skimage_perimeter
from skimage.morphology import disk

from scip_mpi.features.edge import RADIUS, inner_bits, inner_size
from scip_mpi.features.perimeter import area_of_holes, crofton, perimeter
from scip_mpi.features.runs import group_runs, join_runs

CORNERS = np.ones((3, 3), bool)


def painted(shape: tuple[int, int], runs: np.ndarray) -> Mask:
    mask = np.zeros(shape, bool)
    for y, start, stop in runs:
        mask[y, start:stop] = True
    return mask


def components(mask: Mask) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Runs, what they touch, and which make up each component."""
    runs, _ = runs_of(mask)
    n = len(runs)
    parent, number, order = (np.empty(n, np.int64) for _ in range(3))
    touching, first = np.empty((n, 3), np.int64), np.empty(n + 1, np.int64)
    join_runs(runs, n, parent, touching)
    count = group_runs(parent, n, number, order, first)
    return runs, touching, [order[first[k] : first[k + 1]] for k in range(count)]


@settings(max_examples=200, deadline=None)
@given(masks(), st.integers(0, 9))
def test_runs_cover_the_mask_and_components_are_scipys(mask: Mask, margin: int) -> None:
    runs, _ = runs_of(mask, margin)
    assert np.array_equal(painted(mask.shape, runs), mask)
    runs, _, members = components(mask)
    labels, count = ndimage.label(mask, CORNERS)
    assert len(members) == count
    for k, own in enumerate(members):
        assert np.array_equal(painted(mask.shape, runs[own]), labels == k + 1)
        assert (np.diff(own) > 0).all()


@settings(max_examples=200, deadline=None)
@given(masks())
def test_neighbours_border_and_holes_of_a_component(mask: Mask) -> None:
    runs, touching, members = components(mask)
    for own in members:
        part = runs[own] - [runs[own, 0].min(), runs[own, 1].min(), runs[own, 1].min()]
        h, w = int(part[:, 0].max()) + 1, int(part[:, 2].max())
        alone = painted((h, w), part)
        area, n = int(alone.sum()), len(own)
        links, above, corners = touching[own].sum(axis=0)
        assert n - links == euler_number(alone, connectivity=2)
        found = crofton(area, area - n + above, corners)
        assert np.isclose(found, perimeter_crofton(alone, directions=4), rtol=1e-13)
        scratch = [np.empty((h + 2) * ((w + 63) // 64 + 2), np.uint64) for _ in range(2)]
        found = perimeter(part, h, w, *scratch)
        assert np.isclose(found, skimage_perimeter(alone, neighborhood=4), rtol=1e-13)
        size = n + h + 2
        gaps, joined = (np.empty((size, 3), np.int64) for _ in range(2))
        holes = area_of_holes(part, h, w, gaps, np.empty(size, np.int64), joined)
        assert area + holes == ndimage.binary_fill_holes(alone, CORNERS).sum()


@settings(max_examples=200, deadline=None)
@given(masks(), st.integers(0, 9))
def test_the_rim_is_what_scipys_erosion_takes_away(mask: Mask, margin: int) -> None:
    h, w = mask.shape
    runs, box = runs_of(mask, margin)
    words = np.empty(inner_size(np.array([[1, h, w]])), np.uint64)
    inner = inner_bits(runs, box, h, w, np.empty(w // 64 + 3, np.uint64), words)
    kept = ndimage.binary_erosion(mask, disk(RADIUS), border_value=1)
    for y, start, stop in runs:
        for x in range(start, stop):
            column = int(x - box[1])
            word = int(inner[y - box[0] + RADIUS, column // 64])
            assert (word >> column % 64) & 1 == kept[y, x]
