"""Spectra of granules against scikit-image's erosion and reconstruction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_cells import Image, few_cells, odd_cells
from scipy import ndimage
from skimage.morphology import disk, erosion, opening, reconstruction

from scip_mpi.errors import UserError
from scip_mpi.features import granularity, granularity_kernel
from scip_mpi.features.resampling import open_by_disc


def twin(image: Image, mask: np.ndarray, steps: int) -> np.ndarray:
    ys, xs = np.nonzero(mask)
    if not len(ys) or not image[mask].astype(float).sum() > 0:
        return np.full(steps, np.nan)
    box = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    inside = np.pad(mask[box], 1)
    picture = np.pad((image * mask)[box], 1).astype(float)
    first = mean = picture[inside].mean()
    picture = eroded = picture.clip(0)
    found = []
    for _ in range(steps):
        eroded = erosion(eroded, disk(1))
        left = reconstruction(eroded, picture, footprint=disk(1))[inside].mean()
        found.append((mean - left) * 100 / first)
        mean = left
    return np.array(found)


@settings(max_examples=100, deadline=None)
@given(odd_cells(), st.sampled_from([1, 5, 16]))
def test_any_pixels_in_any_mask(drawn: tuple[Image, np.ndarray], steps: int) -> None:
    image, mask = drawn
    family = granularity.select(spectrum_length=steps)
    ours = np.array([c[0] for c in family.measure([image], [mask], ["A"]).values()])
    values = image[0][mask].astype(float)
    if abs(values.sum()) < 1e-3 * np.abs(values).sum():
        return
    assert np.allclose(ours, twin(image[0], mask, steps), rtol=1e-7, atol=1e-7, equal_nan=True)


def test_granules_by_hand() -> None:
    # A plateau of 5 x 5 pixels holds a cross of radius 2, and nothing larger.
    image = np.zeros((1, 9, 9), np.uint16)
    image[0, 2:7, 2:7] = 10
    image[0, 0, 0] = 30
    found = [c[0] for c in granularity.measure([image], None, ["A"]).values()]
    # The single pixel goes first, then the plateau in the third step.
    assert found == pytest.approx([100 * 30 / 280, 0, 100 * 250 / 280, *[0] * 13])


def test_what_sums_to_nothing_has_no_spectrum() -> None:
    image = np.zeros((1, 6, 6), np.float32)
    assert np.isnan(granularity.measure([image], None, ["A"])["granularity_1_A"]).all()
    assert np.isnan(granularity.measure([image - 1], None, ["A"])["granularity_1_A"]).all()
    image[0, 2, 2] = np.nan
    assert np.isnan(granularity.measure([image + 1], None, ["A"])["granularity_1_A"]).all()


def test_a_picture_made_too_small_has_no_spectrum() -> None:
    family = granularity.select(subsample=0.25)
    for side, defined in ((5, False), (6, True)):
        image = np.ones((1, side, side), np.uint16)
        assert np.isfinite(family.measure([image], None, ["A"])["granularity_1_A"][0]) == defined


@pytest.mark.parametrize("radius", [1, 2, 5])
def test_openings_by_a_disc(radius: int) -> None:
    rng = np.random.default_rng(radius)
    picture = rng.integers(0, 50, (11, 14)).astype(float)
    ours, spare = picture.copy().reshape(-1), np.empty(picture.size)
    open_by_disc(ours, 11, 14, radius, spare)
    assert np.array_equal(ours.reshape(11, 14), opening(picture, disk(radius)))


def test_a_background_is_taken_off() -> None:
    # Small granules on a slope: without the slope nearly all of it is granules.
    rng = np.random.default_rng(0)
    mask = np.ones((60, 60), bool)
    image = ndimage.maximum_filter(rng.random((60, 60)) > 0.98, 3) * 40 + np.arange(60) * 20 + 500
    plain, less = (
        granularity.select(**s).measure([image.astype(np.uint16)], [mask], ["A"])  # type: ignore[arg-type]
        for s in ({}, {"background_radius": 3, "background_subsample": 1.0})
    )
    assert plain["granularity_1_A"][0] < 20
    assert less["granularity_1_A"][0] > 80


def test_settings_out_of_range() -> None:
    for wrong in (
        {"spectrum_length": 0},
        {"subsample": 0.0},
        {"subsample": 1.5},
        {"background_subsample": 0.0},
        {"background_radius": -1},
    ):
        with pytest.raises(UserError, match=next(iter(wrong))):
            granularity.select(**wrong)  # type: ignore[arg-type]


def test_steps_that_are_not_held_together(monkeypatch: pytest.MonkeyPatch) -> None:
    images, masks = few_cells()
    whole = granularity.measure(images, masks, ["A", "B"])
    for pixels in (1, 5 * 44 * 44):
        monkeypatch.setattr(granularity_kernel, "AT_ONCE", pixels)
        parts = granularity.measure(images, masks, ["A", "B"])
        assert all(parts[name].tobytes() == whole[name].tobytes() for name in whole)


def test_the_length_of_the_spectrum_changes_no_step() -> None:
    images, masks = few_cells()
    short = granularity.select(spectrum_length=3).measure(images, masks, ["A", "B"])
    whole = granularity.measure(images, masks, ["A", "B"])
    assert all(short[name].tobytes() == whole[name].tobytes() for name in short)
