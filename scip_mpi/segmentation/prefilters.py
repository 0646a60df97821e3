"""Which channels are worth masking at all: filters on a channel's pixels, before any mask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch

SIGNIFICANCE = 0.05


def std(
    batch: ImageBatch, xp: ModuleType, *, channel_indices: Sequence[int], threshold: float
) -> BoolArray:
    """Whether the population standard deviation of a channel's pixels is above ``threshold``.

    Returns
    -------
    ndarray of bool, shape (n, C)
        True for channels that pass, and for those not in ``channel_indices``.
    """
    return _listed(batch, channel_indices, _moments(batch)[:, :, 1] > threshold)


def value_range(
    batch: ImageBatch, xp: ModuleType, *, channel_indices: Sequence[int], threshold: float
) -> BoolArray:
    """Whether a channel's largest pixel exceeds its smallest by more than ``threshold``.

    Returns
    -------
    ndarray of bool, shape (n, C)
        True for channels that pass, and for those not in ``channel_indices``.
    """
    moments = _moments(batch)
    return _listed(batch, channel_indices, moments[:, :, 5] - moments[:, :, 4] > threshold)


def normaltest(batch: ImageBatch, xp: ModuleType, *, channel_indices: Sequence[int]) -> BoolArray:
    """Whether a channel's pixels are not normally distributed: p below 0.05.

    D'Agostino and Pearson's omnibus test of skewness and kurtosis, as scipy.stats.normaltest has
    it. A channel with equal pixels, or with fewer than 8, does not pass: nothing can be said.

    Returns
    -------
    ndarray of bool, shape (n, C)
        True for channels that pass, and for those not in ``channel_indices``.

    References
    ----------
    D'Agostino and Pearson, "Tests for departure from normality", Biometrika 60(3), 1973.
    """
    moments = _moments(batch)
    count = (batch.shapes[:, 1] * batch.shapes[:, 2])[:, np.newaxis].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        z2 = skew_z(moments[:, :, 2], count) ** 2 + kurtosis_z(moments[:, :, 3], count) ** 2
        # The survival function of chi-squared with two degrees of freedom.
        passed = (np.exp(-0.5 * z2) < SIGNIFICANCE) & (count >= 8)
    return _listed(batch, channel_indices, passed)


def skew_z(skewness: FloatArray, n: FloatArray) -> FloatArray:
    """Normal score of a sample skewness (D'Agostino 1970)."""
    y = skewness * np.sqrt((n + 1) * (n + 3) / (6.0 * (n - 2)))
    beta2 = 3.0 * (n**2 + 27 * n - 70) * (n + 1) * (n + 3)
    beta2 = beta2 / ((n - 2.0) * (n + 5) * (n + 7) * (n + 9))
    w2 = -1 + np.sqrt(2 * (beta2 - 1))
    delta = 1 / np.sqrt(0.5 * np.log(w2))
    alpha = np.sqrt(2.0 / (w2 - 1))
    y = np.where(y == 0, 1, y)
    return delta * np.log(y / alpha + np.sqrt((y / alpha) ** 2 + 1))


def kurtosis_z(kurtosis: FloatArray, n: FloatArray) -> FloatArray:
    """Normal score of a sample kurtosis, not excess (Anscombe and Glynn 1983)."""
    expected = 3.0 * (n - 1) / (n + 1)
    variance = 24.0 * n * (n - 2) * (n - 3) / ((n + 1) * (n + 1) * (n + 3) * (n + 5))
    x = (kurtosis - expected) / np.sqrt(variance)
    root_beta1 = 6.0 * (n * n - 5 * n + 2) / ((n + 7) * (n + 9))
    root_beta1 = root_beta1 * np.sqrt((6.0 * (n + 3) * (n + 5)) / (n * (n - 2) * (n - 3)))
    a = 6.0 + 8.0 / root_beta1 * (2.0 / root_beta1 + np.sqrt(1 + 4.0 / root_beta1**2))
    term1 = 1 - 2 / (9.0 * a)
    denominator = 1 + x * np.sqrt(2 / (a - 4.0))
    ratio = (1 - 2.0 / a) / np.abs(denominator)
    term2 = np.sign(denominator) * np.where(denominator == 0, np.nan, np.cbrt(ratio))
    return (term1 - term2) / np.sqrt(2 / (9.0 * a))


def _listed(batch: ImageBatch, channel_indices: Sequence[int], passed: BoolArray) -> BoolArray:
    result = np.ones((len(batch), batch.channels), bool)
    for c in channel_indices:
        result[:, c] = passed[:, c]
    return result


def _moments(batch: ImageBatch) -> FloatArray:
    """Mean, population std, skewness, kurtosis (not excess), min and max of each channel."""
    out = np.empty((len(batch), batch.channels, 6))
    if len(batch):
        _channel_moments(batch.pixels, batch.offsets, batch.shapes, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _channel_moments(pixels, offsets, shapes, out):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        for c in range(channels):
            at = offsets[i] + c * n
            total = 0.0
            low = pixels[at]
            high = pixels[at]
            for k in range(at, at + n):
                total += pixels[k]
                low = min(low, pixels[k])
                high = max(high, pixels[k])
            mean = total / n
            m2 = 0.0
            m3 = 0.0
            m4 = 0.0
            for k in range(at, at + n):
                d = pixels[k] - mean
                square = d * d
                m2 += square
                m3 += square * d
                m4 += square * square
            variance = m2 / n
            out[i, c, 0] = mean
            out[i, c, 1] = math.sqrt(variance)
            equal = low == high
            out[i, c, 2] = np.nan if equal else m3 / n / (variance * math.sqrt(variance))
            out[i, c, 3] = np.nan if equal else m4 / n / (variance * variance)
            out[i, c, 4] = low
            out[i, c, 5] = high
