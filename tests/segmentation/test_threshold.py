"""threshold equals scikit-image and numpy pixel for pixel; its settings are checked."""

from __future__ import annotations

from functools import partial

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
    twin_threshold,
)

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.segmentation.threshold import threshold

SETTINGS: dict[str, dict] = {
    "fixed": {"method": "fixed", "value": 1000},
    "fixed-dark": {"method": "fixed", "value": -12.5, "foreground": "dark"},
    "otsu": {"method": "otsu"},
    "otsu-smooth": {"method": "otsu", "smooth": 1.3},
    "otsu-dark": {"method": "otsu", "foreground": "dark"},
    "li": {"method": "li"},
    "li-smooth": {"method": "li", "smooth": 0.6},
    "triangle": {"method": "triangle"},
    "triangle-smooth": {"method": "triangle", "smooth": 1},
    "triangle-dark": {"method": "triangle", "foreground": "dark"},
    "percentile": {"method": "percentile"},
    "percentile-12": {"method": "percentile", "percentile": 12.3, "foreground": "dark"},
    "percentile-0": {"method": "percentile", "percentile": 0},
    "percentile-0-dark": {"method": "percentile", "percentile": 0, "foreground": "dark"},
    "local": {"method": "local"},
    "local-5": {"method": "local", "block_size": 5, "offset": -10.5},
    "local-dark": {"method": "local", "block_size": 9, "smooth": 0.8, "foreground": "dark"},
}
each = pytest.mark.parametrize("name", SETTINGS)
SHAPES = [(40, 40), (31, 52), (64, 20), (9, 70), (5, 7)]


def check(name: str, images: list[np.ndarray]) -> int:
    kwargs = SETTINGS[name]
    return same_as_twin(partial(threshold, **kwargs), partial(twin_threshold, **kwargs), images)


@each
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_pixel(name: str, dtype: str) -> None:
    images = [as_type(a, dtype) for a in speckled(SHAPES, 3, seed=1)]
    inside = check(name, images)
    assert inside > 20 or name.startswith("fixed")


@each
def test_real_cells(name: str, shared_dir) -> None:
    images = [tifffile.imread(f) for f in jurkat_files(shared_dir, 40)]
    assert check(name, images) > 100 or name == "fixed-dark"


@settings(max_examples=250, deadline=None)
@given(images_of(), st.sampled_from(sorted(SETTINGS)))
def test_odd_shapes_of_few_levels(images, name: str) -> None:
    check(name, images)


@each
def test_wide_and_narrow_ranges(name: str) -> None:
    rng = np.random.default_rng(2)
    for low, high in [(0, 1e-9), (-1e15, 1e15), (1e6, 1e6 + 1e-3), (0, 1e-300)]:
        check(name, [rng.uniform(low, high, (2, 17, 23)) for _ in range(3)])
    check(name, [rng.integers(-32768, 32768, (2, 30, 30)).astype(np.int16)])
    check(name, [rng.integers(0, 65536, (2, 30, 30)).astype(np.uint16)])


@pytest.mark.parametrize("name", ["otsu", "otsu-smooth", "li", "triangle", "triangle-dark"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_flat_plane_has_no_threshold(name: str, dtype: str) -> None:
    batch = ImageBatch.from_images([np.full((2, 6, 5), 17, dtype), np.zeros((2, 3, 9), dtype)])
    assert not threshold(batch, everything(batch), np, **SETTINGS[name]).any()


@each
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_pixels_that_are_not_finite_have_no_say(name: str, dtype: str) -> None:
    image = as_type(speckled([(30, 31)], 1)[0], dtype)
    batch = ImageBatch.from_images([np.full_like(image, np.nan), image, image])
    batch.image(1)[0, 0, :3] = np.nan, np.inf, -np.inf
    masks = planes_of(batch, threshold(batch, everything(batch), np, **SETTINGS[name]))
    assert not masks[0].any()
    assert not masks[1][0, 0, 0]
    alone = ImageBatch.from_images([image])
    expected = threshold(alone, everything(alone), np, **SETTINGS[name])
    assert np.array_equal(masks[2].ravel(), expected)
    if "smooth" not in SETTINGS[name] and SETTINGS[name]["method"] in ("otsu", "triangle"):
        finite = image[0][np.isfinite(batch.image(1)[0])].astype(float)[np.newaxis]
        inside = twin_threshold(finite, **SETTINGS[name])[0]
        assert np.array_equal(masks[1][0][np.isfinite(batch.image(1)[0])], inside)


def test_one_value_and_one_sigma_for_each_channel() -> None:
    batch = ImageBatch.from_images(speckled(SHAPES, 3, seed=6))
    values, sigmas = [900, 1200.5, 3000], [0, 0.7, 2]
    flat = threshold(batch, everything(batch), np, method="fixed", value=values, smooth=sigmas)
    for ours, image in zip(planes_of(batch, flat), batch, strict=True):
        for c in range(3):
            twin = twin_threshold(image[c], "fixed", value=values[c], smooth=sigmas[c])
            assert np.array_equal(ours[c], twin)


def test_channels_that_failed_stay_empty() -> None:
    batch = ImageBatch.from_images(speckled(SHAPES, 3, seed=5))
    full = planes_of(batch, threshold(batch, everything(batch), np, method="otsu"))
    enabled = np.random.default_rng(0).random((len(batch), 3)) < 0.5
    some = planes_of(batch, threshold(batch, enabled, np, method="otsu"))
    for i in range(len(batch)):
        assert np.array_equal(some[i], full[i] & enabled[i][:, None, None])


WRONG = [
    ({"method": "fixed"}, r"kwargs\.value is missing"),
    ({"method": "otsu", "value": 3}, r"kwargs\.value has no meaning with method otsu"),
    ({"method": "li", "percentile": 50}, r"kwargs\.percentile has no meaning with method li"),
    ({"method": "fixed", "value": 3, "block_size": 5}, r"kwargs\.block_size has no meaning"),
    ({"method": "triangle", "offset": 1}, r"kwargs\.offset has no meaning"),
    ({"method": "percentile", "percentile": 101}, r"kwargs\.percentile must be from 0 to 100"),
    ({"method": "percentile", "percentile": float("nan")}, r"kwargs\.percentile must be"),
    ({"method": "local", "block_size": 4}, r"kwargs\.block_size must be an odd number"),
    ({"method": "local", "block_size": 1}, r"kwargs\.block_size must be an odd number"),
    ({"method": "local", "offset": float("inf")}, r"kwargs\.offset must be finite"),
    ({"method": "fixed", "value": float("nan")}, r"kwargs\.value must be finite"),
    (
        {"method": "otsu", "smooth": -1},
        r"threshold: kwargs\.smooth must be from 0 to 250 pixels, not -1",
    ),
    ({"method": "mean"}, r"kwargs\.method must be one of fixed, otsu"),
    ({"method": "otsu", "foreground": "white"}, r"kwargs\.foreground must be bright or dark"),
]


@pytest.mark.parametrize(("kwargs", "message"), WRONG)
@pytest.mark.parametrize("images", [0, 1])
def test_wrong_settings_are_named_without_images_too(kwargs, message: str, images: int) -> None:
    batch = ImageBatch.from_images(speckled([(9, 9)] * images, 3))
    with pytest.raises(UserError, match=message):
        threshold(batch, everything(batch), np, **kwargs)


@pytest.mark.parametrize("key", ["value", "smooth"])
def test_as_many_numbers_as_channels(key: str) -> None:
    batch = ImageBatch.from_images(speckled([(9, 9)], 3))
    kwargs = {"value": 1, key: [1, 2]}
    with pytest.raises(UserError, match=rf"kwargs\.{key} has 2 values, the images have 3"):
        threshold(batch, everything(batch), np, method="fixed", **kwargs)
