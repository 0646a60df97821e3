"""Exact statistics of doubles: the same bits however the values are split over ranks.

Sums are held in fixed point, in int64 limbs of 32 bits each. Adding integers is associative, so
limbs may be added in any order and grouping (an Allreduce), and the sum is exact. Quantiles are
found by radix selection on the bits of the values, from histograms that add up likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from scip_mpi.batches import FloatArray, Int64Array

Allreduce = Callable[[Int64Array], Int64Array]

BITS = 32
# The smallest bit of the square of a double is 2^-2148; the largest below 2^2048.
LOWEST = -2176
LIMBS = (2048 - LOWEST) // BITS + 2
_MASK = (1 << BITS) - 1


def exact_sum(values: FloatArray, groups: Int64Array, n_groups: int) -> Int64Array:
    """Sum of finite values per group, in limbs.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        NaN and infinite values are left out.
    groups : ndarray of int, shape (n,)
        Group of each value, 0 to ``n_groups`` - 1.
    n_groups : int

    Returns
    -------
    ndarray of int64, shape (n_groups, LIMBS)
        Limb k counts units of 2^(LOWEST + 32 k); limbs of several ranks add up, 2^30 of them at
        least.
    """
    limbs = np.zeros((n_groups, LIMBS), np.int64)
    finite = np.isfinite(values)
    _accumulate(limbs, values[finite], np.asarray(groups)[finite])
    return carry(limbs)


def exact_sum_of_squares(values: FloatArray, groups: Int64Array, n_groups: int) -> Int64Array:
    """Sum of the squares of finite values per group, in limbs; exact, as `exact_sum` is.

    A double is a whole number of at most 53 bits times a power of two; the square of its halves
    of 27 and 26 bits are whole numbers that int64 holds.
    """
    limbs = np.zeros((n_groups, LIMBS), np.int64)
    finite = np.isfinite(values)
    mantissa, exponent = _split(values[finite])
    groups = np.asarray(groups)[finite]
    magnitude = np.abs(mantissa)
    high, low = magnitude >> 27, magnitude & ((1 << 27) - 1)
    for product, shift in ((high * high, 54), (high * low, 28), (low * low, 0)):
        _add(limbs, product, 2 * exponent + shift, groups)
    return carry(limbs)


def _split(values: FloatArray) -> tuple[Int64Array, Int64Array]:
    """Whole number and exponent: value = mantissa * 2^exponent, exactly."""
    fraction, exponent = np.frexp(values)
    return np.ldexp(fraction, 53).astype(np.int64), exponent.astype(np.int64) - 53


def _accumulate(limbs: Int64Array, values: FloatArray, groups: Int64Array) -> None:
    mantissa, exponent = _split(values)
    _add(limbs, mantissa, exponent, groups)


def _add(limbs: Int64Array, whole: Int64Array, exponent: Int64Array, groups: Int64Array) -> None:
    """Add whole * 2^exponent to the limbs of each value's group, in pieces of 32 bits."""
    sign = np.sign(whole)
    magnitude = np.abs(whole).astype(np.uint64)
    limb, shift = np.divmod(exponent - LOWEST, BITS)
    shift = shift.astype(np.uint64)
    mask = np.uint64(_MASK)
    # The value's low and high 32 bits, each shifted by less than 32, cover three limbs.
    low = (magnitude & mask) << shift
    high = (magnitude >> np.uint64(BITS)) << shift
    pieces = (low & mask, (low >> np.uint64(BITS)) + (high & mask), high >> np.uint64(BITS))
    for k, piece in enumerate(pieces):
        np.add.at(limbs, (groups, limb + k), sign * piece.astype(np.int64))


def carry(limbs: Int64Array) -> Int64Array:
    """The same sums with every limb but the last within 32 bits, so that many more may be added."""
    out = limbs.copy()
    for k in range(LIMBS - 1):
        high = out[:, k] >> BITS
        out[:, k] -= high << BITS
        out[:, k + 1] += high
    return out


def to_fraction(limbs: Int64Array) -> Fraction:
    """The sum that the limbs of one group stand for, exactly."""
    total = 0
    for k in range(LIMBS - 1, -1, -1):
        total = (total << BITS) + int(limbs[k])
    return Fraction(total) * Fraction(2) ** LOWEST


def mean_std(count: int, total: Int64Array, squares: Int64Array) -> tuple[float, float]:
    """Mean and population standard deviation from exact sums, each rounded once; NaN for none."""
    if count == 0:
        return float("nan"), float("nan")
    mean = to_fraction(total) / count
    return float(mean), rounded_root(to_fraction(squares) / count - mean * mean)


def rounded_root(value: Fraction) -> float:
    """Square root of a fraction that is not negative, from its first 110 bits."""
    from math import isqrt

    if value == 0:
        return 0.0
    numerator, denominator = value.numerator, value.denominator
    shift = 220 - (numerator.bit_length() - denominator.bit_length())
    shift += shift % 2
    scaled = (
        (numerator << shift) // denominator if shift >= 0 else numerator // (denominator << -shift)
    )
    root = isqrt(scaled)
    extra = root.bit_length() - 64
    # The last bit stands for all that was cut off, so that rounding goes the right way.
    kept = (root >> extra) | (1 if root & ((1 << extra) - 1) or root * root != scaled else 0)
    power = extra - shift // 2
    # Division of integers rounds once, to a subnormal number too.
    return (kept << max(power, 0)) / (1 << max(-power, 0))


def ordered_bits(values: FloatArray) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """Bits of doubles as unsigned integers that compare as the doubles do; -0 as 0."""
    bits = (np.asarray(values, np.float64) + 0.0).view(np.uint64)
    sign = np.uint64(1 << 63)
    return np.where(bits & sign, ~bits, bits | sign)


def from_ordered_bits(bits: int) -> float:
    """The double of `ordered_bits`."""
    raw = bits ^ (1 << 63) if bits >> 63 else ~bits & ((1 << 64) - 1)
    return float(np.array([raw], np.uint64).view(np.float64)[0])


def count_finite(
    values: FloatArray, groups: Int64Array, n_groups: int, allreduce: Allreduce
) -> Int64Array:
    """Finite values per group over all ranks."""
    finite = np.isfinite(values)
    counts = np.bincount(np.asarray(groups)[finite], minlength=n_groups)
    return allreduce(counts.astype(np.int64))


def quantiles(
    values: FloatArray,
    groups: Int64Array,
    n_groups: int,
    fractions: Sequence[float],
    allreduce: Allreduce,
) -> FloatArray:
    """Exact quantiles per group of values spread over ranks, interpolated linearly.

    The values at the ranks on either side are found 8 bits at a time, from histograms of the
    values that agree in the bits found so far. Every rank makes the same eight reductions (and one
    for the counts), with values or without.

    Parameters
    ----------
    values : ndarray of float64, shape (n,)
        This rank's values; NaN and infinite ones are left out.
    groups : ndarray of int, shape (n,)
        Their groups.
    n_groups : int
    fractions : sequence of float
        Between 0 and 1.
    allreduce : callable
        Sums an int64 array over the ranks.

    Returns
    -------
    ndarray of float64, shape (n_groups, len(fractions))
        NaN for a group without finite values.
    """
    counts = count_finite(values, groups, n_groups, allreduce)
    finite = np.isfinite(values)
    bits = ordered_bits(values[finite])
    groups = np.asarray(groups)[finite]
    place = np.outer(np.maximum(counts - 1, 0), np.asarray(fractions, np.float64))
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(counts - 1, 0)[:, np.newaxis])
    targets = np.stack([below, above], axis=2).reshape(n_groups, -1)
    found = np.zeros(targets.shape, np.uint64)
    for shift in range(56, -8, -8):
        histogram = np.zeros((*targets.shape, 256), np.int64)
        known = bits >> np.uint64(shift + 8) if shift < 56 else np.zeros_like(bits)
        digit = ((bits >> np.uint64(shift)) & np.uint64(0xFF)).astype(np.int64)
        for j in range(targets.shape[1]):
            same = known == found[groups, j]
            np.add.at(histogram[:, j], (groups[same], digit[same]), 1)
        ends = np.cumsum(allreduce(histogram), axis=2)
        chosen = (ends <= targets[:, :, np.newaxis]).sum(axis=2)
        chosen = np.minimum(chosen, 0xFF)
        previous = np.take_along_axis(ends, np.maximum(chosen - 1, 0)[:, :, np.newaxis], 2)[..., 0]
        targets = targets - np.where(chosen > 0, previous, 0)
        found = (found << np.uint64(8)) | chosen.astype(np.uint64)
    exact = np.array([[from_ordered_bits(int(b)) for b in row] for row in found])
    pairs = exact.reshape(n_groups, len(fractions), 2)
    low, high, part = pairs[:, :, 0], pairs[:, :, 1], place - below
    result = interpolated(low, high, part)
    return np.where(counts[:, np.newaxis] > 0, result, np.nan)


def interpolated(low: FloatArray, high: FloatArray, part: FloatArray) -> FloatArray:
    """Between two values as numpy interpolates, which is exact at both ends."""
    with np.errstate(over="ignore", invalid="ignore"):
        gap = high - low
        result = np.where(part >= 0.5, high - gap * (1 - part), low + gap * part)
        # Neighbours further apart than the largest double, where numpy gives infinity.
        return np.where(np.isfinite(gap), result, low * (1 - part) + high * part)
