"""CellProfiler's intensities against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from odd_cells import Image, odd_cells
from scipy import ndimage

from scip_mpi.features import cp_intensity


def twin(image: Image, mask: np.ndarray) -> dict[str, float]:
    """By NumPy's and SciPy's definitions, of the finite pixels."""
    names = [name for name, _, _ in cp_intensity.STATISTICS]
    found = dict.fromkeys(names, np.nan)
    image = image.astype(float)
    inside = mask & np.isfinite(image)
    edge = inside & ~ndimage.binary_erosion(mask)
    for prefix, where in (("", inside), ("edge_", edge)):
        if where.any():
            values = image[where]
            found[f"{prefix}integrated"] = values.sum()
            found[f"{prefix}mean"] = values.mean()
            found[f"{prefix}std"] = values.std()
            found[f"{prefix}max"] = values.max()
            found[f"{prefix}min"] = values.min()
    if not inside.any():
        return found
    values = image[inside]
    quartiles = np.percentile(values, [25, 50, 75])
    found["lower_quartile"], found["median"], found["upper_quartile"] = quartiles
    found["mad"] = np.median(np.abs(values - quartiles[1]))
    ys, xs = np.nonzero(inside)
    k = values.argmax()
    found["max_y"], found["max_x"] = ys[k], xs[k]
    if values.sum():
        found["center_mass_y"] = (ys * values).sum() / values.sum()
        found["center_mass_x"] = (xs * values).sum() / values.sum()
        found["mass_displacement"] = np.hypot(
            found["center_mass_y"] - ys.mean(), found["center_mass_x"] - xs.mean()
        )
    return found


def check(image: Image, mask: np.ndarray) -> None:
    ours = cp_intensity.measure([image], [mask], ["A"])
    size = 1e-9 * np.abs(np.nan_to_num(image, posinf=0, neginf=0).astype(float)).max(initial=1e-9)
    for name, value in twin(image[0], mask).items():
        found = ours[f"cp_intensity_{name}_A"][0]
        if name in ("center_mass_x", "center_mass_y", "mass_displacement"):
            total = image[0][mask].astype(float)
            if abs(total.sum()) < 1e-6 * np.abs(total).sum():
                # Nothing but rounding is divided by.
                continue
        assert np.isclose(found, value, rtol=1e-7, atol=max(size, 1e-9), equal_nan=True), name


@settings(max_examples=150, deadline=None)
@given(odd_cells())
def test_any_pixels_in_any_mask(drawn: tuple[Image, np.ndarray]) -> None:
    check(*drawn)


def test_pixels_that_are_not_finite_do_not_count() -> None:
    rng = np.random.default_rng(0)
    image = rng.normal(5, 2, (1, 9, 11)).astype(np.float32)
    image[0, 2, 2:5] = np.nan, np.inf, -np.inf
    mask = np.zeros((9, 11), bool)
    mask[2:7, 2:9] = True
    with np.errstate(invalid="ignore"):
        check(image, mask)
        check(np.full_like(image, np.nan), mask)


@pytest.mark.parametrize(("n", "q1", "median", "q3", "mad"), [
    (1, 1, 1, 1, 0), (2, 1.5, 2, 2, 1), (3, 1.75, 2.5, 3, 1), (4, 2, 3, 4, 1),
    (5, 2.25, 3.5, 4.75, 1.5),
])  # fmt: skip
def test_percentiles_by_count(n: int, q1: float, median: float, q3: float, mad: float) -> None:
    # Ranks q n of 1, 2, ..., n, worked out by hand.
    image = np.arange(1, n + 1, dtype=np.uint16)[None, None]
    family = cp_intensity.select(percentiles="cellprofiler")
    found = family.measure([image], None, ["A"])
    names = ("lower_quartile", "median", "upper_quartile", "mad")
    assert [found[f"cp_intensity_{k}_A"][0] for k in names] == [q1, median, q3, mad]


def test_the_edge_of_a_square_by_hand() -> None:
    image = np.arange(25, dtype=np.uint16).reshape(1, 5, 5)
    # The mask fills the crop, beyond which is outside.
    found = cp_intensity.measure([image], None, ["A"])
    assert found["cp_intensity_edge_integrated_A"][0] == 300 - (
        6 + 7 + 8 + 11 + 12 + 13 + 16 + 17 + 18
    )
    assert found["cp_intensity_mass_displacement_A"][0] == pytest.approx(
        np.hypot(*[(np.indices((5, 5))[k] * image[0]).sum() / 300 - 2 for k in (0, 1)])
    )
