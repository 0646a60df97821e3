"""Fields in tiles: cutting, thresholds from counts, and objects stitched at seams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.filters import threshold_li, threshold_otsu, threshold_triangle

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.segmentation.field_threshold import threshold
from scip_mpi.segmentation.fields import FieldPlan, Segmenter, segment_fields
from scip_mpi.segmentation.label_files import labels as from_files
from scip_mpi.segmentation.tiles import levels, pieces, stitch
from scip_mpi.segmentation.tiles.grid import Grid, common, within

GRIDS = st.builds(
    Grid, st.integers(1, 40), st.integers(1, 40), st.integers(3, 20), st.integers(1, 9)
)


@given(GRIDS)
def test_cores_cover_a_field_once(grid: Grid) -> None:
    seen = np.zeros((grid.height, grid.width), int)
    for k in range(len(grid)):
        r0, c0, r1, c1 = grid.core(k)
        assert r1 - r0 <= grid.size
        assert c1 - c0 <= grid.size
        seen[r0:r1, c0:c1] += 1
        around = np.zeros_like(seen)
        around[within(grid.around(k), (0, 0, grid.height, grid.width))] = 1
        near = ndimage.binary_dilation(
            common_mask(seen.shape, grid.core(k)), np.ones((3, 3)), iterations=grid.halo
        )
        np.testing.assert_array_equal(around, near)
    assert (seen == 1).all()


def common_mask(shape: tuple[int, ...], box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[box[0] : box[2], box[1] : box[3]] = True
    return mask


@given(GRIDS, st.data())
def test_tiles_in_a_box(grid: Grid, data: st.DataObject) -> None:
    r0 = data.draw(st.integers(0, grid.height - 1))
    c0 = data.draw(st.integers(0, grid.width - 1))
    box = r0, c0, data.draw(st.integers(r0 + 1, grid.height)), c0 + 1
    have = [
        k
        for k in range(len(grid))
        if (np.array(common(grid.core(k), box))[2:] > common(grid.core(k), box)[:2]).all()
    ]
    assert grid.touching(box) == have


PLANES = hnp.arrays(
    np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 700)
)


@given(PLANES)
def test_levels_of_whole_numbers_are_scikit_images(plane: np.ndarray) -> None:
    low, high = levels.value_range(plane).tolist()
    if low == high:
        return
    bins = levels.bins_for(plane.dtype, low, high)
    counts = sum(levels.value_counts(row, low, high, bins, "otsu") for row in plane)
    above = plane > levels.level("otsu", counts, low, high, True)
    np.testing.assert_array_equal(above, plane > threshold_otsu(plane))
    above = plane > levels.level("li", counts, low, high, True)
    np.testing.assert_array_equal(above, plane > threshold_li(plane, tolerance=1e-9))


@pytest.mark.parametrize(
    ("word", "whole"), [("otsu", threshold_otsu), ("triangle", threshold_triangle)]
)
@pytest.mark.parametrize("seed", range(4))
def test_levels_of_fractions_are_scikit_images(
    word: levels.Word, whole: Callable[[Any], float], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    plane = np.concatenate([rng.normal(5, 1, (40, 50)), rng.normal(9, 2, (25, 50))])
    plane = plane if seed % 2 else -plane
    low, high = levels.value_range(plane).tolist()
    counts = levels.value_counts(plane[:30], low, high, 256, word)
    counts = counts + levels.value_counts(plane[30:], low, high, 256, word)
    assert levels.level(word, counts, low, high, False) == pytest.approx(whole(plane), abs=1e-12)


def test_li_of_fractions_is_scikit_images_whoever_counts_what() -> None:
    rng = np.random.default_rng(5)
    plane = np.concatenate([rng.normal(50, 9, (800, 50)), rng.normal(90, 20, (250, 50))])
    low, high = levels.value_range(plane).tolist()
    found = set()
    for cut in (1, 77, 500):
        parts = np.split(plane, [cut])
        counts = sum(levels.value_counts(p, low, high, levels.BINS, "li") for p in parts)
        found.add(levels.level("li", counts, low, high, False))
    assert len(found) == 1
    # A pixel in the bin of the threshold may count as on its other side.
    assert found.pop() == pytest.approx(threshold_li(plane, tolerance=1e-9), abs=1e-3)


def test_equal_pixels_are_all_background() -> None:
    for dtype in (np.uint8, np.float32):
        batch = ImageBatch.from_images([np.full((1, 5, 5), 7, dtype)])
        assert not threshold(batch, np, channel=0).any()


def test_pixels_that_are_equal_but_for_rounding_are_all_background() -> None:
    plane = np.full((4, 5), 7.0)
    plane[1, 2] = np.nextafter(7.0, 8)
    for word in ("li", "otsu", "triangle"):
        counts = levels.value_counts(plane, 7.0, plane.max(), 256, word)
        assert levels.level(word, counts, 7.0, plane.max(), False) == plane.max()


def test_a_threshold_must_be_a_number() -> None:
    with pytest.raises(UserError, match="must be a number"):
        threshold(ImageBatch.from_images([]), np, channel=0, threshold=np.nan)


def in_tiles(
    plane: np.ndarray, grid: Grid, seams: pieces.Seams, label: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, stitch.Stitched]:
    """Labels of a field by its tiles, and their table."""
    found, known = [], []
    for k in range(len(grid)):
        box = within(grid.around(k), (0, 0, grid.height, grid.width))
        ids, own = np.unique(label(plane[box]), return_inverse=True)
        own = own.reshape(plane[box].shape).astype(np.int32) + (ids[0] != 0)
        ids = ids[ids != 0]
        key = ids if seams == "value" else pieces.first_keys(own, grid, k, len(ids))
        found.append(own)
        known.append(pieces.pieces_of(own, grid, k, key.astype(np.int64)))
    pairs = [
        (k, other, pieces.same_objects(grid, k, found[k], other, found[other], seams))
        for k in range(len(grid))
        for other in grid.later_neighbours(k)
        if seams != "value"
    ]
    united = stitch.stitch(known, pairs, seams)
    out = np.zeros(plane.shape, np.int64)
    for k, own in enumerate(found):
        number = np.append(0, united.number[united.starts[k] : united.starts[k + 1]])
        core = grid.core(k)
        out[within(core, (0, 0, grid.height, grid.width))] = number[
            own[within(core, grid.around(k))]
        ]
    return out, united


FIELD = hnp.arrays(np.int64, st.tuples(st.integers(4, 30), st.integers(4, 30)),
                   elements=st.sampled_from([0, 0, 1, 1, 1, 5, 2**40]))  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(FIELD, st.integers(3, 12), st.integers(1, 5), st.sampled_from(["value", "touch"]))
def test_stitched_objects_are_those_of_the_whole_field(
    plane: np.ndarray, size: int, halo: int, seams: pieces.Seams
) -> None:
    grid = Grid(*plane.shape, size, halo)
    batch = ImageBatch.from_images([(plane > 0).astype(np.uint16)])
    if seams == "value":
        segmenter = Segmenter(from_files, {}, companions=True)
        companions = {"labels": ImageBatch.from_images([plane])}
        whole = segment_fields(batch, FieldPlan(0, segmenter), companions, np)
        out, united = in_tiles(plane, grid, seams, lambda p: p)
    else:
        whole = segment_fields(
            batch, FieldPlan(0, Segmenter(threshold, {"threshold": 0.5})), {}, np
        )
        out, united = in_tiles(plane, grid, seams, lambda p: ndimage.label(p > 0)[0])
    np.testing.assert_array_equal(out, whole.labels.image(0)[0])
    np.testing.assert_array_equal(united.label, whole.objects.label)
    np.testing.assert_array_equal(united.bbox, whole.objects.bbox)
    frame = np.ones(plane.shape, bool)
    frame[1:-1, 1:-1] = False
    for k in range(len(united.label)):
        mine = out == k + 1
        assert united.area[k] == mine.sum()
        assert (united.edge[k] > 0) == (mine & frame).any()
        shares = [mine[within(grid.core(t), (0, 0, *plane.shape))].sum() for t in range(len(grid))]
        assert united.tile[k] == np.argmax(shares)


def test_objects_are_one_by_most_of_their_pixels() -> None:
    grid = Grid(8, 16, 8, 4)
    left, right = np.zeros((8, 12), np.int32), np.zeros((8, 12), np.int32)
    # In the field's columns 4 to 12, which both see: the same; half as large; not seen by one.
    left[0, 6:10], right[0, 2:6] = 1, 1
    left[2, 6:10], right[2, 2:4] = 2, 2
    left[4, 6:10] = 3
    same = pieces.same_objects(grid, 0, left, 1, right, "overlap")
    np.testing.assert_array_equal(same, [[1, 1]])
    same = pieces.same_objects(grid, 0, left, 1, right, "touch")
    np.testing.assert_array_equal(same, [[1, 1], [2, 2]])
