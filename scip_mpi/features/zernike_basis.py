"""Zernike polynomials as sums of powers of the coordinates."""

from __future__ import annotations

from functools import cache
from math import comb, factorial
from typing import NamedTuple

import numpy as np

from scip_mpi.batches import FloatArray, Int64Array


class Terms(NamedTuple):
    """Real, then imaginary parts of all polynomials V(n, m) up to a degree, in powers of y and x.

    Attributes
    ----------
    starts : ndarray of int64, shape (2 * number + 1,)
        Where the terms of each part start.
    powers : ndarray of int64, shape (terms, 2)
        Powers of y and of x.
    factors : ndarray of float64, shape (terms,)
    """

    starts: Int64Array
    powers: Int64Array
    factors: FloatArray


def orders(degree: int) -> list[tuple[int, int]]:
    """(n, m) of all polynomials up to a degree: m at most n, and even where n is."""
    return [(n, m) for n in range(degree + 1) for m in range(n % 2, n + 1, 2)]


@cache
def terms(degree: int) -> Terms:
    """V(n, m) = R(n, m, r) / r^m (y + i x)^m, R the radial polynomial."""
    parts = [_polynomial(n, m) for n, m in orders(degree)]
    starts, powers, factors = [0], [], []
    for which in range(2):
        for part in parts:
            for (p, q), factor in sorted(part.items()):
                if q % 2 == which:
                    powers.append((p, q))
                    factors.append(factor)
            starts.append(len(powers))
    return Terms(
        np.array(starts), np.array(powers, np.int64).reshape(-1, 2), np.array(factors, float)
    )


def _polynomial(n: int, m: int) -> dict[tuple[int, int], int]:
    """Factors by powers of y and x; odd powers of x are those of the imaginary part."""
    found: dict[tuple[int, int], int] = {}
    for s in range((n - m) // 2 + 1):
        radial = (-1) ** s * factorial(n - s)
        radial //= factorial(s) * factorial((n + m) // 2 - s) * factorial((n - m) // 2 - s)
        squares = (n - m) // 2 - s
        for j in range(squares + 1):
            for k in range(m + 1):
                # (y^2 + x^2)^squares times (y + i x)^m; i^k is real where k is even.
                sign = -1 if k % 4 in (2, 3) else 1
                power = (2 * (squares - j) + m - k, 2 * j + k)
                factor = radial * comb(squares, j) * comb(m, k) * sign
                found[power] = found.get(power, 0) + factor
    return {power: factor for power, factor in found.items() if factor}
