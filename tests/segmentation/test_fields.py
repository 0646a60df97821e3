"""Fields of view: objects, crops, children and backgrounds against scikit-image and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.filters import threshold_li, threshold_otsu, threshold_triangle
from skimage.measure import regionprops
from skimage.segmentation import expand_labels
from skimage.segmentation import watershed as flooded

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.segmentation import background
from scip_mpi.segmentation.crops import cut_crops, cut_masks
from scip_mpi.segmentation.field_watershed import watershed
from scip_mpi.segmentation.fields import FieldPlan, Segmenter, parent_planes, segment_fields
from scip_mpi.segmentation.label_files import labels as from_files
from scip_mpi.segmentation.seeds import seeds


def given_labels(*planes: np.ndarray) -> tuple[Segmenter, dict[str, ImageBatch]]:
    companions = {"labels": ImageBatch.from_images([p.astype(np.int64) for p in planes])}
    return Segmenter(from_files, {}, companions=True), companions


def fields_of(images: list[np.ndarray], planes: list[np.ndarray], **plan: object):
    segmenter, companions = given_labels(*planes)
    batch = ImageBatch.from_images(images, np.arange(5, 5 + len(images)))
    found = segment_fields(batch, FieldPlan(0, segmenter, **plan), companions, np)
    return batch, found


LABELS = hnp.arrays(
    np.int64,
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    elements=st.sampled_from([0, 0, 1, 2, 7, 2**31]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LABELS, min_size=1, max_size=3))
def test_objects_are_scikit_images_regions(planes: list[np.ndarray]) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 99, (2, *p.shape)).astype(np.uint16) for p in planes]
    batch, found = fields_of(images, planes)
    want = []
    for i, plane in enumerate(planes):
        ids, dense = np.unique(plane, return_inverse=True)
        dense = dense.reshape(plane.shape) + (0 if ids[0] == 0 else 1)
        ids = ids[1:] if ids[0] == 0 else ids
        want += [(5 + i, ids[r.label - 1], r.bbox, r.image) for r in regionprops(dense)]
    assert len(found.objects.label) == len(want)
    crops = cut_crops(batch, found.row, found.objects.bbox)
    dense = cut_masks(found.labels, found.of_channel, found.row, found.objects.bbox, found.number)
    masks = ImageBatch(dense, crops.offsets, crops.shapes, crops.index)
    for k, (image, label, box, mask) in enumerate(want):
        assert (found.objects.image[k], found.objects.label[k]) == (image, label)
        assert tuple(found.objects.bbox[k]) == box
        r0, c0, r1, c1 = box
        np.testing.assert_array_equal(crops.image(k), images[image - 5][:, r0:r1, c0:c1])
        for channel in range(2):
            np.testing.assert_array_equal(masks.image(k)[channel], mask)


def test_objects_by_size_and_border() -> None:
    plane = np.zeros((20, 20), int)
    plane[0:3, 5:9] = 4  # touches the edge
    plane[5:7, 5:7] = 9  # 4 pixels
    plane[10:15, 3:8] = 2  # 25 pixels
    plane[8:18, 9:19] = 11  # 100 pixels
    images = [np.ones((1, 20, 20), np.uint8)]
    for settings_, kept in (
        ({}, [2, 4, 9, 11]),
        ({"drop_border": True}, [2, 9, 11]),
        ({"min_size": 5}, [2, 4, 11]),
        ({"max_size": 25}, [2, 4, 9]),
        ({"min_size": 12, "max_size": 12}, [4]),
        ({"min_size": 101}, []),
    ):
        _, found = fields_of(images, [plane], **settings_)
        assert found.objects.label.tolist() == kept
        # What is no object is in no object's mask either.
        assert len(np.unique(found.labels.pixels)) == len(kept) + 1


def test_children_belong_to_the_parent_that_they_cover_most_of() -> None:
    parents = np.zeros((10, 20), int)
    parents[2:8, 2:8] = 1  # 36 pixels
    parents[2:8, 10:18] = 5  # 48 pixels
    child = np.zeros((10, 20), int)
    child[1:9, 4:11] = 30  # 24 pixels of the first parent, 6 of the second
    child[2:4, 12:14] = 31  # 4 of 48: 8.3 %, not enough
    child[5:8, 13:18] = 32  # 15 of 48
    child[0, 0] = 33  # of no parent
    segmenter, companions = given_labels(parents)
    companions["cells"] = ImageBatch.from_images([child])
    other = Segmenter(from_files, {"companion": "cells"}, companions=True)
    batch = ImageBatch.from_images([np.ones((3, 10, 20), np.uint8)])
    found = segment_fields(batch, FieldPlan(0, segmenter, {2: other}), companions, np)
    planes = found.labels.image(0)[found.of_channel]
    np.testing.assert_array_equal(planes[1], np.where(parents == 5, 2, parents))
    want = np.zeros_like(child)
    want[child == 30] = 1
    want[child == 32] = 2
    np.testing.assert_array_equal(planes[2], want)
    # Crops are to the parent's box, as in SCIP.
    assert found.objects.bbox.tolist() == [[2, 2, 8, 8], [2, 10, 8, 18]]


def test_a_ring_is_what_a_mask_has_grown_by() -> None:
    plane = np.zeros((30, 30), int)
    plane[5:12, 5:12] = 3
    plane[14:22, 14:22] = 8
    images = [np.ones((2, 30, 30), np.uint8)]
    _, found = fields_of(images, [plane], expansion={1: 4.0}, subtract=[(1, 0, 1)])
    grown = expand_labels(np.searchsorted([0, 3, 8], plane), 4.0)
    np.testing.assert_array_equal(
        found.labels.image(0)[found.of_channel[1]], np.where(plane > 0, 0, grown)
    )
    np.testing.assert_array_equal(found.labels.image(0)[found.of_channel[0]] > 0, plane > 0)
    _, found = fields_of(images, [plane], expansion={0: 4.0})
    np.testing.assert_array_equal(found.labels.image(0)[0], grown)


def disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return y**2 + x**2 <= radius**2


@settings(max_examples=40, deadline=None)
@given(
    st.lists(LABELS, min_size=1, max_size=2),
    st.sampled_from(["u1", "u2", "f4"]),
    st.sampled_from([(2, 3), (3, 13)]),
)
def test_the_ring_is_a_difference_of_dilations(
    planes: list[np.ndarray], dtype: str, magnified: tuple[int, int]
) -> None:
    planes = [np.kron(p, np.ones(magnified, int)) for p in planes]
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 99, (2, *p.shape)).astype(dtype) for p in planes]
    batch, found = fields_of(images, planes)
    parents = parent_planes(found, 0)
    means = background.ring(batch, parents, found.row, found.objects.bbox, found.number)
    medians = background.field_median(batch, parents)
    for k, row in enumerate(found.row):
        mine = planes[row] == found.objects.label[k]
        near = ndimage.binary_dilation(mine, disc(background.GAP))
        far = ndimage.binary_dilation(mine, disc(background.GAP + background.WIDTH))
        around = far & ~near & (planes[row] == 0)
        for c in range(2):
            if around.any():
                assert means[k, c] == pytest.approx(images[row][c][around].mean(dtype=float))
            else:
                assert np.isnan(means[k, c])
    for i, image in enumerate(images):
        outside = planes[i] == 0
        for c in range(2):
            want = np.median(image[c][outside]) if outside.any() else np.nan
            np.testing.assert_equal(medians[i, c], want)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]),
        hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=25),
        elements=st.integers(0, 100),
    ),
    st.sampled_from([None, 1.0, 4.0, 50.0]),
    st.sampled_from(["li", "otsu", "triangle", 40.0]),
    st.sampled_from([0.0, 0.3]),
)
def test_watershed_of_any_field(
    image: np.ndarray, diameter: float | None, threshold: str | float, expansion: float
) -> None:
    batch = ImageBatch.from_images([image, image[:, :1]])
    found = watershed(
        batch, np, channel=image.shape[0] - 1, cell_diameter=diameter, threshold=threshold,
        expansion_factor=expansion,
    )  # fmt: skip
    assert found.dtype == np.int32
    assert found.shape == (batch.planes[-1],)
    first = found[: batch.planes[1]]
    # Numbered without gaps.
    assert set(first) - {0} == set(range(1, first.max(initial=0) + 1))


def twin_watershed(
    plane: np.ndarray, diameter: float | None, threshold: str | float, expansion: float
) -> np.ndarray:
    """The same with SciPy and scikit-image; seeds have a twin of their own."""
    smooth = ndimage.gaussian_filter(plane, 0.1 * diameter) if diameter else plane
    if isinstance(threshold, str):
        flat = (np.diff(np.linspace(smooth.min(), smooth.max(), 257)) <= 0).any()
        find = {"li": threshold_li, "otsu": threshold_otsu, "triangle": threshold_triangle}
        threshold = smooth.max() if flat else find[threshold](smooth)
    mask = ndimage.binary_fill_holes(smooth > threshold)
    parts, count = ndimage.label(mask)
    far = sum(mask.shape)

    def depth_of(inside: np.ndarray) -> np.ndarray:
        away = ndimage.distance_transform_edt(inside)
        return np.full(inside.shape, float(far)) if inside.all() else np.minimum(away, far)

    if diameter is None:
        thickness = ndimage.maximum(depth_of(mask), parts, np.arange(1, count + 1))
        diameter = max(1.0, 2 * np.median(thickness)) if count else 1.0
    sizes = np.bincount(parts.ravel())
    large = sizes >= np.pi / 4 * (diameter / 3) ** 2
    large[0] = False
    parts = np.where(large[parts], parts, 0).astype(np.int32)
    depth = ndimage.gaussian_filter(depth_of(parts > 0), 0.08 * diameter)
    found = seeds(depth, parts, max(1, round(0.35 * diameter)))
    # Of equal markers scikit-image's heap takes the first by all that wait in it, so that in one
    # flood of the whole field what other components hold would decide.
    for k in np.unique(parts[parts > 0]):
        grown = flooded(-depth, np.where(parts == k, found, 0), mask=parts == k)
        found[parts == k] = grown[parts == k]
    return expand_labels(found, diameter * expansion) if expansion else found


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["u2", "f4"]),
    st.sampled_from([0.5, 2.0, 5.0]),
    st.sampled_from([None, 1.0, 4.0, 9.0, 50.0]),
    st.sampled_from(["li", "otsu", "triangle", 1000.0]),
    st.sampled_from([0.0, 0.3]),
    st.integers(0, 2**32 - 1),
)
@example(32, 33, "f4", 0.5, None, "otsu", 0.0, 4795)  # equal markers in several components
def test_watershed_is_scipys_and_scikit_images(
    h, w, dtype, blur, diameter, threshold, expansion, seed
) -> None:
    noise = np.random.default_rng(seed).random((h, w))
    plane = (1000 + 4000 * (ndimage.gaussian_filter(noise, blur) - 0.5)).astype(dtype)
    batch = ImageBatch.from_images([plane[np.newaxis]])
    found = watershed(
        batch, np, channel=0, cell_diameter=diameter, threshold=threshold,
        expansion_factor=expansion,
    )  # fmt: skip
    want = twin_watershed(plane.astype(np.float64), diameter, threshold, expansion)
    np.testing.assert_array_equal(found.reshape(h, w), want)


def test_watershed_parts_discs_that_touch() -> None:
    y, x = np.mgrid[:60, :90]
    centres = [(20, 20), (20, 36), (45, 50), (30, 70)]
    plane = np.zeros((60, 90))
    for cy, cx in centres:
        plane[np.hypot(y - cy, x - cx) < 9] = 100
    batch = ImageBatch.from_images([plane[np.newaxis]])
    found = watershed(batch, np, channel=0, cell_diameter=18, threshold=50.0).reshape(60, 90)
    assert len(np.unique(found)) == 5
    assert len({found[c] for c in centres}) == 4
    by_itself = watershed(batch, np, channel=0, threshold=50.0).reshape(60, 90)
    assert len({by_itself[c] for c in centres} - {0}) == 4


@pytest.mark.parametrize("threshold", ["li", "otsu", "triangle"])
def test_a_field_equal_but_for_rounding_has_no_objects(threshold: str) -> None:
    plane = np.full((9, 9), 1000.0)
    plane[4, 4] = np.nextafter(1000.0, np.inf)
    batch = ImageBatch.from_images([plane[np.newaxis]])
    assert not watershed(batch, np, channel=0, threshold=threshold).any()


@pytest.mark.parametrize(
    "wrong", [{"cell_diameter": 0.0}, {"smoothing": -1.0}, {"expansion_factor": -0.1}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    batch = ImageBatch.from_images([np.ones((1, 5, 5), np.uint8)])
    with pytest.raises(UserError, match=next(iter(wrong))):
        watershed(batch, np, channel=0, **wrong)


def test_an_unknown_companion_is_named() -> None:
    batch = ImageBatch.from_images([np.ones((1, 5, 5), np.uint8)])
    with pytest.raises(UserError, match=r"no companion is called 'nuclei'.*has cells"):
        from_files(batch, np, channel=0, companions={"cells": batch}, companion="nuclei")


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(np.uint16, hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)),
    st.data(),
)
def test_crops_are_slices(image: np.ndarray, data: st.DataObject) -> None:
    batch = ImageBatch.from_images([image[:, ::-1], image])
    h, w = image.shape[1:]
    r0, c0 = data.draw(st.integers(0, h - 1)), data.draw(st.integers(0, w - 1))
    r1, c1 = data.draw(st.integers(r0 + 1, h)), data.draw(st.integers(c0 + 1, w))
    crops = cut_crops(batch, np.array([1, 0]), np.array([[r0, c0, r1, c1], [0, 0, h, w]]))
    np.testing.assert_array_equal(crops.image(0), image[:, r0:r1, c0:c1])
    np.testing.assert_array_equal(crops.image(1), image[:, ::-1])
