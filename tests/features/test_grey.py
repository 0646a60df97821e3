"""Grey levels: IBSI's fixed number of them, exact for whole numbers of any type."""

from __future__ import annotations

import grey_twins
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_families import masked_cells

from scip_mpi.batches import ImageBatch, Scratch
from scip_mpi.errors import UserError
from scip_mpi.features import gldm, glszm, haralick, ngtdm
from scip_mpi.features.family import whole_sets
from scip_mpi.features.grey import Levels, grey_levels, grey_settings

MARGIN = 2


def levels_of(
    images: list[np.ndarray], masks: list[np.ndarray], levels: Levels, mask: str = "own"
) -> list[list[np.ndarray | None]]:
    """Levels of each image's channels, 0 outside the mask; None where they are undefined."""
    batch = ImageBatch.from_images(images)
    sets = whole_sets(batch, ImageBatch.from_images(masks, dtype=np.uint8).pixels)
    grey = grey_levels(batch, sets, grey_settings(None, mask, levels), MARGIN, Scratch())
    channels = batch.channels
    found: list[list[np.ndarray | None]] = []
    for i, (_, h, w) in enumerate(batch.shapes):
        found.append([])
        for c in range(channels):
            size = grey.pixels.starts[i + 1] - grey.pixels.starts[i]
            at = grey.pixels.starts[i] * channels + c * size
            plane = grey.levels[at : at + size].reshape(h + 2 * MARGIN, w + 2 * MARGIN)
            if grey.defined[i, c]:
                assert plane.sum() == plane[MARGIN:-MARGIN, MARGIN:-MARGIN].sum()
                found[-1].append(plane[MARGIN:-MARGIN, MARGIN:-MARGIN].copy())
            else:
                found[-1].append(None)
    return found


@settings(max_examples=100, deadline=None)
@given(masked_cells(), st.sampled_from([2, 3, 32, 255, 256]))
def test_levels_are_those_of_whole_numbers(
    drawn: tuple[np.ndarray, np.ndarray], number: int
) -> None:
    image, mask = drawn
    (found,) = levels_of([image], [mask], number)
    for plane, own, levels in zip(image, mask, found, strict=True):
        if not own.any():
            assert levels is None
            continue
        # Floats of these cells are whole numbers times 0.37, which float64 does not hold exactly.
        exact = plane if plane.dtype.kind in "iu" else np.round(plane / 0.37)
        expected = grey_twins.levels_of(exact, own, number)
        if plane.dtype.kind in "iu":
            assert np.array_equal(levels, expected)
        else:
            assert np.abs(levels.astype(int) - expected).max() <= 1
            assert levels[own].min() == 1


@pytest.mark.parametrize("dtype", ["int32", "float64"])
def test_levels_of_large_numbers_at_the_edge_of_a_level(dtype: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        number = int(rng.integers(2, 257))
        low, high = sorted(int(v) for v in rng.integers(-(2**31), 2**31 - 1, 2))
        edges = [low + -(-k * (high - low) // number) for k in range(number + 1)]
        values = np.unique(np.clip([e + d for e in edges for d in (-1, 0, 1)], low, high))
        plane = values.astype(dtype)[None]
        (((levels,),),) = (levels_of([plane], [np.ones(plane.shape, bool)], number),)
        assert levels is not None
        assert np.array_equal(levels, grey_twins.levels_of(plane, levels > 0, number))


def test_ends_of_the_range_and_equal_pixels() -> None:
    mask = np.ones((1, 4), bool)
    images = [np.array([v], np.uint16) for v in ([0, 65535, 1, 65534], [7, 7, 7, 7], [0, 0, 0, 1])]
    found = levels_of(images, [mask] * 3, 4)
    assert [f[0].tolist() for f in found if f[0] is not None] == [
        [[1, 4, 1, 4]], [[1, 1, 1, 1]], [[1, 1, 1, 4]]
    ]  # fmt: skip


def test_what_has_no_levels() -> None:
    mask = np.ones((1, 3), bool)
    odd = ([np.nan, 1, 2], [np.inf, 1, 2], [-1e308, 1e308, 0], [1, 2, 3])
    images = [np.array([v], float) for v in odd]
    found = levels_of(images, [mask] * 4, 8)
    assert [f[0] is None for f in found] == [True, True, True, False]
    # Levels as they are: whole numbers from 1 to 256.
    odd = ([0, 1, 2], [1, 2, 257], [1.5, 2, 3], [np.nan, 1, 2], [1, 256, 30])
    found = levels_of([np.array([v], float) for v in odd], [mask] * 5, "given")
    assert [f[0] is None for f in found] == [True, True, True, True, False]
    assert found[-1][0] is not None
    assert found[-1][0].tolist() == [[1, 256, 30]]
    nothing = glszm.measure([np.array([[np.nan, 1.0]])], [np.ones((1, 2), bool)])
    assert np.isnan(list(nothing.values())).all()


def test_each_channel_in_its_own_mask_or_all_in_the_combined_one() -> None:
    image = np.arange(18, dtype=np.uint16).reshape(2, 3, 3)
    masks = np.zeros((2, 3, 3), bool)
    masks[0, 0] = True
    masks[1, :, 0] = True
    (own,) = levels_of([image], [masks], 9)
    (both,) = levels_of([image], [masks], 9, "combined")
    for c in range(2):
        assert own[c] is not None
        assert both[c] is not None
        assert np.array_equal(own[c] > 0, masks[c])
        assert np.array_equal(both[c] > 0, masks.any(axis=0))


def test_masks_of_more_pixels_than_16_bits_count() -> None:
    image = np.random.default_rng(0).integers(0, 65536, (300, 300), np.uint16)
    image[50:290, 10:] = 500
    mask = np.ones(image.shape, bool)
    mask[10:20, 10:20] = False
    levels = grey_twins.levels_of(image, mask, 32)
    pairs = grey_twins.cooccurrence(levels, "45deg")
    for family, expected in (
        (haralick.select(statistics=["45deg"]), grey_twins.haralick(pairs)),
        (glszm.FAMILY, grey_twins.glszm(levels)),
        (gldm.FAMILY, grey_twins.gldm(levels)),
        (ngtdm.FAMILY, grey_twins.ngtdm(levels)),
    ):
        found = [float(v[0]) for v in family.measure([image], [mask]).values()]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("levels", [1, 257, "all", 8.0])
def test_strange_numbers_of_levels_are_refused(levels: Levels) -> None:
    with pytest.raises(UserError, match="levels"):
        glszm.select(levels=levels)


def test_a_strange_mask_or_channel_is_refused() -> None:
    with pytest.raises(UserError, match="mask"):
        glszm.select(mask="both")
    with pytest.raises(UserError, match="no channel 4"):
        glszm.select(channels=[4]).features(["A", "B"])
