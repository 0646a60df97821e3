"""Filters on pixels decide as numpy and scipy do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import scipy.stats
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mask_twins import DTYPES, as_type, speckled, twelve_channel_images

from scip_mpi.batches import ImageBatch
from scip_mpi.segmentation.normality import normality_p
from scip_mpi.segmentation.prefilters import normaltest, statistics_of, std, value_range


def scipy_p(values: np.ndarray) -> float:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small samples
        return float(scipy.stats.normaltest(values.ravel().astype(float)).pvalue)


def p_value(values: np.ndarray) -> float:
    return float(statistics_of(ImageBatch.from_images([values.reshape(1, 1, -1)]))[0, 0, 2])


def gaussian_and_not(n: int) -> list[np.ndarray]:
    """Channels of which the test passes some and fails others."""
    rng = np.random.default_rng(7)
    normal = rng.normal(500, 50, (n, 1, 20, 25))
    skewed = rng.normal(500, 50, (n, 1, 20, 25)) + rng.exponential(40, (n, 1, 20, 25))
    return list(np.concatenate([normal, skewed], axis=1).round().astype(np.uint16))


def test_normaltest_decides_as_scipy() -> None:
    images = gaussian_and_not(100)
    passed = normaltest(ImageBatch.from_images(images), np, channel_indices=[0, 1])
    expected = np.array([[scipy_p(c) < 0.05 for c in image] for image in images])
    assert np.array_equal(passed, expected)
    assert 0 < expected[:, 0].sum() < 20
    assert 0 < expected[:, 1].sum() < 100


@pytest.mark.parametrize("dtype", DTYPES)
def test_p_values_are_scipys_for_every_type(dtype: str) -> None:
    images = [as_type(a, dtype) for a in speckled([(12, 9), (30, 31), (3, 3), (2, 4)], 2)]
    ours = statistics_of(ImageBatch.from_images(images))[:, :, 2]
    expected = np.array([[scipy_p(c) for c in image] for image in images])
    np.testing.assert_allclose(ours, expected, rtol=1e-8, atol=1e-300)


def test_p_values_of_real_cells(shared_dir) -> None:
    images = twelve_channel_images(shared_dir)
    ours = statistics_of(ImageBatch.from_images(images))[:, :, 2]
    expected = np.array([[scipy_p(c) for c in image] for image in images])
    np.testing.assert_allclose(ours, expected, rtol=1e-7, atol=1e-300)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 60), st.integers(2, 50), st.integers(0, 2**32))
def test_small_samples_are_nan_where_scipys_are(n: int, levels: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, levels, n).astype(float)
    assume(n < 8 or np.ptp(values) > 0)
    np.testing.assert_allclose(p_value(values), scipy_p(values), rtol=1e-7, atol=1e-300)


def test_eight_values_are_enough() -> None:
    assert np.isnan(p_value(np.arange(7.0)))
    assert p_value(np.arange(8.0) ** 2) == pytest.approx(scipy_p(np.arange(8.0) ** 2))
    assert np.isnan(normality_p(0.0, 3.0, 7))


@pytest.mark.parametrize("value", [0, 7, 0.1, 65535, 1e300])
def test_equal_pixels_pass_nothing(value: float) -> None:
    batch = ImageBatch.from_images([np.full((1, 5, 6), value)])
    assert not normaltest(batch, np, channel_indices=[0]).any()
    assert not std(batch, np, channel_indices=[0], threshold=1e-3).any()
    assert not value_range(batch, np, channel_indices=[0], threshold=0).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_finite_pass_nothing_normal(value: float) -> None:
    image = np.random.default_rng(0).exponential(1, (1, 9, 9))
    assert normaltest(ImageBatch.from_images([image]), np, channel_indices=[0]).all()
    image[0, 2, 3] = value
    assert not normaltest(ImageBatch.from_images([image]), np, channel_indices=[0]).any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_std_and_range_are_numpys(dtype: str) -> None:
    images = [as_type(a, dtype).astype(dtype) for a in speckled([(8, 9), (1, 1), (20, 7)], 2)]
    batch = ImageBatch.from_images(images)
    wide = [[c.astype(float) for c in image] for image in images]
    spreads = np.array([[c.std() for c in image] for image in wide])
    ranges = np.array([[np.ptp(c) for c in image] for image in wide])
    for threshold in (0, np.median(spreads)):
        ours = std(batch, np, channel_indices=[0, 1], threshold=threshold)
        assert np.array_equal(ours, spreads > threshold)
    threshold = ranges[0, 0]  # "above" leaves out the threshold itself
    ours = value_range(batch, np, channel_indices=[0, 1], threshold=threshold)
    assert np.array_equal(ours, ranges > threshold)
    assert not ours[0, 0]


def test_only_channels_asked_about_can_fail() -> None:
    batch = ImageBatch.from_images([np.zeros((3, 4, 4), np.uint16)] * 2)
    for passed in (
        std(batch, np, channel_indices=[1], threshold=5),
        value_range(batch, np, channel_indices=[1], threshold=5),
        normaltest(batch, np, channel_indices=[1]),
    ):
        assert passed.tolist() == [[True, False, True]] * 2


def test_no_images_to_filter() -> None:
    batch = ImageBatch.from_images([])
    assert normaltest(batch, np, channel_indices=[0, 1]).shape == (0, 0)
