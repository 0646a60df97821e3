"""Moments, Hu's invariants and orientation against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.measure import label

from scip_mpi.features import shape

Mask = NDArray[np.bool_]


def whole_moments(mask: Mask) -> tuple[int, int, int, int]:
    """Area, and area squared times the variances of rows and columns and their covariance."""
    y, x = (a.astype(object) for a in np.nonzero(mask))
    n = len(y)
    return (
        n,
        n * (y * y).sum() - y.sum() ** 2,
        n * (x * x).sum() - x.sum() ** 2,
        n * (y * x).sum() - y.sum() * x.sum(),
    )


def orientation(mask: Mask) -> float:
    """The angle by rule 14, decided on whole numbers."""
    _, yy, xx, yx = whole_moments(mask)
    if yy == xx:
        return -math.pi / 4 if yx > 0 else math.pi / 4
    return 0.5 * math.atan2(2 * yx, yy - xx)


def central(mask: Mask, p: int, q: int) -> tuple[Fraction, Fraction]:
    """A central moment, and the sum of the absolute values of its terms."""
    points = [(int(y), int(x)) for y, x in np.argwhere(mask)]
    n = len(points)
    cy = Fraction(sum(y for y, _ in points), n)
    cx = Fraction(sum(x for _, x in points), n)
    terms = [(y - cy) ** p * (x - cx) ** q for y, x in points]
    return sum(terms, Fraction(0)), sum(map(abs, terms), Fraction(0))


def hu(m: dict[tuple[int, int], Fraction], n: int, sign: int) -> list[Fraction]:
    """Hu's invariants; ``sign`` 1 for the sizes of their terms, all added, and -1 for their values.

    A third moment is divided by n^2.5, which is no rational number, but every invariant holds an
    even number of them.
    """
    n20, n02, n11 = (m[k] / n**2 for k in ((2, 0), (0, 2), (1, 1)))
    n30, n03, n21, n12 = (m[k] for k in ((3, 0), (0, 3), (2, 1), (1, 2)))
    s, t, d = n30 + n12, n21 + n03, n20 + sign * n02
    u, v = n30 + sign * 3 * n12, 3 * n21 + sign * n03
    last = v * s * (s * s + sign * 3 * t * t) + sign * u * t * (3 * s * s + sign * t * t)
    return [
        n20 + n02,
        d * d + 4 * n11 * n11,
        (u * u + v * v) / n**5,
        (s * s + t * t) / n**5,
        (u * s * (s * s + sign * 3 * t * t) + v * t * (3 * s * s + sign * t * t)) / n**10,
        (d * (s * s + sign * t * t) + 4 * n11 * s * t) / n**5,
        last / n**10,
    ]


@st.composite
def components(draw: st.DrawFn) -> Mask:
    """One 8-connected component that touches all sides of its image."""
    h, w = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    mask = rng.random((h, w)) < draw(st.sampled_from([0.4, 0.7, 1.0]))
    mask[h // 2, w // 2] = True
    if draw(st.booleans()) and h == w:
        mask |= mask.T
    labels = label(mask, connectivity=2)
    mask = labels == labels[h // 2, w // 2]
    return mask[np.ix_(mask.any(axis=1), mask.any(axis=0))]


@settings(max_examples=200, deadline=None)
@given(components())
def test_moments_and_invariants_are_the_rational_ones(mask: Mask) -> None:
    found = shape.measure([mask.astype(np.uint8)], [mask])
    n = int(mask.sum())
    value, size = {}, {}
    for p in range(4):
        for q in range(4):
            value[p, q], size[p, q] = central(mask, p, q)
            raw = sum(int(y) ** p * int(x) ** q for y, x in np.argwhere(mask))
            assert found[f"moments-{p}-{q}_combined"][0] == raw
            ours = Fraction(float(found[f"moments_central-{p}-{q}_combined"][0]))
            assert abs(ours - value[p, q]) <= 1e-14 * abs(value[p, q]) + 1e-13 * size[p, q]
    sizes = hu(size, n, 1)
    for k, exact in enumerate(hu(value, n, -1)):
        ours = Fraction(float(found[f"moments_hu-{k}_combined"][0]))
        assert abs(ours - exact) <= 1e-13 * abs(exact) + 1e-12 * sizes[k], k
    assert found["orientation_combined"][0] == pytest.approx(orientation(mask), rel=1e-15)


# Pixels missing from the middle of a square, so that its second moments differ by next to nothing.
@pytest.mark.parametrize("side", [41, 301, 1001, 1501])
@pytest.mark.parametrize(
    "missing",
    [
        [(3, 4), (4, -3)],
        [(7, 1), (-5, 5), (1, -7)],
        [(4, 3), (-3, -4), (0, 0)],
        [(1, 0), (0, 1), (-1, 0)],
    ],
)
def test_the_orientation_of_large_nearly_isotropic_components(
    side: int, missing: list[tuple[int, int]]
) -> None:
    mask = np.ones((side, side), bool)
    for dy, dx in missing:
        mask[side // 2 + dy, side // 2 + dx] = False
    found = shape.measure([mask.astype(np.uint8)], [mask])["orientation_combined"][0]
    assert found == pytest.approx(orientation(mask), rel=1e-15)
