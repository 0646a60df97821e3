"""Normalization: pixels scaled so that two quantiles of the masks' pixels become 0 and 1.

The quantiles are those of all pixels in a channel's masks, per group of images and mask set, and
exact: values are found `DIGIT` bits at a time, from histograms of the pixels that agree in the bits
found so far, which add up over batches and ranks in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, UInt8Array
from scip_mpi.statistics import Allreduce, from_ordered_bits, interpolated, ordered_bits

DIGIT = 11
# Leading bits of a double (sign, exponent, mantissa) that tell the values of a type apart.
SIGNIFICANT = {"u1": 20, "i1": 20, "u2": 28, "i2": 28, "u4": 44, "i4": 44, "f4": 35}


@dataclass(frozen=True)
class MaskedPixels:
    """Crops of objects, the masks of one set in their layout, and each object's group."""

    batch: ImageBatch
    own: UInt8Array
    mask_set: int
    groups: Int64Array


def pixel_quantiles(
    batches: Callable[[], Iterator[MaskedPixels]],
    shape: tuple[int, int, int],
    fractions: tuple[float, float],
    dtype: np.dtype[Any],
    allreduce: Allreduce,
) -> FloatArray:
    """Two quantiles of the pixels in the masks, interpolated linearly. Collective.

    Parameters
    ----------
    batches : callable
        Goes through this rank's objects; called several times, and gives the same each time.
    shape : (S, G, C)
        Mask sets, groups, channels.
    fractions : (float, float)
    dtype : dtype
        Type of the pixels; whole numbers of 64 bits are taken as the nearest doubles.
    allreduce : callable
        Sums int64 arrays over the ranks.

    Returns
    -------
    ndarray of float64, shape (S, G, C, 2)
        NaN where there is no pixel.
    """
    bits = SIGNIFICANT.get(np.dtype(dtype).str[1:], 64)
    found = np.zeros((*shape, 4), np.uint64)
    counts: Int64Array | None = None
    targets = np.zeros((*shape, 4), np.int64)
    part = np.zeros((*shape, 2))
    known = 0
    while known < bits:
        width = min(DIGIT, bits - known)
        histogram = np.zeros((*shape, 4, 1 << width), np.int64)
        for pixels in batches():
            _count(
                ordered_bits(pixels.batch.pixels.astype(np.float64)), pixels.batch.offsets,
                pixels.batch.shapes, pixels.own, pixels.groups, found[pixels.mask_set],
                known, width, histogram[pixels.mask_set],
            )  # fmt: skip
        histogram = allreduce(histogram)
        if counts is None:
            counts = histogram[..., 0, :].sum(axis=-1)
            place = np.multiply.outer(np.maximum(counts - 1, 0), np.asarray(fractions))
            below = np.floor(place).astype(np.int64)
            above = np.minimum(below + 1, np.maximum(counts - 1, 0)[..., np.newaxis])
            targets = np.stack([below, above], axis=-1).reshape(targets.shape)
            part = place - below
        ends = np.cumsum(histogram, axis=-1)
        chosen = np.minimum((ends <= targets[..., np.newaxis]).sum(axis=-1), (1 << width) - 1)
        before = np.take_along_axis(ends, np.maximum(chosen - 1, 0)[..., np.newaxis], -1)[..., 0]
        targets = targets - np.where(chosen > 0, before, 0)
        found = (found << np.uint64(width)) | chosen.astype(np.uint64)
        known += width
    assert counts is not None
    exact = np.array([_value(int(b), 64 - bits) for b in found.reshape(-1)])
    pairs = exact.reshape(*shape, 2, 2)
    values = interpolated(pairs[..., 0], pairs[..., 1], part)
    return np.where(counts[..., np.newaxis] > 0, values, np.nan)


def _value(found: int, rest: int) -> float:
    """The double of leading ordered bits; the rest are zeros, which in a negative one are ones."""
    negative = not found >> (63 - rest)
    return from_ordered_bits(found << rest | ((1 << rest) - 1 if negative else 0))


def scaled(batch: ImageBatch, low: FloatArray, high: FloatArray) -> ImageBatch:
    """Pixels less ``low``, divided by ``high - low``.

    Parameters
    ----------
    batch : ImageBatch
        Crops of objects.
    low, high : ndarray of float64, shape (m, C)
        Of each object's group; where they are equal, or NaN, every pixel becomes 0.

    Returns
    -------
    ImageBatch
        In double precision.
    """
    out = np.empty(batch.pixels.size)
    _scale(batch.pixels, batch.offsets, batch.shapes, low, width_of(low, high), out)
    return replace(batch, pixels=out)


def width_of(low: FloatArray, high: FloatArray) -> FloatArray:
    """What differences are divided by; infinite where nothing is to be told apart."""
    return np.where(high > low, high - low, np.inf)


@njit(cache=True, nogil=True, error_model="numpy")
def _scale(pixels, offsets, shapes, low, width, out):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        for c in range(channels):
            at = offsets[i] + c * h * w
            for k in range(at, at + h * w):
                value = (pixels[k] - low[i, c]) / width[i, c]
                out[k] = value if value == value else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _count(bits, offsets, shapes, own, groups, found, known, width, histogram):
    """Count the next digit of the pixels in the masks that agree in the digits known so far."""
    shift = np.uint64(64 - known - width)
    digits = np.uint64((1 << width) - 1)
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        g = groups[i]
        for c in range(channels):
            at = offsets[i] + c * h * w
            for k in range(at, at + h * w):
                if own[k]:
                    rest = bits[k] >> shift
                    digit = rest & digits
                    for t in range(found.shape[2]):
                        if known == 0 or rest >> np.uint64(width) == found[g, c, t]:
                            histogram[g, c, t, digit] += 1
