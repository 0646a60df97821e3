"""The table under CellProfiler's names, and what pycytominer makes of it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from cells import CONFIG, copy_cells, jurkat_files, write_config
from tables import column_names, read_x

from scip_mpi import registry
from scip_mpi.columns import plan_columns
from scip_mpi.config import ConfigError, parse_config
from scip_mpi.features.family import Feature
from scip_mpi.job import Request
from scip_mpi.merge import merge
from scip_mpi.parallel.world import Alone
from scip_mpi.results.cellprofiler_names import feature_names, measurement, obs_names, taken_apart
from scip_mpi.run import run

CHANNELS = ["DNA", "ER", "DNA_ER"]
COMPARTMENTS = {"li": "Cells", "dots": "Nuclei"}
# As CellProfiler 4 writes them.
KNOWN = {
    "feat_li_area_combined": "Cells_AreaShape_Area",
    "feat_dots_convex_area_combined": "Nuclei_AreaShape_ConvexArea",
    "feat_li_area_DNA": "Cells_AreaShape_Area_DNA",
    "feat_li_euler_number_combined": "Cells_AreaShape_EulerNumber",
    "feat_li_feret_diameter_max_combined": "Cells_AreaShape_MaxFeretDiameter",
    "feat_li_major_axis_length_combined": "Cells_AreaShape_MajorAxisLength",
    "feat_li_moments-0-1_combined": "Cells_AreaShape_SpatialMoment_0_1",
    "feat_li_moments_central-2-3_combined": "Cells_AreaShape_CentralMoment_2_3",
    "feat_li_moments_hu-6_combined": "Cells_AreaShape_HuMoment_6",
    "feat_li_inertia_tensor-1-0_combined": "Cells_AreaShape_InertiaTensor_1_0",
    "feat_li_inertia_tensor_eigvals-0_combined": "Cells_AreaShape_InertiaTensorEigenvalues_0",
    "feat_li_combined_mean_DNA": "Cells_Intensity_MeanIntensity_DNA",
    "feat_dots_combined_sum_ER": "Nuclei_Intensity_IntegratedIntensity_ER",
    "feat_li_combined_lower_quartile_DNA_ER": "Cells_Intensity_LowerQuartileIntensity_DNA_ER",
    "feat_li_mean_DNA": "Cells_Intensity_MeanIntensityOwn_DNA",
    "feat_li_combined_bgcorr_edge_mad_DNA":
        "Cells_Intensity_MADIntensityRimBackgroundCorrected_DNA",
    "feat_li_combined_glcm_mean_contrast_3_DNA": "Cells_Texture_GlcmMeanContrast_3_DNA",
    "feat_li_sobel_max_ER": "Cells_Texture_SobelMaxOwn_ER",
    "feat_li_glcm_std_ASM_5_ER": "Cells_Texture_GlcmStdASM_5_Own_ER",
    "feat_raw_max_ER": "Crop_Intensity_MaxIntensity_ER",
}  # fmt: skip


def test_columns_have_cellprofilers_names_where_they_are_the_same() -> None:
    words = {s: ["shape", "intensity", "texture"] for s in COMPARTMENTS}
    plan = plan_columns(words, list(COMPARTMENTS), CHANNELS, lambda n: registry.find("features", n))
    names = feature_names(plan, CHANNELS, COMPARTMENTS)
    assert len(set(names)) == len(names) == len(plan)
    found = dict(zip(plan.names, names, strict=True))
    assert {old: found[old] for old in KNOWN} == KNOWN


# Of families by their column, less the channel that is DNA, ER or both.
OTHERS = [
    ("cp_intensity", "cp_intensity_edge_integrated", "DNA",
     "Intensity_IntegratedIntensityEdge_DNA"),
    ("cp_intensity", "cp_intensity_mass_displacement", "ER", "Intensity_MassDisplacement_ER"),
    ("cp_intensity", "cp_intensity_center_mass_x", "ER", "Location_CenterMassIntensity_X_ER"),
    ("cp_intensity", "cp_intensity_max_y", "ER", "Location_MaxIntensity_Y_ER"),
    ("radial", "radial_mean_fraction_2of4", "ER", "RadialDistribution_MeanFrac_ER_2of4"),
    ("zernike", "zernike_magnitude_9_1", "ER", "RadialDistribution_ZernikeMagnitude_ER_9_1"),
    ("zernike", "zernike_shape_magnitude_4_2", "combined", "AreaShape_Zernike_4_2"),
    ("colocalization", "coloc_pearson", "DNA_ER", "Correlation_Correlation_DNA_ER"),
    ("colocalization", "coloc_k_1", "DNA_ER", "Correlation_K_DNA_ER"),
    ("colocalization", "coloc_k_2", "DNA_ER", "Correlation_K_ER_DNA"),
    ("colocalization", "coloc_overlap", "DNA_ER", "Correlation_Overlap_DNA_ER"),
    ("neighbors", "neighbors_number_5", "combined", "Neighbors_NumberOfNeighbors_5"),
    ("neighbors", "neighbors_first_closest_distance_5", "combined",
     "Neighbors_FirstClosestDistance_5"),
    ("granularity", "granularity_12", "DNA", "Granularity_12_DNA"),
    ("cp_shape", "cp_shape_form_factor", "combined", "AreaShape_FormFactor"),
    ("ideas", "ideas_gradient_rms", "ER", "Ideas_GradientRms_ER"),
    ("of_others", "of_others_mean_7_d2", "ER", "OfOthers_Mean_7_D2_ER"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "name", "channel", "expected"), OTHERS)
def test_families_to_come_have_names_too(
    family: str, name: str, channel: str, expected: str
) -> None:
    found = taken_apart(Feature(f"{name}_{channel}", channel, "1", "."), family, ["DNA", "ER"])
    assert measurement(family, *found) == expected


def test_of_two_families_with_one_name_it_is_cellprofilers() -> None:
    plan = plan_columns(
        {"li": ["intensity"]}, ["li"], ["DNA"], lambda n: registry.find("features", n)
    )
    taken = Feature("cp_intensity_mean_DNA", "DNA", "intensity", "Mean.")
    plan.features.append(taken)
    plan.families.append("cp_intensity")
    plan.mask_sets.append("li")
    plan.names.append("feat_li_cp_intensity_mean_DNA")
    # Twice the same from two packages: their own names.
    for package in ("p.a", "q.a"):
        plan.features.append(Feature("mean_DNA", "DNA", "1", "Mean."))
        plan.families.append("a")
        plan.mask_sets.append("li")
        plan.names.append(f"feat_li_{package}")
    found = dict(zip(plan.names, feature_names(plan, ["DNA"], {"li": "Cells"}), strict=True))
    assert found["feat_li_cp_intensity_mean_DNA"] == "Cells_Intensity_MeanIntensity_DNA"
    assert found["feat_li_combined_mean_DNA"] == "Cells_ScipIntensity_MeanIntensity_DNA"
    assert found["feat_li_p.a"] == "Cells_feat_li_p.a"
    assert len(set(found.values())) == len(found)


def test_metadata_and_bounding_boxes() -> None:
    names = [
        "image", "group", "object", "plate", "Plate", "well", "field", "ImageNumber", "pixel_size",
        "li_bbox_minr", "dots_bbox_maxc", "li_regions_DNA", "gate_area_DNA", "li_bbox_note",
    ]  # fmt: skip
    assert obs_names(names, COMPARTMENTS) == {
        "image": "Metadata_Image",
        "group": "Metadata_Group",
        "object": "Metadata_ObjectNumber",
        "plate": "Metadata_Plate",
        "Plate": "Metadata_Own_Plate",
        "well": "Metadata_Well",
        "field": "Metadata_Site",
        "ImageNumber": "Metadata_Own_ImageNumber",
        "pixel_size": "Metadata_Pixel_size",
        "li_bbox_minr": "Cells_AreaShape_BoundingBoxMinimum_Y",
        "dots_bbox_maxc": "Nuclei_AreaShape_BoundingBoxMaximum_X",
        "li_regions_DNA": "Cells_Number_Regions_DNA",
        "gate_area_DNA": "Metadata_Gate_area_DNA",
        "li_bbox_note": "Metadata_Li_bbox_note",
    }
    assert obs_names(["bbox_maxr"], {"": "Cells"}) == {
        "bbox_maxr": "Cells_AreaShape_BoundingBoxMaximum_Y"
    }


HEAD = CONFIG.partition("export:")[0]


@pytest.mark.parametrize(
    ("export", "key", "words"),
    [
        ("format: anndata", "naming", "write format: parquet"),
        ("format: parquet", "compartments", "li, otsu have none"),
        ("format: parquet, compartments: {li: Cells, otsu: Cells}", "compartments",
         "li, otsu are all Cells"),
        ("format: parquet, compartments: {li: Cells, otsy: Nuclei}", "compartments.otsy",
         "did you mean 'otsu'"),
        ("format: parquet, compartments: {li: Image, otsu: Nuclei}", "compartments.li",
         "give it another name"),
        ("format: parquet, compartments: {li: My_Cells, otsu: Nuclei}", "compartments.li",
         "letters and digits"),
    ],
)  # fmt: skip
def test_what_may_be_wrong_with_names(export: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(f"{HEAD}export: {{naming: cellprofiler, {export}}}\n", "scip.yml")
    found = [p.message for p in raised.value.problems if p.key_path == f"export.{key}"]
    assert any(words in message for message in found), raised.value.problems


def test_mask_sets_may_say_themselves_what_they_are() -> None:
    text = HEAD.replace("name: li,", "name: nuclei,").replace("name: otsu", "name: Cell")
    text = text.replace("  li:", "  nuclei:").replace("  otsu:", "  Cell:")
    tail = "export: {format: parquet, naming: cellprofiler"
    config = parse_config(f"{text}{tail}}}\n", "scip.yml")
    assert config.compartments() == {"nuclei": "Nuclei", "Cell": "Cells"}
    config = parse_config(f"{text}{tail}, compartments: {{Cell: Blobs}}}}\n", "scip.yml")
    assert config.compartments() == {"nuclei": "Nuclei", "Cell": "Blobs"}
    alone = f"load: {{format: multiframe_tiff}}\nfeature_extraction: [shape]\n{tail}}}\n"
    assert parse_config(alone, "scip.yml").compartments() == {"": "Cells"}


TEXT = """\
load:
  format: multiframe_tiff
  channels: [0, 1, 2]
  channel_names: [BF, PI, SSC]
  kwargs: {regex: '(?P<plate>[^/]+)/(?P<id>[^/]+)\\.tiff?$'}
mask:
  combined_indices: [0, 1]
  main_channel_index: 0
  methods:
    - {method: li, name: li, kwargs: {smooth: [1, 0.5, 1]}}
    - {method: spot, name: dots, kwargs: {spotsize: 3}}
feature_extraction:
  li: [bbox, regions, shape: {masks: [combined]}, intensity: {views: [combined]}]
  dots: [intensity: {views: [combined], stats: [sum]}]
export: {format: parquet, naming: cellprofiler, compartments: {li: Cells, dots: Nuclei}}
"""


@pytest.fixture(scope="module")
def out(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cellprofiler")
    cells = copy_cells(jurkat_files(shared_dir, 60), folder / "cells")
    config = write_config(folder / "scip.yml", text=TEXT)
    assert run(Alone(), Request(config, [str(cells)], folder / "out", quiet=True)) == 0
    return folder / "out"


def test_the_values_are_those_of_the_table(out: Path) -> None:
    cells = pd.read_parquet(out / "features.parquet")
    X, names = read_x(out), column_names(out)
    assert len(cells) == len(X)
    assert cells.columns.is_unique
    for old, new in KNOWN.items():
        old = old.replace("_DNA", "_BF").replace("_ER", "_PI")
        if old in names:
            new = new.replace("_DNA", "_BF").replace("_ER", "_PI")
            assert cells[new].to_numpy().tobytes() == X[:, names.index(old)].tobytes()
    first = cells.iloc[0]
    path = Path(first["Image_PathName_PI"], first["Image_FileName_PI"])
    assert path.is_file()
    assert path.parent.name == first["Metadata_Plate"]
    assert path.stem in first["Metadata_Image"]
    box = [
        first[f"Cells_AreaShape_BoundingBox{k}_{a}"] for k in ("Minimum", "Maximum") for a in "XY"
    ]
    assert box[0] <= first["Cells_Location_Center_X"] < box[2]
    assert box[1] <= first["Cells_Location_Center_Y"] < box[3]
    assert first["Metadata_ObjectName"] == "0_1"
    assert first["Metadata_ImageNumber"] == 1
    # No bounding box where there is no mask.
    with h5py.File(out / "features.h5ad") as file:
        left = file["obs/li_bbox_minc"][()]
    placed = cells["Cells_AreaShape_BoundingBoxMinimum_X"].fillna(-1)
    assert placed.tolist() == left.tolist()
    assert -1 in left


def test_a_merge_says_that_it_leaves_these_names_alone(out: Path, tmp_path: Path) -> None:
    assert merge([out], tmp_path / "all", quiet=True) == 0
    assert not (tmp_path / "all" / "features.parquet").exists()
    assert "CellProfiler's names stay" in (tmp_path / "all" / "run.json").read_text()


def test_pycytominer_takes_it_as_it_is(out: Path) -> None:
    import pycytominer

    plates = sorted(pq.read_table(out / "features.parquet")["Metadata_Plate"].unique().to_pylist())
    layout = pd.DataFrame({"plate": plates, "treatment": [f"t{k % 2}" for k in range(len(plates))]})
    annotated = pycytominer.annotate(
        profiles=str(out / "features.parquet"),
        platemap=layout,
        join_on=["Metadata_plate", "Metadata_Plate"],
    )
    assert annotated["Metadata_treatment"].notna().all()
    normalized = pycytominer.normalize(annotated, method="standardize")
    features = [c for c in normalized.columns if c.startswith(("Cells_", "Nuclei_"))]
    assert "Cells_Intensity_MeanIntensity_PI" in features
    assert abs(np.nanmean(normalized["Cells_Intensity_MeanIntensity_PI"])) < 1e-6
    selected = pycytominer.feature_select(
        normalized, operation=["variance_threshold", "correlation_threshold", "drop_na_columns"]
    )
    assert 0 < len(selected.columns) < len(normalized.columns)
    by_plate = pycytominer.aggregate(
        annotated, strata=["Metadata_Plate"], compute_object_count=True
    )
    assert by_plate["Metadata_Plate"].tolist() == plates
    assert by_plate["Metadata_Object_Count"].sum() == len(annotated)
