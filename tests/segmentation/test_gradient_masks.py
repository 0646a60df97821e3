"""sobel and watershed equal scikit-image's chains pixel for pixel."""

from __future__ import annotations

from functools import partial
from types import ModuleType

import numpy as np
import pytest
import tifffile
from cells import jurkat_files
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_twins import (
    DTYPES,
    as_type,
    everything,
    images_of,
    planes_of,
    same_as_twin,
    speckled,
    twin_sobel,
    twin_watershed,
)

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.segmentation.sobel import sobel
from scip_mpi.segmentation.watershed import watershed

METHODS = {
    "sobel": (sobel, twin_sobel),
    "watershed": (watershed, partial(twin_watershed, noisy=False)),
    "watershed-noisy": (
        partial(watershed, noisy_channels=[0, 1, 2]),
        partial(twin_watershed, noisy=True),
    ),
}
SHAPES = [(40, 40), (31, 52), (64, 20), (9, 70), (26, 26), (5, 7)]
each = pytest.mark.parametrize("name", METHODS)


@each
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_pixel(name: str, dtype: str) -> None:
    images = [as_type(a, dtype) for a in speckled(SHAPES, 3, seed=1)]
    assert same_as_twin(*METHODS[name], images) > 100


@each
def test_real_cells(name: str, shared_dir) -> None:
    images = [tifffile.imread(f) for f in jurkat_files(shared_dir, 40)]
    assert same_as_twin(*METHODS[name], images) > 1000


@settings(max_examples=150, deadline=None)
@given(images_of(20), st.sampled_from(["sobel", "watershed"]))
def test_odd_shapes_of_few_levels(images, name: str) -> None:
    same_as_twin(*METHODS[name], images)


@settings(max_examples=60, deadline=None)
@given(images_of())
def test_denoising_of_odd_shapes_does_no_harm(images) -> None:
    batch = ImageBatch.from_images(images)
    noisy = list(range(batch.channels))
    masks = watershed(batch, everything(batch), np, noisy_channels=noisy)
    assert masks.size == batch.pixels.size
    assert masks.max(initial=0) <= 1


@each
def test_flat_and_infinite_planes_are_empty_and_harm_no_other(name: str) -> None:
    method, _ = METHODS[name]
    images = [as_type(a, "f4") for a in speckled([(30, 30)] * 4, 3)]
    images[0][:] = 7
    images[1][:, 3, 4] = np.nan
    images[2][:, 3, 4] = np.inf
    batch = ImageBatch.from_images(images)
    masks = planes_of(batch, method(batch, everything(batch), np))
    alone = ImageBatch.from_images(images[3:])
    assert not any(m.any() for m in masks[:3])
    assert np.array_equal(masks[3].ravel(), method(alone, everything(alone), np))
    assert masks[3].any()


def test_only_noisy_channels_are_denoised_and_the_pixels_stay() -> None:
    batch = ImageBatch.from_images(speckled(SHAPES, 3, seed=2))
    before = batch.pixels.copy()
    ours = planes_of(batch, watershed(batch, everything(batch), np, noisy_channels=[1]))
    assert np.array_equal(batch.pixels, before)
    for masks, image in zip(ours, batch, strict=True):
        for c in range(3):
            assert np.array_equal(masks[c], twin_watershed(image[c], noisy=c == 1))


@each
def test_channels_that_failed_stay_empty(name: str) -> None:
    method, _ = METHODS[name]
    batch = ImageBatch.from_images(speckled(SHAPES, 3, seed=5))
    full = planes_of(batch, method(batch, everything(batch), np))
    enabled = np.random.default_rng(0).random((len(batch), 3)) < 0.5
    some = planes_of(batch, method(batch, enabled, np))
    for i in range(len(batch)):
        assert np.array_equal(some[i], full[i] & enabled[i][:, None, None])


@pytest.mark.parametrize("channel", [-1, 3])
def test_a_noisy_channel_that_there_is_not_is_named(channel: int) -> None:
    batch = ImageBatch.from_images(speckled([(9, 9)], 3))
    with pytest.raises(UserError, match=rf"kwargs\.noisy_channels: no channel {channel}"):
        watershed(batch, everything(batch), np, noisy_channels=[channel])


@pytest.mark.parametrize("method", [sobel, watershed])
def test_other_array_modules_are_refused(method) -> None:
    batch = ImageBatch.from_images(speckled([(9, 9)], 1))
    with pytest.raises(UserError, match="CPUs only, not with cupy"):
        method(batch, everything(batch), ModuleType("cupy"))
