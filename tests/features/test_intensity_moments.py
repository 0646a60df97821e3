"""Moments of intensity against scikit-image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from odd_cells import Image, few_cells, odd_cells
from skimage.measure import regionprops

from scip_mpi.features import intensity_moments


def twin(image: Image, mask: np.ndarray) -> np.ndarray:
    """In the order of the columns."""
    if not image[mask].astype(float).sum() > 0:
        return np.full(22, np.nan)
    region = regionprops(mask.astype(int), image.astype(float))[0]
    central, normalised = region.moments_weighted_central, region.moments_weighted_normalized
    orders = intensity_moments.CENTRAL
    return np.array(
        [central[o] for o in orders]
        + [normalised[o] for o in orders[1:]]
        + list(region.moments_weighted_hu)
    )


@settings(max_examples=80, deadline=None)
@given(odd_cells())
def test_any_pixels_in_any_mask(drawn: tuple[Image, np.ndarray]) -> None:
    image, mask = drawn
    if image.min() < 0:
        # Where pixels cancel, so do the digits of either.
        return
    ours = np.array([c[0] for c in intensity_moments.measure([image], [mask], ["A"]).values()])
    theirs = twin(image[0], mask)
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    # Odd moments of symmetric cells are nothing but rounding.
    size = 1e-11 * np.nan_to_num(theirs[:8]).max() * max(mask.shape)
    assert np.allclose(ours[:8], theirs[:8], rtol=1e-6, atol=size, equal_nan=True)
    assert np.allclose(ours[8:], theirs[8:], rtol=1e-6, atol=1e-10, equal_nan=True)


def test_no_digit_is_lost_on_cells() -> None:
    images, masks = few_cells(1)
    ours = np.column_stack(list(intensity_moments.measure(images, masks, ["A"]).values()))
    theirs = np.stack([twin(i[0], m) for i, m in zip(images, masks, strict=True)])
    assert np.allclose(ours, theirs, rtol=1e-6, atol=0)


def test_negative_pixels_count() -> None:
    image = np.array([[[4.0, -1.0, 3.0], [2.0, 8.0, -2.0]]], np.float32)
    ours = [c[0] for c in intensity_moments.measure([image], None, ["A"]).values()]
    theirs = twin(image[0], np.ones((2, 3), bool))
    assert np.allclose(ours, theirs, rtol=1e-6, atol=1e-12)
