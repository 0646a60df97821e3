"""CellProfiler's shapes against scikit-image, SciPy and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from masks import Mask, masks
from scipy import ndimage
from skimage.measure import regionprops

from scip_mpi.features import cp_shape


def twin(mask: Mask) -> dict[str, float]:
    names = [name for name, _, _ in cp_shape.STATISTICS if "feret" not in name]
    if not mask.any():
        return dict.fromkeys(names, np.nan)
    region = regionprops(mask.astype(int))[0]
    inside = np.pad(region.image, 1)
    radii = ndimage.distance_transform_edt(inside)[inside]
    circle = 4 * np.pi * region.area
    return {
        "area": region.area,
        "perimeter": region.perimeter,
        "form_factor": circle / region.perimeter**2 if region.perimeter else np.nan,
        "compactness": region.perimeter**2 / circle,
        "extent": region.extent,
        "bounding_box_area": region.area_bbox,
        "equivalent_diameter": region.equivalent_diameter_area,
        "euler_number": region.euler_number,
        "major_axis": region.axis_major_length,
        "minor_axis": region.axis_minor_length,
        "eccentricity": region.eccentricity,
        "maximum_radius": radii.max(),
        "mean_radius": radii.mean(),
        "median_radius": np.median(radii),
    }


@settings(max_examples=150, deadline=None)
@given(masks(30, 70))
def test_any_mask(mask: Mask) -> None:
    image = np.zeros((1, *mask.shape), np.uint16)
    ours = cp_shape.measure([image], [mask], ["A"])
    for name, value in twin(mask).items():
        # Of a line scikit-image's minor axis is the root of a rounding.
        loose = 1e-6 if name in ("minor_axis", "eccentricity") else 1e-9
        found = ours[f"cp_shape_{name}_combined"][0]
        assert np.isclose(found, value, rtol=1e-7, atol=loose, equal_nan=True), name


def test_a_square_by_hand() -> None:
    found = cp_shape.measure([np.zeros((1, 4, 4), np.uint16)], None, ["A"])
    ours = {
        name.removeprefix("cp_shape_").removesuffix("_combined"): c[0] for name, c in found.items()
    }
    assert (ours["area"], ours["perimeter"], ours["extent"], ours["euler_number"]) == (16, 12, 1, 1)
    assert (ours["maximum_radius"], ours["mean_radius"], ours["median_radius"]) == (2, 1.25, 1)
    # Between centres of pixels: three pixels apart.
    assert ours["min_feret"] == 3
    assert ours["max_feret"] == pytest.approx(3 * np.sqrt(2))
