"""Everything at once: fields, children, offset, compensation, background, scaling, filters."""

from __future__ import annotations

import sys
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import tifffile
from skimage.measure import label
from tables import digest

from scip_mpi import registry
from scip_mpi.columns import plan_columns
from scip_mpi.config import parse_config
from scip_mpi.errors import UserError
from scip_mpi.features.neighbors import WORDS as NEIGHBORS
from scip_mpi.job import Request
from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.parallel.world import Alone
from scip_mpi.plan import check_fields
from scip_mpi.run import run

sys.path.insert(0, str(Path(__file__).parent / "features"))
from neighbor_twin import twin

FIELDS = """\
load:
  format: multiframe_tiff
  channel_names: [DNA, GFP, PE]
  offset: [10, 0, 5]
  saturation: 3000
  kwargs: {regex: '(?P<group>[ab])_(?P<site>[0-9])'}
compensation: {matrix: MATRIX}
segment:
  method: watershed
  export: true
  settings:
    parent_channel_index: DNA
    cell_diameter: 12
    children: {GFP: {threshold: otsu}}
    border: drop
    min_size: 20
    expansion: {PE: 2}
    subtract: {left_index: PE, right_index: DNA, for_index: PE}
background: {DNA: ring, GFP: field_median, PE: 7}
feature_extraction: [shape, intensity, texture, neighbors: {distance: 9}, bbox, regions]
"""
NORMALIZED = "normalization: {lower: 0.02, upper: 0.98}\n"
FILTER = """\
filter:
  action: flag
  all:
    - {name: range, statistic: area, channel: DNA, lower: 90}
    - any:
      - {name: quantile, statistic: mean, channel: DNA, lower: 0.3, by: group}
      - {name: mad, statistic: focus, channel: GFP, n_mads: 0.7}
"""


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:90, :110]
    for group in "ab":
        for site in range(3):
            image = rng.normal(60, 4, (3, 90, 110))
            for _ in range(14):
                cy, cx, r = rng.uniform(0, 90), rng.uniform(0, 110), rng.uniform(5, 7)
                away = np.hypot(y - cy, x - cx)
                image += (500 * rng.uniform(0.5, 2, (3, 1, 1))) / (1 + np.exp(2 * (away - r)))
            image[0, 40:43, 50:53] = 4000
            path = folder / f"{group}_{site}.tif"
            tifffile.imwrite(path, image.astype(np.uint16), photometric="minisblack")
    return folder


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("matrix") / "spill.csv"
    path.write_text("from,GFP,PE\nGFP,1,0.2\nPE,0.05,1\n")
    return path


def do(fields: Path, matrix: Path, out: Path, extra: str = "") -> Path:
    config = out.with_suffix(".yml")
    config.write_text(FIELDS.replace("MATRIX", str(matrix)) + extra)
    assert run(Alone(), Request(config, [str(fields)], out, quiet=True)) == 0
    return out


@pytest.mark.parametrize("segmenters", [0, 1])
@pytest.mark.parametrize("size", [2, 4])
def test_any_number_of_ranks_gives_the_same_table(
    size: int, segmenters: int, fields: Path, matrix: Path, tmp_path: Path
) -> None:
    alone = do(fields, matrix, tmp_path / "alone", NORMALIZED + FILTER)
    extra = f"resources: {{segmenters: {segmenters}, chunk_size: 1, memory: 1000}}\n"
    config = tmp_path / "scip.yml"
    config.write_text(FIELDS.replace("MATRIX", str(matrix)) + NORMALIZED + FILTER + extra)
    request = Request(config, [str(fields)], tmp_path / "out", quiet=True)
    assert run_threads(size, lambda world: run(world, request)) == [0] * size
    assert digest(tmp_path / "out") == digest(alone)
    same = [(o / "channel_boundaries.csv").read_bytes() for o in (alone, tmp_path / "out")]
    assert same[0] == same[1]
    pictures = [sorted((o / "labels").iterdir()) for o in (alone, tmp_path / "out")]
    assert [p.name for p in pictures[0]] == [p.name for p in pictures[1]]
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*pictures, strict=True))


def test_the_numbers_are_what_the_stages_say(fields: Path, matrix: Path, tmp_path: Path) -> None:
    out = do(fields, matrix, tmp_path / "out")
    table = anndata.read_h5ad(out / "features.h5ad")
    frame = table.to_df()
    assert set(table.obs.group) == {"a", "b"}
    assert set(table.obs.site) == {"0", "1", "2"}
    spill = np.array([[1, 0, 0], [0, 1, 0.2], [0, 0.05, 1]])
    checked = 0
    for k, picture in enumerate(sorted((out / "labels").iterdir())):
        raw = tifffile.imread(sorted(fields.iterdir())[k])
        flat = raw.reshape(3, -1) - np.array([[10.0], [0.0], [5.0]])
        image = np.linalg.solve(spill.T, flat).reshape(raw.shape)
        labels = tifffile.imread(picture)
        mine = table.obs.image == f"{'ab'[k // 3]}_{k % 3}.tif"
        assert sorted(table.obs.object[mine]) == sorted(set(np.unique(labels[0])) - {0})
        # Of objects with a nucleus, which all have; rows are in the order of their labels.
        known = [f"feat_neighbors_{name}_9" for name in NEIGHBORS]
        around = twin(labels[0].astype(np.int32), 9)
        np.testing.assert_allclose(frame.loc[mine, known], around, rtol=1e-5, atol=1e-4)
        for name in frame.index[mine]:
            number = table.obs.object[name]
            nucleus, cell, ring = (labels[c] == number for c in range(3))
            assert not (nucleus & ring).any()
            row = frame.loc[name]
            for channel, mask in (("DNA", nucleus), ("GFP", cell), ("PE", ring)):
                if not mask.any():
                    assert row[f"feat_mean_{channel}"] == 0
                    continue
                pixels = image[("DNA", "GFP", "PE").index(channel)]
                # Crops end at the nucleus's box.
                r0, c0, r1, c1 = table.obs.loc[name, [f"bbox_{s}" for s in SIDES]]
                inside = mask[r0:r1, c0:c1]
                assert row[f"feat_mean_{channel}"] == pytest.approx(
                    pixels[r0:r1, c0:c1][inside].mean(), rel=1e-5
                )
                gap = row[f"feat_mean_{channel}"] - row[f"feat_bgcorr_mean_{channel}"]
                if channel == "PE":
                    assert gap == pytest.approx(7, rel=1e-4)
                if channel == "GFP":
                    median = np.median(pixels[labels[0] == 0])
                    assert gap == pytest.approx(median, rel=1e-3)
            saturated = (raw[0] >= 3000)[nucleus].mean()
            assert table.obs.gate_saturated_DNA[name] == pytest.approx(saturated)
            assert table.obs.regions_DNA[name] == label(nucleus, connectivity=2).max()
            checked += 1
    assert checked == len(frame) > 30


SIDES = ("minr", "minc", "maxr", "maxc")


def test_neighbours_are_refused_where_no_field_is_segmented() -> None:
    text = "load: {format: multiframe_tiff}\nfeature_extraction: [shape, neighbors]\n"
    config = parse_config(text, "scip.yml")
    plan = plan_columns(config.words(), [""], ["DNA"], lambda n: registry.find("features", n))
    with pytest.raises(UserError, match="neighbors tells of an object among the others"):
        check_fields(config, plan)
    fields = text + "segment: {method: watershed, settings: {parent_channel_index: 0}}\n"
    check_fields(parse_config(fields, "scip.yml"), plan)
    tiles = text + "segment: {method: threshold, tiles: {size: 512}}\n"
    with pytest.raises(UserError, match="no rank sees in tiles"):
        check_fields(parse_config(tiles, "scip.yml"), plan)


def test_normalized_means_are_means_scaled(fields: Path, matrix: Path, tmp_path: Path) -> None:
    plain = anndata.read_h5ad(do(fields, matrix, tmp_path / "plain") / "features.h5ad")
    out = do(fields, matrix, tmp_path / "scaled", NORMALIZED)
    scaled = anndata.read_h5ad(out / "features.h5ad")
    bounds = pd.read_csv(out / "channel_boundaries.csv", index_col="group")
    assert list(bounds.index) == ["a", "b"]
    low = bounds.loc[plain.obs.group.astype(str), "DNA_min"].to_numpy()
    high = bounds.loc[plain.obs.group.astype(str), "DNA_max"].to_numpy()
    before, after = plain.to_df(), scaled.to_df()
    want = (before.feat_mean_DNA - low) / (high - low)
    np.testing.assert_allclose(after.feat_mean_DNA, want, rtol=1e-4, atol=1e-5)
    # So is the background.
    want = before.feat_bgcorr_mean_DNA / (high - low)
    np.testing.assert_allclose(after.feat_bgcorr_mean_DNA, want, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(after.feat_area_DNA, before.feat_area_DNA)
    assert not np.allclose(bounds.DNA_min["a"], bounds.DNA_min["b"])


def test_flagged_cells_say_which_rules_they_broke(
    fields: Path, matrix: Path, tmp_path: Path
) -> None:
    out = do(fields, matrix, tmp_path / "out", FILTER)
    table = anndata.read_h5ad(out / "features.h5ad")
    gone = pd.read_parquet(out / "discarded.parquet")
    obs = table.obs
    assert 0 < obs.discarded.sum() == len(gone) < len(obs)
    small = obs.filter_area_DNA < 90
    lowest = pd.Series(False, index=obs.index)
    for _, cells in obs.groupby("group", observed=True):
        limit = np.quantile(cells.filter_mean_DNA, 0.3)
        lowest[cells.index] = cells.filter_mean_DNA < limit
    focus = obs.filter_focus_GFP
    distance = (focus - focus.median()).abs()
    odd = distance > 0.7 * distance.median()
    np.testing.assert_array_equal(obs.discarded, small | (lowest & odd))
    reasons = gone.reason.str.split("; ")
    assert {r for each in reasons for r in each} <= {
        "range of area_DNA", "quantile of mean_DNA", "mad of focus_GFP"
    }  # fmt: skip
    assert gone.area_DNA.tolist() == obs.filter_area_DNA[obs.discarded].tolist()
