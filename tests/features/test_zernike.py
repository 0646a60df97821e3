"""Zernike moments against their definition, and mahotas' where it has them."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import mahotas
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from masks import masks, runs_of
from odd_cells import Image, few_cells, odd_cells
from scipy.spatial import ConvexHull, QhullError

from scip_mpi.errors import UserError
from scip_mpi.features import zernike
from scip_mpi.features.enclosing import corners_of, smallest_circle, widths
from scip_mpi.features.zernike_basis import orders


def hull(mask: np.ndarray) -> np.ndarray:
    """Corners, (y, x): SciPy's where there is an area, the two ends otherwise."""
    points = np.argwhere(mask).astype(float)
    try:
        return points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        order = np.lexsort(points.T[::-1])
        return np.unique(points[order[[0, -1]]], axis=0)


def circle(points: np.ndarray) -> tuple[np.ndarray, float]:
    """The smallest of the circles through two or three points that holds them all."""
    best = points[0], np.inf if len(points) > 1 else 0.0
    for chosen in (*combinations(points, 2), *combinations(points, 3)):
        if len(chosen) == 2:
            centre = (chosen[0] + chosen[1]) / 2
        else:
            a, b, c = chosen
            try:
                centre = np.linalg.solve([b - a, c - a], [(b @ b - a @ a) / 2, (c @ c - a @ a) / 2])
            except np.linalg.LinAlgError:
                continue
        radius = np.linalg.norm(chosen[0] - centre)
        if radius < best[1] and (np.linalg.norm(points - centre, axis=1) < radius + 1e-9).all():
            best = centre, radius
    return best


def moments(image: Image, mask: np.ndarray, degree: int) -> tuple[np.ndarray, float, int]:
    """Complex moments, the circle's radius, and the number of pixels."""
    centre, radius = circle(hull(mask))
    y, x = (np.argwhere(mask) - centre).T / radius
    r, angle = np.hypot(y, x), np.arctan2(x, y)
    found = []
    for n, m in orders(degree):
        polynomial = sum(
            (-1) ** s * factorial(n - s) * r ** (n - 2 * s)
            / (factorial(s) * factorial((n + m) // 2 - s) * factorial((n - m) // 2 - s))
            for s in range((n - m) // 2 + 1)
        )  # fmt: skip
        found.append((image[mask].astype(float) * polynomial * np.exp(1j * m * angle)).sum())
    return np.array(found), radius, int(mask.sum())


@settings(max_examples=80, deadline=None)
@given(odd_cells(), st.sampled_from([0, 1, 4, 9, zernike.HIGHEST]))
def test_any_pixels_in_any_mask(drawn: tuple[Image, np.ndarray], degree: int) -> None:
    image, mask = drawn
    family = zernike.select(degree=degree)
    ours = np.array([c[0] for c in family.measure([image], [mask], ["A"]).values()])
    ours = ours.reshape(2, 2, -1)
    if mask.sum() < 2:
        assert np.isnan(ours).all()
        return
    for pixels, (magnitude, phase), shape in (
        (image[0], ours[0], False),
        (np.ones_like(image[0]), ours[1], True),
    ):
        theirs, radius, count = moments(pixels, mask, degree)
        theirs = theirs / (np.pi * radius**2 if shape else count)
        size = np.abs(pixels[mask].astype(float)).sum() / (np.pi * radius**2 if shape else count)
        tolerance = 1e-9 if degree > 9 else 1e-11
        assert np.allclose(magnitude, np.abs(theirs), rtol=1e-7, atol=tolerance * size)
        sure = np.abs(theirs) > 1e-5 * size
        apart = phase[sure] - np.arctan2(theirs.real, theirs.imag)[sure]
        assert (np.abs((apart + np.pi) % (2 * np.pi) - np.pi) < 1e-5).all()


def test_mahotas() -> None:
    # Normalised by the sum of pixels and with (n + 1) / pi before; of a circle given to it.
    images, cell_masks = few_cells(1)
    found = zernike.measure(images, cell_masks, ["A"])
    for k, (image, mask) in enumerate(zip(images, cell_masks, strict=True)):
        centre, radius = circle(hull(mask))
        masked = image[0] * mask
        theirs = mahotas.features.zernike_moments(
            masked.astype(float), radius * (1 + 1e-12), degree=9, cm=tuple(centre)
        )
        for (n, m), other in zip(orders(9), theirs, strict=True):
            ours = found[f"zernike_magnitude_{n}_{m}_A"][k] * mask.sum() / masked.sum()
            assert np.isclose(ours * (n + 1) / np.pi, other, rtol=1e-6, atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(masks(12, 12))
def test_circles_and_widths(mask: np.ndarray) -> None:
    if not mask.any():
        return
    runs, _ = runs_of(mask)
    ys, xs = np.empty(2 * len(mask), np.int64), np.empty(2 * len(mask), np.int64)
    m = corners_of(runs, np.empty((5, len(mask)), np.int64), ys, xs)
    points = hull(mask)
    assert {tuple(p) for p in zip(ys[:m], xs[:m], strict=True)} == {tuple(p) for p in points}
    y, x, radius = smallest_circle(ys, xs, m)
    centre, other = circle(points)
    assert np.allclose([y, x, radius], [*centre, other], rtol=0, atol=1e-9)
    least, largest = widths(ys, xs, m)
    apart = points[:, None] - points[None]
    assert largest == pytest.approx(np.sqrt((apart**2).sum(axis=-1).max()))
    # Across each side of the hull.
    across = [0.0]
    if len(points) > 2:
        sides = np.roll(points, -1, axis=0) - points
        normals = sides[:, ::-1] * [1, -1] / np.linalg.norm(sides, axis=1)[:, None]
        across = [np.ptp(points @ normal) for normal in normals]
    assert least == pytest.approx(min(across), abs=1e-9)


def test_degrees_out_of_range() -> None:
    for degree in (-1, zernike.HIGHEST + 1):
        with pytest.raises(UserError, match="degree"):
            zernike.select(degree=degree)
