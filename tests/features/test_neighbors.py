"""Neighbours against dilations with SciPy, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from neighbor_twin import twin
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, Scratch
from scip_mpi.errors import UserError
from scip_mpi.features import neighbors
from scip_mpi.features.family import whole_sets
from scip_mpi.features.shared import prepare
from scip_mpi.segmentation.crops import label_facts

Labels = NDArray[np.int32]


def measured(labels: Labels, distance: int) -> NDArray[np.float64]:
    numbers = np.unique(labels[labels > 0]).astype(np.int64)
    top = int(labels.max(initial=0))
    boxes, (areas, edges) = np.empty((top + 1, 4), np.int64), np.empty((2, top + 1), np.int64)
    label_facts(labels, top, boxes, areas, edges)
    return neighbors.Neighborhood(distance)(labels, numbers, boxes[numbers])


@st.composite
def fields(draw: st.DrawFn) -> Labels:
    """Objects of any shape, in pieces too, that touch or overlap, up to the edge of the field."""
    h, w = draw(st.integers(1, 40)), draw(st.integers(1, 50))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    labels = np.zeros((h, w), np.int32)
    rows, columns = np.mgrid[:h, :w]
    for k in range(draw(st.integers(0, 9))):
        far = np.hypot(rows - rng.integers(h), columns - rng.integers(w))
        labels[far <= rng.uniform(0, 8)] = 2 * k + 1
    if draw(st.booleans()):
        labels[rng.random((h, w)) < 0.1] = 4
    return labels


@settings(max_examples=80)
@given(fields(), st.sampled_from([1, 2, 5, 8]))
def test_any_field(labels: Labels, distance: int) -> None:
    ours, theirs = measured(labels, distance), twin(labels, distance)
    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(ours[:, 0], theirs[:, 0])
    # Angles near 0 and 180 degrees are ill-conditioned in the twin's arc cosine.
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-5)


def test_what_is_known_without_computing() -> None:
    labels = np.zeros((11, 30), np.int32)
    labels[4:7, 2:5] = 1
    labels[4:7, 5:8] = 2  # beside it
    labels[0:3, 20:23] = 3  # far, on the edge
    found = measured(labels, 1)
    # 3 of the 8 pixels of the outline of either are within a pixel and a half of the other.
    assert found[:, 0].tolist() == [1, 1, 0]
    assert found[:, 1].tolist() == [pytest.approx(300 / 8), pytest.approx(300 / 8), 0]
    assert found[0, 2] == found[1, 2] == 3
    assert found[0, 3] == np.hypot(4, 18)
    assert found[0, 4] == pytest.approx(np.degrees(np.arctan2(4, 18)))
    assert found[1, 4] == pytest.approx(180 - np.degrees(np.arctan2(4, 15)))
    # Rows 4 and 2, columns 7 and 20 are within 14 pixels of one another.
    assert measured(labels, 13)[:, 0].tolist() == [1, 1, 0]
    assert measured(labels, 14)[:, 0].tolist() == [1, 2, 1]
    # Alone, or of two, nothing is known of a second.
    assert np.isnan(measured(np.where(labels == 2, 2, 0).astype(np.int32), 5)[0, 2:]).all()
    two = measured(np.where(labels == 3, 0, labels), 5)
    assert np.isfinite(two[:, :3]).all()
    assert np.isnan(two[:, 3:]).all()


def test_objects_with_one_centre_have_no_angle() -> None:
    labels = np.zeros((9, 9), np.int32)
    labels[1:8, 1:8] = 1
    labels[3:6, 3:6] = 2
    labels[0, 0] = 3
    found = measured(labels, 2)
    assert found[:2, 2].tolist() == [0, 0]
    assert np.isnan(found[:2, 4]).all()
    assert np.isfinite(found[2]).all()


def test_turning_shifting_and_other_labels_change_nothing() -> None:
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:60, :70]
    labels = np.zeros((60, 70), np.int32)
    for k in range(12):
        far = np.hypot(rows - rng.uniform(15, 45), columns - rng.uniform(15, 55))
        labels[far < rng.uniform(3, 6)] = k + 1
    ours = measured(labels, 5)
    present = np.unique(labels[labels > 0])
    mirrored = np.zeros(13, np.int32)
    mirrored[1:] = np.arange(12, 0, -1)
    for other in (labels[:, ::-1], labels.T, np.rot90(labels), np.pad(labels, (9, 30))):
        np.testing.assert_allclose(ours, measured(np.ascontiguousarray(other), 5), rtol=1e-9)
    order = np.argsort(mirrored[present])
    np.testing.assert_allclose(ours[order], measured(mirrored[labels], 5), rtol=1e-12)


def test_the_family_hands_on_what_is_known_of_the_objects_kept() -> None:
    family = neighbors.select(distance=7, statistics=["angle", "number"])
    names = [f.name for f in family.features(["DNA", "ER"])]
    assert names == ["neighbors_number_7", "neighbors_angle_7"]
    assert family.in_field == neighbors.Neighborhood(7) != neighbors.FAMILY.in_field
    batch = ImageBatch.from_images([np.ones((2, 3, 4), np.uint16)] * 3)
    masks = whole_sets(batch, np.ones(batch.pixels.size, np.uint8))
    masks.kept[1] = False
    out = np.full((3, 2), np.nan)
    # Crops alone tell nothing of neighbours.
    family.compute(batch, masks, prepare((), batch), out, Scratch())
    assert np.isnan(out).all()
    known = type(masks)(**{**vars(masks), "in_field": np.arange(15.0).reshape(3, 5)})
    family.compute(batch, known, prepare((), batch), out, Scratch())
    np.testing.assert_array_equal(out, [[0, 4], [np.nan, np.nan], [10, 14]])


@pytest.mark.parametrize("distance", [0, 201])
def test_distances_out_of_range_are_refused(distance: int) -> None:
    with pytest.raises(UserError, match="from 1 to 200 pixels"):
        neighbors.select(distance=distance)
