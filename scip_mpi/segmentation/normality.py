"""D'Agostino and Pearson's test of normality, from the moments of a sample."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

# Fewer values than this say nothing of the skewness' distribution; scipy gives NaN there too.
SMALLEST_SAMPLE = 8


@njit(cache=True, nogil=True, error_model="numpy")
def normality_p(skewness, kurtosis, count):
    """P-value of the omnibus test of skewness and kurtosis, as scipy.stats.normaltest has it.

    Parameters
    ----------
    skewness, kurtosis : float
        Biased; the kurtosis is not in excess of 3.
    count : int
        Size of the sample.

    Returns
    -------
    float
        NaN for fewer than 8 values, and where a moment is NaN.

    References
    ----------
    D'Agostino and Pearson, "Tests for departure from normality", Biometrika 60(3), 1973.
    """
    if count < SMALLEST_SAMPLE:
        return np.nan
    n = float(count)
    s = skewness_score(skewness, n)
    k = kurtosis_score(kurtosis, n)
    # The survival function of chi-squared with two degrees of freedom.
    return math.exp(-0.5 * (s * s + k * k))


@njit(cache=True, nogil=True, error_model="numpy")
def skewness_score(skewness, n):
    """Normal score of a sample's skewness (D'Agostino, Biometrika 57(3), 1970)."""
    y = skewness * math.sqrt((n + 1) * (n + 3) / (6.0 * (n - 2)))
    beta2 = 3.0 * (n * n + 27 * n - 70) * (n + 1) * (n + 3)
    beta2 /= (n - 2) * (n + 5) * (n + 7) * (n + 9)
    w2 = math.sqrt(2 * (beta2 - 1)) - 1
    delta = 1 / math.sqrt(0.5 * math.log(w2))
    alpha = math.sqrt(2 / (w2 - 1))
    if y == 0:
        y = 1.0  # scipy's; the exact score is 0
    return delta * math.log(y / alpha + math.sqrt((y / alpha) ** 2 + 1))


@njit(cache=True, nogil=True, error_model="numpy")
def kurtosis_score(kurtosis, n):
    """Normal score of a sample's kurtosis (Anscombe and Glynn, Biometrika 70(1), 1983)."""
    expected = 3.0 * (n - 1) / (n + 1)
    variance = 24.0 * n * (n - 2) * (n - 3) / ((n + 1) * (n + 1) * (n + 3) * (n + 5))
    x = (kurtosis - expected) / math.sqrt(variance)
    root_beta1 = 6.0 * (n * n - 5 * n + 2) / ((n + 7) * (n + 9))
    root_beta1 *= math.sqrt(6.0 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    a = 6.0 + 8.0 / root_beta1 * (2.0 / root_beta1 + math.sqrt(1 + 4.0 / (root_beta1**2)))
    denominator = 1 + x * math.sqrt(2 / (a - 4.0))
    if denominator == 0.0:
        return np.nan
    root = math.copysign(((1 - 2.0 / a) / abs(denominator)) ** (1 / 3), denominator)
    return (1 - 2 / (9.0 * a) - root) / math.sqrt(2 / (9.0 * a))
