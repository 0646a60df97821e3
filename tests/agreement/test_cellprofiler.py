"""CellProfiler's families against cp_measure, on 100 cells and 100 nuclei in three channels."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from centrosome import zernike as centrosome_zernike
from cp_measure.core import measurecolocalization as their_pairs
from cp_measure.core.measuregranularity import get_granularity
from cp_measure.core.measureobjectintensity import get_intensity
from cp_measure.core.measureobjectintensitydistribution import (
    get_radial_distribution,
    get_radial_zernikes,
)
from cp_measure.core.measureobjectsizeshape import get_feret, get_sizeshape, get_zernike
from montage import Cells, real_cells

from scip_mpi.features import (
    colocalization,
    cp_intensity,
    cp_shape,
    granularity,
    radial,
    zernike,
)
from scip_mpi.features.family import Family
from scip_mpi.features.zernike_basis import orders

NAMES = ["A", "B", "C"]


@pytest.fixture(scope="module")
def cells(shared_dir: Path) -> Cells:
    return real_cells(shared_dir)


@pytest.fixture(autouse=True)
def their_warnings() -> Iterator[None]:
    """cp_measure warns of what it leaves undefined."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def ours(family: Family, cells: Cells) -> dict[str, np.ndarray]:
    return family.measure(cells.images, cells.masks, NAMES)


def compare(
    found: dict[str, np.ndarray],
    theirs: Callable[[str], Any],
    columns: dict[str, str],
    suffix: str,
    absent: float | None = None,
) -> None:
    """Every column at 1e-6; ``absent`` is what they have where we have nothing."""
    for name, other in columns.items():
        a, b = found[f"{name}_{suffix}"], np.asarray(theirs(other))
        if absent is not None:
            a = np.where(np.isnan(a) & (b == absent), absent, a)
        assert len(a) == len(b) == 200
        wrong = ~np.isclose(a, b, rtol=1e-6, atol=0, equal_nan=True)
        assert not wrong.any(), (name, [(k, a[k], b[k]) for k in np.flatnonzero(wrong)[:5]])


INTENSITIES = {
    f"cp_intensity_{name}": f"Intensity_{other}"
    for name, other in {
        "integrated": "IntegratedIntensity",
        "mean": "MeanIntensity",
        "std": "StdIntensity",
        "max": "MaxIntensity",
        "min": "MinIntensity",
        "edge_integrated": "IntegratedIntensityEdge",
        "edge_mean": "MeanIntensityEdge",
        "edge_std": "StdIntensityEdge",
        "edge_max": "MaxIntensityEdge",
        "edge_min": "MinIntensityEdge",
        "mass_displacement": "MassDisplacement",
        "lower_quartile": "LowerQuartileIntensity",
        "median": "MedianIntensity",
        "mad": "MADIntensity",
        "upper_quartile": "UpperQuartileIntensity",
    }.items()
}


@pytest.mark.parametrize("percentiles", cp_intensity.PERCENTILES)
def test_intensity(cells: Cells, percentiles: str) -> None:
    found = ours(cp_intensity.select(percentiles=percentiles), cells)
    for c, name in enumerate(NAMES):
        legacy = percentiles == "cellprofiler"
        theirs = get_intensity(cells.labels, cells.picture[c], legacy=legacy)
        compare(found, theirs.__getitem__, INTENSITIES, name)
        # Places are counted from the crop's corner here, from the picture's there.
        for axis in "xy":
            apart = (
                theirs[f"Location_MaxIntensity_{axis.upper()}"]
                - theirs[f"Location_CenterMassIntensity_{axis.upper()}"]
            )
            here = found[f"cp_intensity_max_{axis}_{name}"]
            here = here - found[f"cp_intensity_center_mass_{axis}_{name}"]
            assert np.allclose(here, apart, rtol=0, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize(
    "settings", [{}, {"bins": 3}, {"scaled": False, "maximum_radius": 10.0}], ids=str
)
def test_radial(cells: Cells, settings: dict[str, Any]) -> None:
    family = radial.select(**settings)
    found = ours(family, cells)
    bins = settings.get("bins", 4)
    rings = {f"{k}of{bins}": f"{k}of{bins}" for k in range(1, bins + 1)}
    if "scaled" in settings:
        rings["overflow"] = "Overflow"
    columns = {
        f"radial_{name}_{ring}": f"RadialDistribution_{other}_{there}"
        for name, other in (("fraction", "FracAtD"), ("mean_fraction", "MeanFrac"),
                            ("cv", "RadialCV"))
        for ring, there in rings.items()
    }  # fmt: skip
    for c, name in enumerate(NAMES):
        theirs = get_radial_distribution(
            cells.labels, cells.picture[c], settings.get("scaled", True), bins,
            settings.get("maximum_radius", 100),
        )  # fmt: skip
        # A ring without a pixel, or without intensity, has no variation: theirs is 0.
        compare(found, theirs.__getitem__, columns, name, absent=0.0)


def all_on_the_disc(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their circles a trifle larger, so that no pixel on one is rounded out of it."""
    circle = centrosome_zernike.minimum_enclosing_circle

    def wider(*given: Any) -> Any:
        centres, radii = circle(*given)
        return centres, radii * (1 + 1e-12)

    monkeypatch.setattr(centrosome_zernike, "minimum_enclosing_circle", wider)


def compare_moments(
    found: dict[str, np.ndarray], theirs: Callable[[str], Any], prefix: str, suffix: str
) -> np.ndarray:
    """Which cells agree: magnitudes at 1e-6, phases of those that are more than rounding."""
    agree = np.ones(200, bool)
    for n, m in orders(9):
        a, b = found[f"{prefix}magnitude_{n}_{m}_{suffix}"], theirs(f"{n}_{m}")
        agree &= np.isclose(a, b, rtol=1e-6, atol=1e-12 * found[f"{prefix}magnitude_0_0_{suffix}"])
    return agree


def test_zernike(cells: Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ours(zernike.FAMILY, cells)
    as_they_are = get_zernike(cells.labels, None)
    of_shape = compare_moments(
        found, lambda k: as_they_are[f"Zernike_{k}"], "zernike_shape_", "combined"
    )
    # Where no pixel is rounded out of their disc.
    assert of_shape.sum() > 80
    all_on_the_disc(monkeypatch)
    shapes = get_zernike(cells.labels, None)
    assert compare_moments(
        found, lambda k: shapes[f"Zernike_{k}"], "zernike_shape_", "combined"
    ).all()
    for c, name in enumerate(NAMES):
        theirs = get_radial_zernikes(cells.labels, cells.picture[c])
        word = "RadialDistribution_ZernikeMagnitude_"
        assert compare_moments(found, lambda k: theirs[word + k], "zernike_", name).all()  # noqa: B023
        for n, m in orders(9):
            large = found[f"zernike_magnitude_{n}_{m}_{name}"]
            large = large > 1e-6 * found[f"zernike_magnitude_0_0_{name}"]
            apart = found[f"zernike_phase_{n}_{m}_{name}"]
            apart = apart - theirs[f"RadialDistribution_ZernikePhase_{n}_{m}"]
            # A phase of pi is one of -pi.
            apart = np.abs((apart + np.pi) % (2 * np.pi) - np.pi)
            assert large.sum() > 150
            assert (apart[large] < 1e-6).all()


PAIRS = {
    f"coloc_{name}": f"Correlation_{other}"
    for name, other in {
        "pearson": "Pearson",
        "slope": "Slope",
        "manders_1": "Manders_1",
        "manders_2": "Manders_2",
        "overlap": "Overlap",
        "k_1": "K_1",
        "k_2": "K_2",
        "rwc_1": "RWC_1",
        "rwc_2": "RWC_2",
        "costes_1": "Costes_1",
        "costes_2": "Costes_2",
    }.items()
}


def test_colocalization(cells: Cells) -> None:
    found = ours(colocalization.select(measures=colocalization.MEASURES), cells)
    labels = cells.labels
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = cells.picture[a], cells.picture[b]
        whole = both[0].astype(np.uint16), both[1].astype(np.uint16)
        theirs = {
            **their_pairs.get_correlation_pearson(*both, labels),
            **their_pairs.get_correlation_manders_fold(*both, labels),
            **their_pairs.get_correlation_overlap(*both, labels),
            **their_pairs.get_correlation_rwc(*both, labels),
            **their_pairs.get_correlation_costes(*whole, labels),
        }
        assert np.isfinite(theirs["Correlation_Costes_1"]).sum() > 15
        # No pixel above both thresholds: their overlap is 0.
        compare(found, theirs.__getitem__, PAIRS, f"{NAMES[a]}_{NAMES[b]}", absent=0.0)


def test_granularity(cells: Cells) -> None:
    found = granularity.FAMILY.measure([i[:1] for i in cells.images], cells.masks, ["A"])
    # A disc that reaches beyond every mask leaves no background.
    theirs = get_granularity(cells.labels, cells.picture[0], 1, 0.25, 10)
    for k in range(1, 17):
        a, b = found[f"granularity_{k}_A"], theirs[f"Granularity_{k}"]
        assert np.allclose(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "settings",
    [
        {"subsample": 0.5},
        {"subsample": 0.25, "background_radius": 1},
        {"subsample": 0.6, "background_radius": 2, "background_subsample": 0.5},
        {"background_radius": 3},
        {"background_radius": 3, "background_subsample": 1.0},
    ],
    ids=str,
)
def test_granularity_of_smaller_pictures(cells: Cells, settings: dict[str, Any]) -> None:
    chosen = range(0, 100, 10)
    images, masks = [cells.images[k][:1] for k in chosen], [cells.masks[k] for k in chosen]
    found = granularity.select(**settings).measure(images, masks, ["A"])
    part = settings.get("subsample", 1.0)
    for i, (image, mask) in enumerate(zip(images, masks, strict=True)):
        ys, xs = np.nonzero(mask)
        box = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        picture = np.pad((image[0] * mask)[box], 1).astype(float)
        # Without a background: a disc that reaches the outside from anywhere. Not a larger one,
        # for which scikit-image reads beyond its picture.
        radius, sample = round(max(picture.shape) * part / 2) + 1, 1.0
        if "background_radius" in settings:
            radius, sample = (
                settings["background_radius"],
                settings.get("background_subsample", 0.25),
            )
        labels = np.pad(mask[box], 1).astype(np.int32)
        theirs = get_granularity(labels, picture, part, sample, radius)
        for k in range(1, 17):
            a, b = found[f"granularity_{k}_A"][i], theirs[f"Granularity_{k}"][0]
            assert np.isclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True)


def test_shape(cells: Cells) -> None:
    found = ours(cp_shape.FAMILY, cells)
    theirs = {**get_sizeshape(cells.labels, None), **get_feret(cells.labels, None)}
    columns = {
        "area": "Area",
        "perimeter": "Perimeter",
        "form_factor": "FormFactor",
        "compactness": "Compactness",
        "extent": "Extent",
        "bounding_box_area": "BoundingBoxArea",
        "equivalent_diameter": "EquivalentDiameter",
        "euler_number": "EulerNumber",
        "major_axis": "MajorAxisLength",
        "minor_axis": "MinorAxisLength",
        "eccentricity": "Eccentricity",
        "maximum_radius": "MaximumRadius",
        "mean_radius": "MeanRadius",
        "median_radius": "MedianRadius",
        "min_feret": "MinFeretDiameter",
        "max_feret": "MaxFeretDiameter",
    }
    named = {f"cp_shape_{name}": other for name, other in columns.items()}
    compare(found, theirs.__getitem__, named, "combined")
