"""Selections: the same columns as those of the full family, bit for bit, and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from cells import jurkat_files
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import measure as skimage_measure
from test_families import DTYPES, cells

from scip_mpi.errors import UserError
from scip_mpi.features import intensity, raw, shape, texture
from scip_mpi.features.family import Family
from scip_mpi.features.intensity_columns import VIEW_WORDS
from scip_mpi.features.intensity_selected import WORDS as STATS
from scip_mpi.features.shape_selected import WORDS as SHAPE_WORDS
from scip_mpi.features.texture_selected import WORDS as PROPERTIES

FAMILIES = {f.FAMILY.name: f.FAMILY for f in (intensity, raw, shape, texture)}


def some(words: Any) -> st.SearchStrategy[list[Any] | None]:
    return st.none() | st.lists(st.sampled_from(words), min_size=1, max_size=4, unique=True)


MASKS = some(["own", "combined"])
CHANNELS = some([0, 1])
SETTINGS = {
    "intensity": {"views": some(VIEW_WORDS), "stats": some(STATS), "channels": CHANNELS},
    "raw": {"stats": some(STATS), "channels": CHANNELS},
    "shape": {"properties": some(SHAPE_WORDS), "masks": MASKS, "channels": CHANNELS},
    "texture": {
        "masks": MASKS,
        "distances": some([3, 5]),
        "statistics": some(["mean", "std"]),
        "properties": some(PROPERTIES),
        "sobel": some(["mean", "std", "max", "min"]) | st.just([]),
        "channels": CHANNELS,
    },
}
SELECTIONS = st.sampled_from(sorted(SETTINGS)).flatmap(
    lambda name: st.tuples(
        st.just(name), st.lists(st.fixed_dictionaries(SETTINGS[name]), min_size=1, max_size=3)
    )
)


def selected(name: str, selections: list[dict[str, Any]]) -> Family:
    family = FAMILIES[name]
    assert family.select is not None
    assert family.joined is not None
    return family.joined(tuple(p for s in selections for p in family.select(**s).parts))


@pytest.fixture(scope="module")
def full() -> dict[tuple[str, str], dict[str, np.ndarray]]:
    return {
        (name, dtype): family.measure(*cells(dtype), ["A", "B"])
        for name, family in FAMILIES.items()
        for dtype in DTYPES
    }


@settings(max_examples=200, deadline=None)
@given(SELECTIONS, st.sampled_from(DTYPES))
def test_a_selection_is_some_columns_of_the_full_family(
    full: dict[tuple[str, str], dict[str, np.ndarray]], drawn: Any, dtype: str
) -> None:
    name, selections = drawn
    found = selected(name, selections).measure(*cells(dtype), ["A", "B"])
    whole = full[name, dtype]
    assert found
    assert [n for n in whole if n in found] == list(found)
    for column, values in found.items():
        assert values.tobytes() == whole[column].tobytes(), column


@pytest.mark.parametrize("name", FAMILIES)
def test_without_settings_it_is_the_full_family(name: str) -> None:
    family = FAMILIES[name]
    chosen = selected(name, [{}])
    assert chosen.features(["A", "B", "C"]) == family.features(["A", "B", "C"])
    images, masks = cells("uint16", 7)
    for column, values in chosen.measure(images, masks).items():
        assert values.tobytes() == family.measure(images, masks)[column].tobytes()


def real_cells(shared_dir: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    images = [tifffile.imread(f)[:2] for f in jurkat_files(shared_dir, 30)]
    planes = [np.abs(im - np.median(im, axis=(1, 2), keepdims=True)) for im in images]
    return images, [p > p.mean(axis=(1, 2), keepdims=True) for p in planes]


@settings(max_examples=30, deadline=None)
@given(SELECTIONS)
def test_of_real_cells_too(shared_dir: Path, drawn: Any) -> None:
    images, masks = real_cells(shared_dir)
    name, selections = drawn
    whole = FAMILIES[name].measure(images, masks)
    for column, values in selected(name, selections).measure(images, masks).items():
        assert values.tobytes() == whole[column].tobytes(), column


def test_what_is_asked_for_is_what_comes() -> None:
    chosen = intensity.FAMILY.select(views=["bgcorr", "own"], stats=["sum", "mean"], channels=[1])
    names = [f.name for f in chosen.features(["A", "B"])]
    assert names == ["mean_B", "sum_B", "bgcorr_mean_B", "bgcorr_sum_B"]
    chosen = texture.FAMILY.select(
        masks=["own"], distances=[5], statistics=["mean"], properties=["ASM"], sobel=["max"]
    )
    assert [f.name for f in chosen.features(["A"])] == ["glcm_mean_ASM_5_A", "sobel_max_A"]
    chosen = texture.FAMILY.select(masks=["combined"], properties=[], sobel=["min"])
    assert [f.name for f in chosen.features(["A"])] == ["combined_sobel_min_A"]
    chosen = shape.FAMILY.select(component="largest", properties=["area", "moments_hu"])
    names = [f.name for f in chosen.features(["A"])]
    assert names[:2] == ["largest_area_combined", "largest_moments_hu-0_combined"]
    assert names[8:10] == ["largest_area_A", "largest_moments_hu-0_A"]
    chosen = raw.FAMILY.select(stats=["mad"])
    assert [f.name for f in chosen.features(["A", "B"])] == ["mad_A", "mad_B"]


def test_the_largest_component_is_skimages_first_largest() -> None:
    names = ("area", "eccentricity", "solidity", "extent", "perimeter", "euler_number", "moments")
    chosen = shape.FAMILY.select(component="largest", properties=names)
    for dtype in ("uint8", "float32"):
        images, masks = cells(dtype, 3)
        found = chosen.measure(images, masks)
        for i, mask in enumerate(masks):
            planes = {"combined": mask.any(axis=0), "0": mask[0], "1": mask[1]}
            for suffix, plane in planes.items():
                regions = skimage_measure.regionprops(skimage_measure.label(plane, connectivity=2))
                if not regions:
                    assert found[f"largest_area_{suffix}"][i] == 0
                    assert np.isnan(found[f"largest_solidity_{suffix}"][i])
                    continue
                # `max` takes the first of equals, and labels run in raster order.
                largest = max(regions, key=lambda r: r.area)
                for name in names[:-1]:
                    ours = found[f"largest_{name}_{suffix}"][i]
                    np.testing.assert_allclose(ours, largest[name], rtol=1e-9, atol=1e-7)
                ours = found[f"largest_moments-2-1_{suffix}"][i]
                np.testing.assert_allclose(ours, largest.moments[2, 1], rtol=1e-9)


def test_of_equal_components_the_first_counts() -> None:
    mask = np.zeros((12, 12), bool)
    mask[1:3, 6:9] = True
    mask[6:9, 1:3] = True
    chosen = shape.FAMILY.select(component="largest", properties=["inertia_tensor"])
    found = chosen.measure([mask.astype("u1")], [mask])
    assert found["largest_inertia_tensor-0-0_0"] > found["largest_inertia_tensor-1-1_0"]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("intensity", {"views": ["owned"]}),
        ("intensity", {"stats": []}),
        ("raw", {"stats": ["averages"]}),
        ("raw", {"channels": []}),
        ("shape", {"component": "smallest"}),
        ("shape", {"properties": ["arena"]}),
        ("shape", {"channels": ["DAPI"]}),
        ("texture", {"distances": [4]}),
        ("texture", {"properties": [], "sobel": []}),
    ],
)
def test_what_selects_nothing_is_refused(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        FAMILIES[name].select(**wrong)


def test_a_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="no channel 4"):
        intensity.FAMILY.select(channels=[4]).features(["A", "B"])
