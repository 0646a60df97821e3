"""Names of the shape columns."""

from __future__ import annotations

from collections.abc import Sequence

from scip_mpi.features.family import Feature

_SIMPLE = (
    ("area", "pixel^2", "Pixels."),
    ("convex_area", "pixel^2", "Pixels of the convex hull."),
    ("eccentricity", "1", "Of the ellipse with the same second moments."),
    ("equivalent_diameter", "pixel", "Diameter of the disc of the same area."),
    ("euler_number", "1", "One less the holes, pixels joined over corners."),
    ("feret_diameter_max", "pixel", "Largest distance of two points of the convex hull."),
    ("filled_area", "pixel^2", "Pixels with holes filled."),
    ("major_axis_length", "pixel", "Of the ellipse with the same second moments."),
    ("minor_axis_length", "pixel", "Of the ellipse with the same second moments."),
    ("orientation", "radian", "Angle of the major axis to the rows' direction, -pi/2 to pi/2."),
    ("perimeter", "pixel", "Line through the border pixels' centres, 4-neighbourhood."),
    ("perimeter_crofton", "pixel", "Crofton's formula in four directions."),
    ("solidity", "1", "Area over convex area."),
    ("extent", "1", "Area over that of the bounding box."),
)
_HU_TEXT = "Hu's moment invariant of the component."


def one_mask() -> list[tuple[str, str, str]]:
    """Name, unit and definition of the columns of one mask."""
    pairs = [(i, j) for i in range(2) for j in range(2)]
    orders = [(i, j) for i in range(4) for j in range(4)]
    tensor = "Inertia tensor of the component about its centroid."
    return [
        *_SIMPLE,
        *((f"inertia_tensor-{i}-{j}", "pixel^2", tensor) for i, j in pairs),
        *((f"inertia_tensor_eigvals-{i}", "pixel^2", tensor) for i in range(2)),
        *((f"moments-{i}-{j}", f"pixel^{i + j + 2}", "Moment sum of row^i column^j, from the "
           "bounding box.") for i, j in orders),
        *((f"moments_central-{i}-{j}", f"pixel^{i + j + 2}", "Moment about the centroid.")
          for i, j in orders),
        *((f"moments_hu-{i}", "1", _HU_TEXT) for i in range(7)),
    ]  # fmt: skip


def column(name: str, channel: str, unit: str, definition: str) -> Feature:
    """A column of the mask of a channel, or of the combined mask."""
    mask = "combined" if channel == "combined" else "own"
    return Feature(f"{name}_{channel}", channel, unit, definition, mask)


def features(channel_names: Sequence[str]) -> list[Feature]:
    """59 columns for the combined mask, then 59 for each channel's own mask."""
    return [
        column(name, channel, unit, f"{text} Mean over components.")
        for channel in ("combined", *channel_names)
        for name, unit, text in one_mask()
    ]
