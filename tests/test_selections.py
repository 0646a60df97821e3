"""Selections in a config: what is accepted, what is wrong, and whole runs with them."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pytest
from cells import CONFIG, copy_cells, jurkat_files, write_config
from tables import column_names, digest, read_x

from scip_mpi.config import ConfigError, json_schema, parse_config
from scip_mpi.config.reading import resolve_channels
from scip_mpi.errors import UserError
from scip_mpi.job import Request
from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.parallel.world import Alone
from scip_mpi.registry import BUILT_IN, PRESETS
from scip_mpi.run import run

HEAD = CONFIG.partition("feature_extraction:")[0]
SELECTED = """\
feature_extraction:
  li:
    - compact
    - intensity: {views: [own, bgcorr], stats: [mean, sum]}
    - shape: {component: mean, properties: [area, moments_hu], masks: [own], channels: [PI, 2]}
      texture: {distances: [5], statistics: [std], properties: [ASM], sobel: []}
    - raw: {stats: [mad]}
    - regions
  otsu: [{intensity: {stats: [mad]}}, {compact: {channels: [PI]}}]
"""


def config_of(item: str) -> str:
    return f"{HEAD}feature_extraction:\n  li: [shape, {item}]\n  otsu: [shape]\n"


@pytest.mark.parametrize(
    ("item", "key", "words"),
    [
        ("{intensity: {views: [onw]}}", "intensity.views[0]", "did you mean 'own'?"),
        ("{intensity: {stats: [mean, medain]}}", "intensity.stats[1]", "did you mean 'median'?"),
        ("{intensity: {view: [own]}}", "intensity.view", "did you mean 'views'?"),
        ("{intensity: {stats: []}}", "intensity", "empty list selects nothing"),
        ("{intensity: {stats: mean}}", "intensity.stats", "expected a list"),
        ("{intensity: own}", "intensity", "expected a mapping"),
        ("{shape: {properties: [perimetr]}}", "shape.properties[0]", "did you mean 'perimeter'?"),
        ("{shape: {component: big}}", "shape.component", "'mean' or 'largest'"),
        ("{texture: {distances: [4]}}", "texture.distances[0]", "expected 3 or 5, found 4"),
        ("{texture: {properties: [], sobel: []}}", "texture", "selects nothing"),
        ("{raw: {channels: [PJ]}}", "raw.channels[0]", "no channel is called 'PJ'"),
        ("{raw: {channels: [3]}}", "raw.channels[0]", "no channel 3"),
        (
            "{colocalization: {pairs: [[BF, SSD]]}}",
            "colocalization.pairs[0][1]",
            "did you mean 'SSC'?",
        ),
        ("{colocalization: {pairs: [[BF, PI, 2]]}}", "colocalization", "each is two channels"),
        ("{zernike: {mask: mine}}", "zernike.mask", "'combined' or 'own'"),
        ("{radial: {bins: 0}}", "radial", "bins: from 1 to 100"),
        ("{compact: {channels: [SSD]}}", "compact.channels[0]", "did you mean 'SSC'?"),
        ("{compact: {views: [own]}}", "compact.views", "unknown key"),
        ("{regions: {}}", "regions", "takes no settings"),
        ("{textur: {}}", "textur", "did you mean 'texture'?"),
        ("compakt", "", "did you mean 'compact'?"),
        ("{}", "", "must not be empty"),
        ("3", "", "found 3"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(item: str, key: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_config(config_of(item), "scip.yml")
    where = f"feature_extraction.li[1]{f'.{key}' if key else ''}"
    found = [p for p in raised.value.problems if p.key_path == where]
    assert found, raised.value.problems
    assert words in found[0].message
    assert found[0].line == HEAD.count("\n") + 2


def test_channels_are_checked_again_when_the_images_are_known() -> None:
    text = "load: {format: multiframe_tiff}\nfeature_extraction: [{raw: {channels: [CH2, 5]}}]\n"
    config = parse_config(text, "scip.yml")
    assert resolve_channels(config, 6)[0] == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UserError, match=r"raw\.channels\[1\]: no channel 5"):
        resolve_channels(config, 3)


def test_the_fingerprint_and_the_schema_cover_selections() -> None:
    config = parse_config(HEAD + SELECTED, "scip.yml")
    told = json.loads(json.dumps(config.normalised(), allow_nan=False))
    assert told["feature_extraction"]["li"][1] == {
        "intensity": {"views": ["own", "bgcorr"], "stats": ["mean", "sum"]}
    }
    other = parse_config(HEAD + SELECTED.replace("[mean, sum]", "[sum]"), "scip.yml")
    assert other.normalised() != config.normalised()
    items = json_schema()["properties"]["feature_extraction"]["anyOf"][0]
    branches = items["additionalProperties"]["items"]["anyOf"]
    (selections,) = [b for b in branches if b["type"] == "object"]
    assert selections["minProperties"] == 1
    # A family that somebody installed takes what it takes.
    assert selections["additionalProperties"] == {"type": ["object", "null"]}
    known = {n: s["anyOf"][0] for n, s in selections["properties"].items()}
    assert set(known) == {*BUILT_IN["features"], *PRESETS}
    assert not any(s["additionalProperties"] for s in known.values())
    assert set(known["raw"]["properties"]) == {"stats", "channels"}
    words = known["intensity"]["properties"]["views"]["anyOf"][0]["items"]["enum"]
    assert words == ["own", "bgcorr", "edge", "bgcorr_edge"] + [
        f"combined{w}" for w in ("", "_bgcorr", "_edge", "_bgcorr_edge")
    ]


def table(folder: Path, cells: Path, text: str, name: str) -> Path:
    config = write_config(folder / f"{name}.yml", text=HEAD + text)
    assert run(Alone(), Request(config, [str(cells)], folder / name, quiet=True)) == 0
    return folder / name


def test_a_run_with_selections_is_part_of_the_full_table(shared_dir: Path, tmp_path: Path) -> None:
    cells = copy_cells(jurkat_files(shared_dir, 14), tmp_path / "cells")
    everything = "feature_extraction:\n" + "".join(
        f"  {s}: [shape, intensity, texture]\n" for s in ("li", "otsu")
    )
    full = table(tmp_path, cells, everything, "full")
    some = table(tmp_path, cells, SELECTED, "some")
    names, all_names = column_names(some), column_names(full)
    assert len(set(names)) == len(names)
    shared = [n for n in names if "largest" not in n]
    assert [n for n in all_names if n in shared] == shared
    X, whole = read_x(some), read_x(full)
    for n in shared:
        assert X[:, names.index(n)].tobytes() == whole[:, all_names.index(n)].tobytes(), n
    assert {"feat_li_bgcorr_mean_SSC", "feat_li_glcm_std_ASM_5_BF", "feat_raw_mad_PI"} <= set(names)
    assert {"feat_li_area_PI", "feat_li_moments_hu-6_SSC"} <= set(names)
    assert "feat_li_area_BF" not in names
    assert "feat_otsu_largest_area_PI" in names
    assert "feat_otsu_largest_area_BF" not in names
    var = anndata.read_h5ad(some / "features.h5ad").var
    raw = var[var["mask_set"] == "raw"]
    assert raw["feature"].tolist() == ["mad_BF", "mad_PI", "mad_SSC"]
    largest = var.loc["feat_otsu_largest_area_PI"]
    assert (largest["family"], largest["channel"], largest["unit"]) == ("shape", "PI", "pixel^2")
    # The largest component is not below the mean; rows of cells without a mask stay empty in both.
    of_largest = X[:, names.index("feat_li_largest_area_combined")]
    mean = whole[:, all_names.index("feat_li_area_combined")]
    assert (np.isnan(of_largest) == np.isnan(mean)).all()
    assert (of_largest >= mean)[np.isfinite(mean)].all()


def test_ranks_agree_on_selections(shared_dir: Path, tmp_path: Path) -> None:
    cells = copy_cells(jurkat_files(shared_dir, 12), tmp_path / "cells")
    alone = table(tmp_path, cells, SELECTED, "alone")
    config = write_config(tmp_path / "scip.yml", "resources: {chunk_size: 2}\n", HEAD + SELECTED)
    request = Request(config, [str(cells)], tmp_path / "out", quiet=True)
    assert run_threads(3, lambda world: run(world, request)) == [0, 0, 0]
    assert digest(tmp_path / "out") == digest(alone)
