"""Components on the border go, the others are counted; boxes hold what is left."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_twins import planes_of, twin_border, twin_box
from skimage.measure import label

from scip_mpi.batches import ImageBatch
from scip_mpi.segmentation.border import bounding_boxes, count_regions, remove_border_regions
from scip_mpi.segmentation.components import flip_small, run_scratch


def removed(picture: list[str]) -> tuple[list[str], int]:
    mask = np.array([[p == "#" for p in row] for row in picture], np.uint8)
    batch = ImageBatch.from_images([mask])
    flat = batch.pixels.copy()
    regions = remove_border_regions(batch, flat)
    rows = flat.reshape(mask.shape)
    return ["".join("#" if p else "." for p in row) for row in rows], int(regions[0, 0])


def with_top_left(*rows: str) -> list[str]:
    """An 8 x 8 picture: more than two pixels on the border are too many."""
    return [r.ljust(8, ".") for r in rows] + ["." * 8] * (8 - len(rows))


@pytest.mark.parametrize(
    ("picture", "stays"),
    [
        (with_top_left("..##"), True),
        (with_top_left("..###"), False),
        (with_top_left("#"), True),  # a corner counts twice
        (with_top_left("##"), False),
        (with_top_left("#", ".#", "..#"), True),
        (with_top_left("...#", "..#", ".#", "#"), True),  # joined by corners: two in all
        (with_top_left("...#", "..#", ".#", "#", "#"), False),
        (with_top_left("", ".#####", ".#####"), True),
    ],
)
def test_more_than_a_quarter_of_the_side_on_the_border_is_too_much(picture, stays: bool) -> None:
    left, regions = removed(picture)
    assert regions == stays
    assert left == (picture if stays else ["." * 8] * 8)


def test_only_the_component_on_the_border_goes() -> None:
    picture = ["####....", "........", "..##....", "..##..#.", "......#.", *["........"] * 3]
    assert removed(picture) == (["........", *picture[1:]], 2)


@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (9, 1), (3, 3), (40, 30)])
def test_a_mask_that_fills_the_image_is_removed_but_counts_as_one(shape) -> None:
    batch = ImageBatch.from_images([np.ones(shape, np.uint8)])
    flat = batch.pixels.copy()
    assert count_regions(batch, flat).tolist() == [[1]]
    assert flat.all()
    assert remove_border_regions(batch, flat).tolist() == [[0]]
    assert not flat.any()


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=4),
    st.floats(0, 1),
    st.integers(0, 2**32),
)
def test_any_masks(shapes, density: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    batch = ImageBatch.from_images([(rng.random((2, *s)) < density).astype("u1") for s in shapes])
    before = planes_of(batch, batch.pixels)
    counts = count_regions(batch, batch.pixels.copy())
    flat = batch.pixels.copy()
    regions = remove_border_regions(batch, flat)
    boxes = bounding_boxes(batch, flat)
    for i, masks in enumerate(planes_of(batch, flat)):
        for c in range(2):
            expected, left = twin_border(before[i][c])
            assert np.array_equal(masks[c], expected)
            assert regions[i, c] == left
            assert counts[i, c] == label(before[i][c]).max()
        assert boxes[i].tolist() == twin_box(masks)


@pytest.mark.parametrize(("size", "stays"), [(19, False), (20, True), (21, True)])
def test_objects_of_exactly_the_smallest_size_stay(size: int, stays: bool) -> None:
    mask = np.zeros((8, 9), np.uint8)
    rows = np.argwhere(np.ones((3, 7)))[:size] + 1
    mask[rows[:, 0], rows[:, 1]] = 1
    holes = 1 - mask
    flip_small(mask, 1, 20, *run_scratch(8, 9))
    assert mask.sum() == (size if stays else 0)
    flip_small(holes, 0, 20, *run_scratch(8, 9))
    assert (holes == 0).sum() == (size if stays else 0)


def test_small_is_by_edges_not_corners() -> None:
    mask = np.zeros((9, 9), np.uint8)
    mask[1:4, 1:4] = mask[4:7, 4:7] = 1  # one component of 18 by corners, two of 9 by edges
    flip_small(mask, 1, 10, *run_scratch(9, 9))
    assert not mask.any()


def test_room_for_the_most_runs_there_can_be() -> None:
    for h, w in [(1, 1), (3, 8), (8, 3), (5, 5)]:
        runs, row_start, parent, size = run_scratch(h, w)
        assert min(len(runs), len(parent), len(size)) >= h * -(-w // 2)
        assert len(row_start) == h + 1


def test_no_masks_at_all() -> None:
    batch = ImageBatch.from_images([])
    none = np.empty(0, np.uint8)
    assert remove_border_regions(batch, none).shape == (0, 0)
    assert bounding_boxes(batch, none).shape == (0, 4)
