"""Opening, holes, sizes and the largest component against scikit-image, and their order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_twins import planes_of, speckled, twin_border, twin_box, twin_clean, twin_largest
from scipy.ndimage import binary_fill_holes
from skimage.measure import label
from skimage.morphology import disk, opening

from scip_mpi.batches import ImageBatch
from scip_mpi.segmentation.bits import unpack_bits
from scip_mpi.segmentation.chain import MaskSet, mask_sets, whole_images
from scip_mpi.segmentation.cleaning import Cleaning, clean, keep_largest
from scip_mpi.segmentation.threshold import threshold


def batch_of(masks: list[np.ndarray]) -> tuple[ImageBatch, np.ndarray]:
    batch = ImageBatch.from_images(masks, dtype=np.uint8)
    return batch, batch.pixels.copy()


def ragged(seed: int, density: float, largest: int = 24, count: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = rng.integers(1, largest + 1, (count, 2))
    return [(rng.random((2, *s)) < density).astype(np.uint8) for s in shapes]


cleanings = st.builds(
    Cleaning,
    opening=st.integers(0, 3),
    fill_holes=st.booleans(),
    min_size=st.integers(0, 12),
    max_size=st.none() | st.integers(12, 60),
    largest_component=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1), cleanings)
def test_cleaned_masks_are_scikit_images(seed: int, density: float, cleaning: Cleaning) -> None:
    images = ragged(seed, density)
    batch, masks = batch_of(images)
    clean(batch, masks, cleaning)
    for ours, image in zip(planes_of(batch, masks), images, strict=True):
        for c, mask in enumerate(image):
            twin = twin_clean(
                mask, cleaning.opening, cleaning.fill_holes, cleaning.min_size, cleaning.max_size
            )
            assert np.array_equal(ours[c], twin)


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_the_opening_is_scikit_images(radius: int) -> None:
    image = (speckled([(60, 60)], 2)[0] > 900).astype(np.uint8)
    batch, masks = batch_of([image])
    clean(batch, masks, Cleaning(opening=radius))
    assert 0 < masks.sum() < image.sum()
    for ours, mask in zip(planes_of(batch, masks)[0], image, strict=True):
        assert np.array_equal(ours, opening(mask, disk(radius)))


def test_holes_are_filled_of_any_size_but_not_bays() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:18, 2:18] = 1
    mask[4:16, 4:16] = 0
    mask[3, 3] = 0
    mask[10, 22:28] = 1
    mask[:8, 25] = 1
    batch, masks = batch_of([mask])
    clean(batch, masks, Cleaning(fill_holes=True))
    assert np.array_equal(masks.reshape(mask.shape), binary_fill_holes(mask))
    assert masks.sum() == mask.sum() + 12 * 12 + 1


def test_sizes_are_inclusive_and_count_diagonal_neighbours() -> None:
    mask = np.zeros((9, 12), np.uint8)
    mask[[1, 2, 3], [1, 2, 3]] = 1
    mask[6, 1:5] = 1
    mask[1:3, 7:11] = 1
    batch, masks = batch_of([mask])
    clean(batch, masks, Cleaning(min_size=3, max_size=4))
    assert label(masks.reshape(mask.shape)).max() == 2
    assert masks.sum() == 7
    clean(batch, masks, Cleaning(min_size=4))
    assert masks.sum() == 4


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 0.7))
def test_the_largest_component_is_the_first_of_equals(seed: int, density: float) -> None:
    images = ragged(seed, density)
    batch, masks = batch_of(images)
    keep_largest(batch, masks)
    for ours, image in zip(planes_of(batch, masks), images, strict=True):
        for c, mask in enumerate(image):
            assert np.array_equal(ours[c], twin_largest(mask))


def test_by_default_nothing_is_done() -> None:
    images = ragged(0, 0.5, 40)
    batch, masks = batch_of(images)
    clean(batch, masks, Cleaning())
    assert np.array_equal(masks, batch.pixels)


def test_no_images() -> None:
    batch, masks = batch_of([])
    clean(batch, masks, Cleaning(1, True, 3, 9, True))
    keep_largest(batch, masks)
    assert masks.size == 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), cleanings, st.booleans())
def test_a_mask_set_cleans_then_looks_at_the_border_then_at_size(
    seed: int, cleaning: Cleaning, border: bool
) -> None:
    batch = ImageBatch.from_images(ragged(seed, 0.6, 30), dtype=np.uint8)
    chosen = MaskSet(
        "t", threshold, {"method": "fixed", "value": 0.5}, border=border, cleaning=cleaning
    )
    masks = mask_sets(batch, whole_images(batch), [chosen], [], 0, np)
    for i, (ours, image) in enumerate(
        zip(planes_of(batch, unpack_bits(masks, 0)), batch, strict=True)
    ):
        for c, mask in enumerate(image):
            twin = twin_clean(
                mask, cleaning.opening, cleaning.fill_holes, cleaning.min_size, cleaning.max_size
            )
            twin = twin_border(twin)[0] if border else twin
            twin = twin_largest(twin) if cleaning.largest_component else twin
            assert np.array_equal(ours[c], twin)
            assert masks.regions[i, 0, c] == label(twin).max()
        assert masks.set_bbox[i, 0].tolist() == twin_box(ours)
