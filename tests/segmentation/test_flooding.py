"""Labels that grow from markers are scikit-image's, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.segmentation import watershed

from scip_mpi.segmentation.flooding import flood, flood_parts, flood_scratch


def flooded(plane, markers, inside=None, eight=False, compactness=0.0) -> np.ndarray:
    labels = markers.astype(np.int32)
    inside = np.ones(plane.shape, np.uint8) if inside is None else inside.astype(np.uint8)
    scratch = flood_scratch(*plane.shape, eight, compactness > 0)
    flood(plane, labels, inside, *plane.shape, eight, float(compactness), *scratch)
    return labels


def twin(plane, markers, inside=None, eight=False, compactness=0.0) -> np.ndarray:
    connectivity = 2 if eight else 1
    return watershed(
        plane, markers.astype(np.int32), connectivity, mask=inside, compactness=compactness
    )


def scene(rng, h: int, w: int, levels: int, density: float) -> tuple[np.ndarray, np.ndarray]:
    plane = rng.integers(0, levels, (h, w)) / 7.0
    markers = rng.integers(1, 6, (h, w)) * (rng.random((h, w)) < density)
    return plane, markers


@settings(max_examples=400, deadline=None)
@given(
    st.integers(1, 30),
    st.integers(1, 30),
    st.sampled_from([1, 2, 5, 1000]),
    st.sampled_from([0, 0.02, 0.1, 0.5]),
    st.booleans(),
    st.sampled_from([0, 0.01, 1, 30]),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_labels_are_scikit_images(h, w, levels, density, eight, compactness, masked, seed) -> None:
    rng = np.random.default_rng(seed)
    plane, markers = scene(rng, h, w, levels, density)
    inside = rng.random((h, w)) < 0.8 if masked else None
    ours = flooded(plane, markers, inside, eight, compactness)
    assert np.array_equal(ours, twin(plane, markers, inside, eight, compactness))


@pytest.mark.parametrize("compactness", [0, 0.5])
@pytest.mark.parametrize("eight", [False, True])
def test_labels_of_a_field_are_scikit_images(compactness: float, eight: bool) -> None:
    rng = np.random.default_rng(7)
    plane, markers = scene(rng, 500, 700, 50, 0.002)
    inside = rng.random(plane.shape) < 0.9
    ours = flooded(plane, markers, inside, eight, compactness)
    assert np.array_equal(ours, twin(plane, markers, inside, eight, compactness))
    assert ours.all() == inside.all()


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 2, 5, 1000]),
    st.sampled_from([0, 0.1, 0.5]),
    st.integers(0, 2**32),
)
def test_components_are_flooded_as_if_each_were_alone(h, w, levels, density, seed) -> None:
    rng = np.random.default_rng(seed)
    plane, markers = scene(rng, h, w, levels, density)
    parts, count = ndimage.label(rng.random((h, w)) < 0.6)
    ours = np.where(parts > 0, markers, 0).astype(np.int32)
    flood_parts(plane, ours, parts.astype(np.int32))
    for k in range(1, count + 1):
        alone = twin(plane, np.where(parts == k, markers, 0), parts == k)
        assert np.array_equal(ours[parts == k], alone[parts == k])
    assert not ours[parts == 0].any()


def test_the_scratch_of_a_larger_plane_serves() -> None:
    rng = np.random.default_rng(8)
    scratch = flood_scratch(40, 50, False, True)
    plane, markers = np.zeros((40, 50)), np.zeros((40, 50), np.int32)
    inside = np.ones((40, 50), np.uint8)
    plane[:11, :17], markers[:11, :17] = scene(rng, 11, 17, 9, 0.05)
    expected = twin(plane[:11, :17], markers[:11, :17], None, False, 0.3)
    flood(plane, markers, inside, 11, 17, False, 0.3, *scratch)
    assert np.array_equal(markers[:11, :17], expected)
    assert not markers[11:].any()


@pytest.mark.parametrize("compactness", [0.5, 1e9])
@pytest.mark.parametrize("eight", [False, True])
def test_markers_that_reach_every_pixel_from_all_sides(compactness: float, eight: bool) -> None:
    plane = np.random.default_rng(9).random((60, 60))
    markers = np.zeros((60, 60), int)
    markers[::2, ::2] = np.arange(1, 901).reshape(30, 30)
    markers[1::2, 1::2] = 0 if eight else np.arange(901, 1801).reshape(30, 30)
    # Low markers come first, so that all of their neighbours wait at once.
    plane[markers == 0] += 5
    ours = flooded(plane, markers, None, eight, compactness)
    assert np.array_equal(ours, twin(plane, markers, None, eight, compactness))
