"""Texture against other programs, each where it is right.

The values were printed by mahotas 1.4.19 and by pyradiomics 3.1.4 (bhklab's, in the plane) for the
picture that `picture` makes. mahotas's difference variance is that of the vector of probabilities,
not of the difference: it is no judge there. scikit-image computes its own as the test runs; its
angles are counted downwards, and its homogeneity is the inverse difference moment.
"""

from __future__ import annotations

import numpy as np
import pytest
from skimage.feature import graycomatrix, graycoprops

from scip_mpi.features import gldm, glrlm, glszm, haralick, ngtdm

ANGLES = ("0deg", "45deg", "90deg", "135deg")
SCIKIT_IMAGE = {
    "angular_second_moment": "ASM",
    "contrast": "contrast",
    "inverse_difference_moment": "homogeneity",
    "correlation": "correlation",
}
# At each of the angles.
MAHOTAS: dict[str, tuple[float, ...]] = {
    "angular_second_moment": (0.0196988091109, 0.0206496799903, 0.0230971512053, 0.0193827160494),
    "contrast": (9.11827956989, 10.3626373626, 12.5837837838, 10.0777777778),
    "correlation": (0.0920405026566, -0.0203079483978, -0.216919555819, 0.0158894729228),
    "joint_variance": (5.02130304081, 5.07819103973, 5.17034331629, 5.12024691358),
    "inverse_difference_moment": (0.328331840818, 0.302988978736, 0.157653140483, 0.308662861957),
    "sum_average": (8.89247311828, 8.92307692308, 8.75675675676, 9.08888888889),
    "sum_variance": (10.9669325934, 9.95012679628, 8.09758948137, 10.4032098765),
    "sum_entropy": (3.67866264059, 3.58101917199, 3.47972243468, 3.61709508507),
    "joint_entropy": (5.7813431881, 5.75919172999, 5.58751194389, 5.83294842948),
    "difference_entropy": (2.730474423, 2.8179321178, 2.53367780118, 2.80001074936),
    "information_correlation_1": (
        -0.0442050865127,
        -0.0526669020617,
        -0.114358450922,
        -0.0351126355907,
    ),
    "information_correlation_2": (0.479564137185, 0.517367063667, 0.701592740746, 0.433791126722),
}
PYRADIOMICS = {
    "glrlm_grey_level_non_uniformity_mean": 26.9068578644,
    "glrlm_normalised_grey_level_non_uniformity_mean": 0.131742256236,
    "glrlm_grey_level_variance_mean": 5.14324435309,
    "glrlm_high_grey_level_run_emphasis_mean": 25.7024325315,
    "glrlm_long_runs_emphasis_mean": 1.2949516367,
    "glrlm_long_run_high_grey_level_emphasis_mean": 32.3931299511,
    "glrlm_long_run_low_grey_level_emphasis_mean": 0.25514998302,
    "glrlm_low_grey_level_run_emphasis_mean": 0.192977099286,
    "glrlm_run_entropy_mean": 3.34817446631,
    "glrlm_run_length_non_uniformity_mean": 173.015724562,
    "glrlm_normalised_run_length_non_uniformity_mean": 0.843262366849,
    "glrlm_run_percentage_mean": 0.915919282511,
    "glrlm_run_length_variance_mean": 0.095413840691,
    "glrlm_short_runs_emphasis_mean": 0.933241431976,
    "glrlm_short_run_high_grey_level_emphasis_mean": 24.1204896115,
    "glrlm_short_run_low_grey_level_emphasis_mean": 0.178362130725,
    "glszm_grey_level_non_uniformity": 19.2702702703,
    "glszm_normalised_grey_level_non_uniformity": 0.130204528853,
    "glszm_grey_level_variance": 5.19119795471,
    "glszm_high_grey_level_zone_emphasis": 26.6756756757,
    "glszm_large_zone_emphasis": 2.91216216216,
    "glszm_large_zone_high_grey_level_emphasis": 67.6081081081,
    "glszm_large_zone_low_grey_level_emphasis": 0.637686308758,
    "glszm_low_grey_level_zone_emphasis": 0.184597850401,
    "glszm_zone_size_non_uniformity": 72.0540540541,
    "glszm_normalised_zone_size_non_uniformity": 0.486851716581,
    "glszm_small_zone_emphasis": 0.721647897898,
    "glszm_small_zone_high_grey_level_emphasis": 19.5744069069,
    "glszm_small_zone_low_grey_level_emphasis": 0.1294018628,
    "glszm_zone_size_entropy": 4.22649646599,
    "glszm_zone_percentage": 0.663677130045,
    "glszm_zone_size_variance": 0.64184623813,
    "gldm_dependence_count_entropy": 4.30866410638,
    "gldm_dependence_count_non_uniformity": 91.9417040359,
    "gldm_normalised_dependence_count_non_uniformity": 0.412294636932,
    "gldm_dependence_count_variance": 0.444408695128,
    "gldm_grey_level_non_uniformity": 29.4035874439,
    "gldm_grey_level_variance": 5.12879808562,
    "gldm_high_grey_level_count_emphasis": 25.4798206278,
    "gldm_high_dependence_emphasis": 3.24215246637,
    "gldm_high_dependence_high_grey_level_emphasis": 75.9103139013,
    "gldm_high_dependence_low_grey_level_emphasis": 0.683245579248,
    "gldm_low_grey_level_count_emphasis": 0.194807307078,
    "gldm_low_dependence_emphasis": 0.561690333832,
    "gldm_low_dependence_high_grey_level_emphasis": 14.932486298,
    "gldm_low_dependence_low_grey_level_emphasis": 0.10292657618,
    "ngtdm_busyness": 2.70111776112,
    "ngtdm_coarseness": 0.0161625713778,
    "ngtdm_complexity": 49.5147335075,
    "ngtdm_contrast": 0.38771075672,
    "ngtdm_strength": 0.351817276076,
}


def picture() -> tuple[np.ndarray, np.ndarray]:
    """Levels 1 to 8, and a mask with holes."""
    rows, columns = np.mgrid[:20, :24]
    levels = 1 + (columns * columns * 3 + rows * 7 + columns * rows) % 29 * 8 // 29
    disc = (columns - 11) ** 2 + (rows - 9) ** 2 * 1.3 < 88
    return levels.astype(np.uint16), disc & ((columns + 2 * rows) % 11 != 0)


@pytest.fixture(scope="module")
def columns() -> dict[str, float]:
    levels, mask = picture()
    families = (
        haralick.select(levels="given", distances=[1, 3], statistics=ANGLES),
        *(f.select(levels="given") for f in (glrlm, glszm, gldm, ngtdm)),
    )
    found: dict[str, float] = {}
    for family in families:
        measured = family.measure([levels], [mask]).items()
        found |= {name.removesuffix("_0"): float(v[0]) for name, v in measured}
    return found


@pytest.mark.parametrize("name", MAHOTAS)
def test_haralick_is_mahotas(name: str, columns: dict[str, float]) -> None:
    for angle, value in zip(ANGLES, MAHOTAS[name], strict=True):
        assert columns[f"haralick_{name}_{angle}"] == pytest.approx(value, rel=1e-10)


@pytest.mark.parametrize("name", PYRADIOMICS)
def test_matrices_are_pyradiomics(name: str, columns: dict[str, float]) -> None:
    assert columns[name] == pytest.approx(PYRADIOMICS[name], rel=1e-10)


@pytest.mark.parametrize("distance", [1, 3])
def test_haralick_is_scikit_image(distance: int, columns: dict[str, float]) -> None:
    levels, mask = picture()
    # Its distance along a diagonal is a length, ours a number of rows and columns.
    for angle in ANGLES:
        degrees = int(angle.removesuffix("deg"))
        far = distance if degrees % 90 == 0 else distance * np.sqrt(2)
        counts = graycomatrix(
            np.where(mask, levels, 0).astype(np.uint8), [far], [-np.deg2rad(degrees)], 9,
            symmetric=True,
        )[1:, 1:]  # fmt: skip
        for ours, theirs in SCIKIT_IMAGE.items():
            word = "" if distance == 1 else f"_d{distance}"
            expected = graycoprops(counts / counts.sum(), theirs)[0, 0]
            found = columns[f"haralick_{ours}_{angle}{word}"]
            assert found == pytest.approx(expected, rel=1e-9), (ours, angle)
