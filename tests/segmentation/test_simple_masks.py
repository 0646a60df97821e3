"""Masks that do not look at pixels: a disc, and masks read from images beside the images."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mask_twins import everything, images_of, planes_of, same_as_twin, speckled, twin_circle

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.segmentation.bits import unpack_bits
from scip_mpi.segmentation.chain import MaskSet, mask_sets, whole_images
from scip_mpi.segmentation.circle import circle
from scip_mpi.segmentation.from_file import file


@settings(max_examples=150, deadline=None)
@given(images_of(60))
def test_a_circle_is_scikit_images_disc(images) -> None:
    same_as_twin(circle, twin_circle, images)


def test_a_circle_of_every_radius_has_the_same_rim() -> None:
    images = [np.zeros((1, n, n + 1), np.uint8) for n in range(1, 200)]
    assert same_as_twin(circle, twin_circle, images) > 10_000


def beside(images: list[np.ndarray], seed: int = 0) -> ImageBatch:
    rng = np.random.default_rng(seed)
    return ImageBatch.from_images(
        [rng.integers(-2, 4, a.shape[1:]) for a in images], dtype=np.int64
    )


@settings(max_examples=100, deadline=None)
@given(images_of(), st.none() | st.lists(st.sampled_from([-2.0, 0, 1, 2.5, 3]), min_size=1))
def test_masks_from_files_are_the_pixels_of_the_values(images, values) -> None:
    batch, given = ImageBatch.from_images(images), beside(images)
    flat = file(batch, everything(batch), np, companions={"mask": given}, values=values)
    assert flat.dtype == np.uint8
    assert flat.size == batch.pixels.size
    for ours, labels in zip(planes_of(batch, flat), given, strict=True):
        inside = labels[0] != 0 if values is None else np.isin(labels[0], values)
        assert (ours == inside).all()


def test_masks_of_each_channel_are_its_own() -> None:
    images = speckled([(9, 12), (20, 7)], 3)
    batch = ImageBatch.from_images(images)
    own = [(i > np.median(i)).astype(np.int64) * 2 for i in images]
    given = {"mask": ImageBatch.from_images(own)}
    for values in (None, [2]):
        flat = file(batch, everything(batch), np, companions=given, values=values)
        for ours, mask in zip(planes_of(batch, flat), own, strict=True):
            assert (ours == (mask > 0)).all()
    two = {"mask": ImageBatch.from_images([m[:2] for m in own])}
    with pytest.raises(UserError, match="'mask' has other channels than the images"):
        file(batch, everything(batch), np, companions=two)


def test_masks_from_files_leave_failed_channels_empty() -> None:
    images = speckled([(9, 12), (20, 7)], 3)
    batch, given = ImageBatch.from_images(images), beside(images)
    enabled = np.array([[True, False, True], [False, True, True]])
    for method, extra in ((circle, {}), (file, {"companions": {"mask": given}})):
        full = planes_of(batch, method(batch, everything(batch), np, **extra))
        some = planes_of(batch, method(batch, enabled, np, **extra))
        for i in range(2):
            assert full[i].any()
            assert np.array_equal(some[i], full[i] & enabled[i][:, None, None])


def test_a_companion_that_there_is_not_is_named_with_those_there_are() -> None:
    images = speckled([(9, 9)], 1)
    batch = ImageBatch.from_images(images)
    there = {"nuclei": beside(images), "cells": beside(images)}
    with pytest.raises(UserError, match=r"kwargs\.companion: .* 'mask'; there are: nuclei, cells"):
        file(batch, everything(batch), np, companions=there)
    with pytest.raises(UserError, match="there are: none"):
        file(batch, everything(batch), np, companions={})
    nobody = ImageBatch.from_images([])
    assert file(nobody, everything(nobody), np, companions={}).shape == (0,)


def test_a_companion_of_another_size_is_refused() -> None:
    batch = ImageBatch.from_images(speckled([(9, 9), (8, 7)], 1), index=[4, 6])
    other = beside(speckled([(9, 9), (7, 8)], 1))
    with pytest.raises(UserError, match=r"image 6 is 8 x 7 pixels, its 'mask' 7 x 8"):
        file(batch, everything(batch), np, companions={"mask": other})
    one = beside(speckled([(9, 9)], 1))
    with pytest.raises(UserError, match="1 images 'mask' for 2 images"):
        file(batch, everything(batch), np, companions={"mask": one})


def test_no_value_at_all_is_refused() -> None:
    nobody = ImageBatch.from_images([])
    with pytest.raises(UserError, match=r"kwargs\.values is empty"):
        file(nobody, everything(nobody), np, companions={}, values=[])


@pytest.mark.parametrize("method", [circle, file])
def test_other_array_modules_are_refused(method) -> None:
    batch = ImageBatch.from_images(speckled([(9, 9)], 1))
    extra = {"companions": {}} if method is file else {}
    with pytest.raises(UserError, match="CPUs only, not with cupy"):
        method(batch, everything(batch), ModuleType("cupy"), **extra)


def test_the_mask_stage_hands_companions_to_those_that_take_them() -> None:
    images = speckled([(9, 12), (20, 7)], 2)
    batch, given = ImageBatch.from_images(images), beside(images, 3)
    sets = [
        MaskSet("a", circle, {}, border=False),
        MaskSet("b", file, {"companion": "m"}, border=False, companions=True),
    ]
    masks = mask_sets(batch, whole_images(batch), sets, [], 0, np, {"m": given})
    disc = circle(batch, everything(batch), np)
    read = file(batch, everything(batch), np, companion="m", companions={"m": given})
    assert np.array_equal(unpack_bits(masks, 0), disc)
    assert np.array_equal(unpack_bits(masks, 1), read)
    with pytest.raises(UserError, match="there are: none"):
        mask_sets(batch, whole_images(batch), sets, [], 0, np)
