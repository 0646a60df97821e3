"""Local binary patterns, focus and Gabor filters with NumPy, SciPy and scikit-image, by plane."""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from skimage.filters import gabor_kernel

from scip_mpi.features.gabor import reach_of
from scip_mpi.features.lbp import BINS

# Around a circle.
CIRCLE = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))


def lbp(plane: np.ndarray, mask: np.ndarray, distance: int) -> list[float]:
    """Shares of the rotation-invariant uniform patterns."""
    ring = np.zeros((2 * distance + 1,) * 2, bool)
    ring[::distance, ::distance] = True
    alone = ndimage.binary_erosion(mask, ring, border_value=0)
    if not alone.any():
        return [np.nan] * BINS
    bins = []
    for y, x in zip(*np.nonzero(alone), strict=True):
        bits = [plane[y + distance * d, x + distance * r] >= plane[y, x] for d, r in CIRCLE]
        changes = sum(a != b for a, b in zip(bits, [*bits[1:], bits[0]], strict=True))
        bins.append(sum(bits) if changes <= 2 else BINS - 1)
    return list(np.bincount(bins, minlength=BINS) / len(bins))


LAPLACE = [[0, 1, 0], [1, -4, 1], [0, 1, 0]]


def focus(plane: np.ndarray, mask: np.ndarray) -> list[float]:
    """Gradient, Laplacian, slope of the power spectrum."""
    if not mask.any():
        return [np.nan] * 3
    plane = plane.astype(float)
    inner = ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=0)
    found = [np.nan] * 3
    if inner.any():
        squared = (ndimage.sobel(plane, 0) / 8) ** 2 + (ndimage.sobel(plane, 1) / 8) ** 2
        laplace = ndimage.correlate(plane, np.array(LAPLACE, float))
        found[:2] = [squared[inner].mean(), laplace[inner].var()]
    found[2] = slope(plane, mask)
    return found


def slope(plane: np.ndarray, mask: np.ndarray) -> float:
    """Slope of the power spectrum."""
    inside = plane[mask]
    if np.ptp(inside) == 0:
        return np.nan
    rows, columns = np.nonzero(mask)
    box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
    side = 4
    while side < max(plane[box].shape):
        side *= 2
    power = np.abs(np.fft.fft2(np.where(mask, plane - inside.mean(), 0)[box], (side, side))) ** 2
    at = np.fft.fftfreq(side) * side
    ring = np.floor(np.hypot(*np.meshgrid(at, at)) + 0.5)
    frequencies = np.arange(1, side // 2 + 1)
    means = np.array([power[ring == f].mean() for f in frequencies])
    some = means > 1e-24 * means.max()
    if some.sum() < 2:
        return np.nan
    return float(np.polyfit(np.log(frequencies[some]), np.log(means[some]), 1)[0])


def gabor_filter(wave: int, angle: str) -> np.ndarray:
    """scikit-image's filter, cut off at the same place for each angle."""
    # Rows count downwards there and here; our angles are counted upwards.
    theta = -np.deg2rad(float(angle.removesuffix("deg")))
    whole = gabor_kernel(1 / wave, theta, bandwidth=1, n_stds=6)
    reach, middle = reach_of(wave), np.array(whole.shape) // 2
    part = tuple(slice(m - reach, m + reach + 1) for m in middle)
    found: np.ndarray = whole[part]
    assert found.shape == (2 * reach + 1,) * 2
    return found


def gabor(plane: np.ndarray, mask: np.ndarray, wave: int, angle: str) -> float:
    """Mean magnitude of a response."""
    if not mask.any():
        return np.nan
    cell = np.where(mask, plane - plane[mask].astype(float).mean(), 0)
    filter_ = gabor_filter(wave, angle)
    real = ndimage.convolve(cell, filter_.real, mode="constant")
    imaginary = ndimage.convolve(cell, filter_.imag, mode="constant")
    return float(np.hypot(real, imaginary)[mask].mean())
