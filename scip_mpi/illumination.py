"""Illumination functions: how bright each place of an image is, by the mean of many images.

Images are divided by a smooth function of the place, per group of images and channel (Jones et al.,
Proc. Comp. Vis. Biomed. Image Appl. 2006, LNCS 3765). The sums behind the means are whole numbers,
so they add up over batches and ranks in any order to the same bits: of pixels that are whole
numbers the sums themselves, of others the pixels in single precision as multiples of 2^-149.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.errors import UserError

BITS = 32
# Of 32 bits each, from the smallest single that is not 0 (2^-149) to the largest (below 2^128).
LIMBS = 9
LOWEST = -149
# Pixels of a window, a Gaussian or a downscaled one: more would take all memory and time.
MOST = 1000


@dataclass(frozen=True)
class Sums:
    """Exact sums of images of one size, place by place.

    Attributes
    ----------
    limbs : ndarray of int64, shape (1 or LIMBS, n)
        Sums of whole numbers; or limb k counts units of 2^(LOWEST + 32 k). Those of several ranks
        add up, of 2^31 images at least (of pixels of 32 bits).
    counts : ndarray of int64, shape (1,) or (n,)
        Images; or finite pixels at each place, the only ones that were added.
    """

    limbs: Int64Array
    counts: Int64Array

    @classmethod
    def of(cls, size: int, dtype: np.dtype[Any]) -> Sums:
        """Sums of no image yet, of so many pixels of a type."""
        if whole(dtype):
            return cls(np.zeros((1, size), np.int64), np.zeros(1, np.int64))
        return cls(np.zeros((LIMBS, size), np.int64), np.zeros(size, np.int64))

    def add(self, pixels: NDArray[Any]) -> None:
        """Add an image."""
        if len(self.limbs) == 1:
            _add_whole(pixels, self.limbs[0])
            self.counts[0] += 1
        else:
            with np.errstate(over="ignore"):
                singles = pixels.astype(np.float32)
            _add_single(singles.view(np.uint32), self.limbs, self.counts)

    def means(self) -> FloatArray:
        """Mean at each place, shape (n,); NaN where there is nothing."""
        with np.errstate(invalid="ignore", divide="ignore"):
            if len(self.limbs) == 1:
                return self.limbs[0] / self.counts
            return _values(self.limbs) / self.counts


def whole(dtype: np.dtype[Any]) -> bool:
    """Whether sums of pixels of a type are kept as they are."""
    return dtype.kind in "iu" and dtype.itemsize <= 4


def _values(limbs: Int64Array) -> FloatArray:
    """The doubles that limbs stand for: equal for equal sums, however they were added up."""
    digits = limbs.copy()
    _carry(digits)
    negative = digits[-1] < 0
    digits[:, negative] *= -1
    _carry(digits)
    total = np.zeros(limbs.shape[1])
    for k in range(LIMBS - 1, -1, -1):
        total += np.ldexp(digits[k].astype(np.float64), LOWEST + BITS * k)
    return np.where(negative, -total, total)


def _carry(digits: Int64Array) -> None:
    for k in range(LIMBS - 1):
        high = digits[k] >> BITS
        digits[k] -= high << BITS
        digits[k + 1] += high


@njit(cache=True, nogil=True, error_model="numpy")
def _add_whole(pixels, total):
    for k in range(pixels.size):
        total[k] += np.int64(pixels[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _add_single(bits, limbs, counts):
    for k in range(bits.size):
        exponent = np.int64((bits[k] >> np.uint32(23)) & np.uint32(0xFF))
        if exponent == 255:
            continue
        counts[k] += 1
        piece = np.int64(bits[k] & np.uint32(0x7FFFFF))
        if exponent:
            piece |= 1 << 23
            exponent -= 1
        piece <<= exponent & 31
        sign = -1 if bits[k] >> np.uint32(31) else 1
        limb = exponent >> 5
        limbs[limb, k] += sign * (piece & 0xFFFFFFFF)
        limbs[limb + 1, k] += sign * (piece >> 32)


def warm_up(dtype: np.dtype[Any]) -> None:
    """Have the kernels compiled."""
    Sums.of(1, dtype).add(np.zeros(1, dtype))


def jones_2006(mean: FloatArray, *, median_filter_size: int = 50, downscale: int = 1) -> FloatArray:
    """The median of a window of the mean image.

    Parameters
    ----------
    mean : ndarray of float64, shape (H, W)
        NaN where nothing is known.
    median_filter_size : int
        Sides of the window, in pixels of the smaller image; mirrored at the edges.
    downscale : int
        Pixels that are averaged first, in both directions.

    Returns
    -------
    ndarray of float64, shape (H, W)
        Interpolated linearly if the image was made smaller; 1, which changes nothing, where the
        median is not above 0.

    Raises
    ------
    UserError
        A setting is below 1, or above `MOST`.
    """
    within("median_filter_size", median_filter_size, 1)

    def median(plane: FloatArray) -> FloatArray:
        from scipy.ndimage import median_filter

        return np.asarray(median_filter(plane, median_filter_size), np.float64)

    return _smoothed(mean, downscale, median)


def gaussian(mean: FloatArray, *, sigma: float = 50.0, downscale: int = 1) -> FloatArray:
    """The mean image under a Gaussian; see `jones_2006`.

    Parameters
    ----------
    sigma : float
        Its standard deviation, in pixels of the smaller image; 0.1 or more.
    """
    within("sigma", sigma, 0.1)

    def smooth(plane: FloatArray) -> FloatArray:
        from scipy.ndimage import gaussian_filter

        return np.asarray(gaussian_filter(plane, sigma, mode="nearest"), np.float64)

    return _smoothed(mean, downscale, smooth)


def within(key: str, value: float, least: float) -> None:
    """Raise `UserError` for a setting below ``least`` or above `MOST`."""
    if not least <= value <= MOST:
        raise UserError(f"{key} must be from {least:g} to {MOST:,}, not {value:g}")


def _smoothed(mean: FloatArray, downscale: int, smooth: Any) -> FloatArray:
    from skimage.transform import resize

    within("downscale", downscale, 1)
    height, width = mean.shape
    known = np.isfinite(mean)
    if not known.any():
        return np.ones(mean.shape)
    filled = np.where(known, mean, mean[known].mean())
    # Blocks at the edges are filled up with the nearest pixels: zeros would darken them.
    padded = np.pad(filled, ((0, -height % downscale), (0, -width % downscale)), mode="edge")
    rows, columns = padded.shape[0] // downscale, padded.shape[1] // downscale
    small = padded.reshape(rows, downscale, columns, downscale).mean(axis=(1, 3))
    found = usable(smooth(small))
    if downscale > 1:
        found = resize(found, padded.shape, order=1, mode="edge", anti_aliasing=False)
    return np.ascontiguousarray(found[:height, :width], np.float64)


def usable(function: FloatArray) -> FloatArray:
    """The function with 1 where it is not a number above 0 that can be divided by."""
    return np.where((function > 0) & np.isfinite(function), function, 1.0)
