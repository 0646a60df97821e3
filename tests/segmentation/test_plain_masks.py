"""circle, sobel, threshold, watershed, file, and what may be done to any mask, against twins."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tifffile
from cells import jurkat_files
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mask_twins import (
    DTYPES,
    as_type,
    planes_of,
    speckled,
    twin_circle,
    twin_sobel,
    twin_threshold,
    twin_watershed,
)
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import disk, opening

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.segmentation.chain import MaskSet, mask_sets, whole_images
from scip_mpi.segmentation.circle import circle
from scip_mpi.segmentation.cleaning import Cleaning, clean, keep_largest
from scip_mpi.segmentation.mask_files import from_file
from scip_mpi.segmentation.sobel import sobel
from scip_mpi.segmentation.threshold import METHODS, threshold
from scip_mpi.segmentation.watershed import watershed

TWINS = {
    "circle": (circle, twin_circle),
    "sobel": (sobel, twin_sobel),
    "watershed": (watershed, twin_watershed),
}
for method in METHODS:
    for side in ("bright", "dark"):
        for sigma in (0.0, 1.3):
            options = {"method": method, "foreground": side, "smooth": sigma}
            if method == "fixed":
                options["value"] = 820.0
            twin = partial(twin_threshold, method=method, foreground=side, sigma=sigma)
            TWINS[f"{method}-{side}-{sigma}"] = (partial(threshold, **options), twin)
SHAPES = [(40, 40), (31, 52), (64, 20), (9, 70), (5, 7)]
names = pytest.mark.parametrize("name", TWINS)


def masks_of(name: str, batch: ImageBatch) -> np.ndarray:
    enabled = np.ones((len(batch), batch.channels), bool)
    return TWINS[name][0](batch, enabled, np)


def check(name: str, images: list[np.ndarray]) -> int:
    """Compare every plane with its twin; the number of pixels in masks."""
    batch = ImageBatch.from_images(images)
    flat = masks_of(name, batch)
    assert flat.dtype == np.uint8
    assert flat.shape == batch.pixels.shape
    assert flat.max(initial=0) <= 1
    for i, (ours, image) in enumerate(zip(planes_of(batch, flat), batch, strict=True)):
        for c, plane in enumerate(image):
            differ = int((ours[c] != TWINS[name][1](plane)).sum())
            assert not differ, f"image {i}, channel {c}: {differ} pixels"
    return int(flat.sum())


@names
def test_ragged_images(name: str) -> None:
    assert check(name, speckled(SHAPES * 2, 2)) > 50


@names
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_pixel(name: str, dtype: str) -> None:
    check(name, [as_type(a, dtype) for a in speckled(SHAPES, 2, seed=1)])


@names
def test_real_cells(name: str, shared_dir) -> None:
    assert check(name, [tifffile.imread(f) for f in jurkat_files(shared_dir, 14)]) > 50


@names
def test_flat_and_tiny_images(name: str) -> None:
    shapes = [(1, 1), (1, 9), (13, 1), (2, 2), (30, 30)]
    check(name, [np.full((1, *s), v, np.uint16) for s in shapes for v in (0, 819, 821, 65535)])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 14), st.integers(1, 14)), min_size=1, max_size=3),
    st.sampled_from(DTYPES),
    st.integers(1, 250),
    st.integers(0, 2**32),
    st.sampled_from(sorted(TWINS)),
)
def test_odd_shapes_of_few_levels(shapes, dtype, levels, seed, name) -> None:
    rng = np.random.default_rng(seed)
    top = min(levels, 127)
    check(name, [rng.integers(0, top, (2, h, w)).astype(dtype) for h, w in shapes])


@names
def test_no_images_and_no_channels(name: str) -> None:
    assert masks_of(name, ImageBatch.from_images([])).size == 0
    batch = ImageBatch.from_images(speckled(SHAPES, 2))
    enabled = np.zeros((len(batch), 2), bool)
    enabled[1, 1] = True
    some = planes_of(batch, TWINS[name][0](batch, enabled, np))
    full = planes_of(batch, masks_of(name, batch))
    for i, (mine, all_of_it) in enumerate(zip(some, full, strict=True)):
        for c in range(2):
            want = all_of_it[c] if (i, c) == (1, 1) else np.zeros_like(mine[c])
            np.testing.assert_array_equal(mine[c], want)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_give_no_mask(value: float) -> None:
    image = np.random.default_rng(0).random((1, 9, 9))
    image[0, 4, 4] = value
    batch = ImageBatch.from_images([image])
    for name in ("sobel", "watershed", "otsu-bright-0.0", "li-dark-1.3"):
        assert not masks_of(name, batch).any()


def test_noisy_channels_are_denoised() -> None:
    batch = ImageBatch.from_images(speckled([(40, 40)], 2))
    enabled = np.ones((1, 2), bool)
    plain = planes_of(batch, watershed(batch, enabled, np))[0]
    noisy = planes_of(batch, watershed(batch, enabled, np, noisy_channels=[1]))[0]
    np.testing.assert_array_equal(noisy[0], plain[0])
    np.testing.assert_array_equal(noisy[1], twin_watershed(batch.image(0)[1], noisy=True))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "fixed"}, "value is missing"),
        ({"method": "otsu", "value": 4.0}, "for method fixed only"),
        ({"method": "percentile", "percentile": 101.0}, "between 0 and 100"),
        ({"method": "local", "block_size": 4}, "must be odd"),
        ({"smooth": -1.0}, "smooth must be 0 or more"),
        ({"smooth": [1.0, 2.0, 3.0]}, "3 values, the images have 2 channels"),
        ({"method": "local", "offset": np.inf}, "must be finite"),
    ],
)
def test_thresholds_that_cannot_be_meant(wrong: dict, message: str) -> None:
    batch = ImageBatch.from_images([np.ones((2, 5, 5), np.uint8)])
    with pytest.raises(UserError, match=message):
        threshold(batch, np.ones((1, 2), bool), np, **wrong)


def test_local_offset_and_percentile() -> None:
    plane = np.random.default_rng(2).integers(0, 99, (20, 21)).astype(np.uint8)
    batch = ImageBatch.from_images([plane])
    one = np.ones((1, 1), bool)
    found = threshold(batch, one, np, method="local", block_size=5, offset=7.0)
    mean = ndimage.uniform_filter(plane.astype(float), 5, mode="reflect")
    np.testing.assert_array_equal(found.reshape(plane.shape), plane > mean - 7)
    found = threshold(batch, one, np, method="percentile", percentile=33.3)
    np.testing.assert_array_equal(found.reshape(plane.shape), plane > np.percentile(plane, 33.3))


@settings(max_examples=40, deadline=None)
@given(
    hnp.arrays(
        np.int64,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
        elements=st.sampled_from([0, 1, 128, 255]),
    ),
    st.sampled_from([None, [255], [1, 128], []]),
)
def test_masks_from_pictures(drawn: np.ndarray, values: list[int] | None) -> None:
    images = ImageBatch.from_images([np.zeros((2, *drawn.shape), np.uint8)] * 2)
    companions = {"mask": ImageBatch.from_images([drawn, drawn[::-1]])}
    enabled = np.array([[True, True], [True, False]])
    found = planes_of(images, from_file(images, enabled, np, companions=companions, values=values))
    want = drawn != 0 if values is None else np.isin(drawn, values)
    np.testing.assert_array_equal(found[0], [want, want])
    np.testing.assert_array_equal(found[1], [want[::-1], np.zeros_like(want)])


def test_an_unknown_companion_is_named() -> None:
    batch = ImageBatch.from_images([np.zeros((1, 3, 3), np.uint8)])
    with pytest.raises(UserError, match=r"no companion is called 'mask'.*has drawn"):
        from_file(batch, np.ones((1, 1), bool), np, companions={"drawn": batch})


BITS = hnp.arrays(
    np.uint8,
    st.tuples(st.just(2), st.integers(1, 14), st.integers(1, 14)),
    elements=st.sampled_from([0, 1, 1]),
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(BITS, min_size=1, max_size=3),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 9),
    st.sampled_from([None, 1, 12]),
)
def test_cleaning(images, radius: int, fill: bool, least: int, most: int | None) -> None:
    batch = ImageBatch.from_images(images)
    found = batch.pixels.copy()
    clean(batch, found, Cleaning(radius, fill, least, most))
    for image, ours in zip(images, planes_of(batch, found), strict=True):
        for plane, mine in zip(image, ours, strict=True):
            mask = opening(plane, disk(radius)) > 0 if radius else plane > 0
            if fill:
                mask = ndimage.binary_fill_holes(mask)
            labels = label(mask, connectivity=2)
            sizes = np.bincount(labels.ravel())
            good = (sizes >= least) & (sizes <= (most or np.inf))
            good[0] = False
            np.testing.assert_array_equal(mine, good[labels])


@settings(max_examples=100, deadline=None)
@given(st.lists(BITS, min_size=1, max_size=3))
def test_the_largest_component(images) -> None:
    batch = ImageBatch.from_images(images)
    found = batch.pixels.copy()
    keep_largest(batch, found)
    for image, ours in zip(images, planes_of(batch, found), strict=True):
        for plane, mine in zip(image, ours, strict=True):
            labels = label(plane, connectivity=2)
            sizes = np.bincount(labels.ravel())[1:]
            want = labels == np.argmax(sizes) + 1 if len(sizes) else labels > 0
            np.testing.assert_array_equal(mine, want)


def test_the_options_of_a_set_come_in_their_order() -> None:
    plane = np.zeros((30, 30), np.uint8)
    plane[0:9, 0:30] = 200  # the largest, on the border
    plane[12:18, 4:10] = 200
    plane[14, 6] = 0  # a hole
    plane[20:24, 15:19] = 200
    batch = ImageBatch.from_images([plane])
    given_ = {"method": "fixed", "value": 100.0}

    def found(**options: object) -> tuple[np.ndarray, int]:
        border = options.pop("border", True)
        chosen = MaskSet("a", threshold, given_, border=border, cleaning=Cleaning(**options))
        masks = mask_sets(batch, whole_images(batch), [chosen], [], 0, np)
        bits = np.unpackbits(masks.bits, bitorder="little")[:900].reshape(30, 30)
        return bits, int(masks.regions[0, 0, 0])

    bits, regions = found(largest_component=True, fill_holes=True)
    # The one on the border was removed before the largest was chosen.
    assert (regions, bits.sum(), bits[14, 6]) == (1, 36, 1)
    bits, regions = found(border=False, largest_component=True)
    assert (regions, bits.sum()) == (1, 270)
    bits, regions = found(max_size=20)
    assert (regions, bits.sum()) == (1, 16)
    assert found()[1] == 2
