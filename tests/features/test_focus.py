"""Measures of focus, against SciPy's filters and NumPy's Fourier transform."""

from __future__ import annotations

import filter_twins
import numpy as np
from hypothesis import given, settings
from scipy import ndimage
from test_families import cells, masked_cells, odd_images

from scip_mpi.features import focus


def check(image: np.ndarray, mask: np.ndarray) -> None:
    ours = focus.select(mask="own").measure([image], [mask])
    found = np.array([v[0] for v in ours.values()]).reshape(len(image), 3)
    for values, plane, own in zip(found, image, mask, strict=True):
        expected = filter_twins.focus(plane, own)
        size = max(float(np.abs(plane.astype(float)).max()), 1.0)
        np.testing.assert_allclose(values[:2], expected[:2], rtol=1e-9, atol=1e-12 * size**2)
        np.testing.assert_allclose(values[2], expected[2], rtol=1e-6, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(odd_images())
def test_odd_images(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    check(*drawn)


@settings(max_examples=40, deadline=None)
@given(masked_cells())
def test_any_mask_on_any_pixels(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    check(*drawn)


def test_cells_of_every_size_up_to_hundreds_of_pixels() -> None:
    images, masks = cells("uint16")
    rng = np.random.default_rng(1)
    images.append(rng.integers(0, 4096, (2, 200, 300), np.uint16))
    masks.append(np.ones((2, 200, 300), bool))
    for image, mask in zip(images, masks, strict=True):
        check(image, mask)


def test_blur_lowers_all_three() -> None:
    rng = np.random.default_rng(2)
    sharp = ndimage.gaussian_filter(rng.normal(size=(64, 64)), 1.0) * 1000
    images = [sharp, *(ndimage.gaussian_filter(sharp, s) for s in (0.7, 1.5, 3))]
    for name, values in focus.measure(images).items():
        assert (np.diff(values) < 0).all(), name


def test_the_gradient_of_a_slope_and_what_is_undefined() -> None:
    ramp = np.tile(np.arange(8.0) * 3, (6, 1))
    found = focus.measure([ramp, np.full((6, 8), 5.0), np.full((1, 8), 5.0)])
    assert found["focus_gradient_0"][:2].tolist() == [9, 0]
    assert found["focus_laplacian_0"][:2].tolist() == [0, 0]
    assert np.isnan(found["focus_gradient_0"][2])
    assert np.isnan(found["focus_power_slope_0"][1:]).all()
    broken = focus.measure([np.array([[np.nan, 1, 2], [1, 2, 3], [2, 3, 4]])])
    assert np.isnan([v[0] for v in broken.values()]).all()
