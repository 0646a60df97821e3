"""Whole jobs in one process: alone, and with ranks that are threads."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from cells import copy_cells, jurkat_files, write_config
from tables import column_names, digest, obs_names, read_x

from scip_mpi.errors import STOPPED, UserError
from scip_mpi.job import Request
from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.parallel.world import Alone
from scip_mpi.run import run
from scip_mpi.signals import StopFlag

FILTER = "filter: {name: mad, statistic: mean, channel: PI, n_mads: 2, by: group, action: %s}\n"


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_cells(jurkat_files(shared_dir, 40), tmp_path_factory.mktemp("cells"))


def do(cells: Path, folder: Path, extra: str = "", name: str = "out", **options: object) -> Path:
    config = write_config(folder / f"{name}.yml", extra)
    request = Request(config, [str(cells)], folder / name, quiet=True, **options)
    assert run(Alone(), request) == 0
    return folder / name


@pytest.mark.parametrize("segmenters", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_threads_give_the_table_of_one_process(
    size: int, segmenters: int, cells: Path, tmp_path: Path
) -> None:
    alone = do(cells, tmp_path, FILTER % "drop", "alone")
    extra = FILTER % "drop" + f"resources: {{segmenters: {segmenters}, chunk_size: 3}}\n"
    config = write_config(tmp_path / "scip.yml", extra)
    request = Request(config, [str(cells)], tmp_path / "out", quiet=True)
    assert run_threads(size, lambda world: run(world, request)) == [0] * size
    assert digest(tmp_path / "out") == digest(alone)


def test_masks_in_scratch_and_pixels_read_again_change_nothing(cells: Path, tmp_path: Path) -> None:
    roomy = do(cells, tmp_path, "", "roomy")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    tight = do(cells, tmp_path, f"resources: {{memory: 1000, scratch: {scratch}}}\n", "tight")
    assert digest(roomy) == digest(tight)
    assert list(scratch.iterdir()) == []


def test_the_table_opens_in_anndata_and_says_what_it_holds(cells: Path, tmp_path: Path) -> None:
    out = do(cells, tmp_path)
    table = anndata.read_h5ad(out / "features.h5ad")
    assert table.shape == (40, len(column_names(out)))
    assert table.X.dtype == np.float32
    assert {"family", "mask_set", "channel", "unit", "definition"} <= set(table.var.columns)
    assert set(table.var["mask_set"]) == {"li", "otsu", "raw"}
    assert {"image", "group", "object", "failed", "li_bbox_minr", "li_regions_PI"} <= set(table.obs)
    assert (table.obs["object"] == 1).all()
    assert not table.obs["failed"].any()
    assert table.obsm["spatial"].shape == (40, 2)
    assert ((table.obsm["spatial"] > 5) & (table.obsm["spatial"] < 35)).mean() > 0.95
    assert "config" in table.uns["scip_mpi"]
    assert not any("bbox" in name or "regions" in name for name in table.var_names)


def test_the_parquet_holds_the_same_values_under_scips_names(cells: Path, tmp_path: Path) -> None:
    out = do(cells, tmp_path)
    rows = pd.read_parquet(out / "features.parquet")
    assert np.array_equal(rows[column_names(out)].to_numpy(), read_x(out), equal_nan=True)
    for name in ("meta_li_bbox_minr", "meta_otsu_regions_SSC", "meta_group"):
        assert name in rows.columns


def test_a_filter_drops_rows_and_lists_them(cells: Path, tmp_path: Path) -> None:
    everything = do(cells, tmp_path, "", "everything")
    dropped = do(cells, tmp_path, FILTER % "drop", "dropped")
    flagged = do(cells, tmp_path, FILTER % "flag", "flagged")
    gone = pd.read_parquet(dropped / "discarded.parquet")
    assert 0 < len(gone) < 40
    assert len(obs_names(dropped)) == 40 - len(gone)
    assert obs_names(flagged) == obs_names(everything)
    marked = anndata.read_h5ad(flagged / "features.h5ad").obs["discarded"]
    kept = [n for n, out in zip(obs_names(flagged), marked, strict=True) if not out]
    assert kept == obs_names(dropped)
    images = pd.read_parquet(dropped / "images.parquet")
    assert images["found"].sum() == 40
    assert images["kept"].sum() == 40 - len(gone)
    # The independent answer, group by group, from the images' own pixels.
    import tifffile

    table = anndata.read_h5ad(everything / "features.h5ad").obs
    mean = np.array([tifffile.imread(cells / i)[1].mean() for i in table["image"]])
    for group in table["group"].unique():
        mine = (table["group"] == group).to_numpy()
        median = np.median(mean[mine])
        mad = np.median(np.abs(mean[mine] - median))
        inside = np.abs(mean[mine] - median) <= 2 * mad
        assert [n in kept for n in table.index[mine]] == inside.tolist()


def test_run_json_tells_who_did_what(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml", "resources: {segmenters: 1}\n")
    request = Request(config, [str(cells)], tmp_path / "out", quiet=True)
    run_threads(3, lambda world: run(world, request))
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert told["exit_code"] == 0
    assert told["images"] == told["rows"] == 40
    assert [r["roles"] for r in told["ranks"]] == [
        "manager + segmenter",
        "featurizer",
        "featurizer",
    ]
    assert told["ranks"][0]["stages"]["segment"]["wall_s"] > 0
    assert told["ranks"][1]["stages"]["features"]["wall_s"] > 0
    assert sum(r["rows"] for r in told["ranks"]) == 40
    assert told["versions"]["numpy"] == np.__version__


def test_nothing_of_ours_is_left_beside_the_results(cells: Path, tmp_path: Path) -> None:
    out = do(cells, tmp_path)
    assert sorted(p.name for p in out.iterdir()) == [
        "discarded.parquet",
        "failures.csv",
        "features.h5ad",
        "features.parquet",
        "images.parquet",
        "run.json",
    ]


def test_without_masks_the_whole_image_is_measured(cells: Path, tmp_path: Path) -> None:
    text = (
        "load: {format: multiframe_tiff, channels: [0, 1], channel_names: [BF, PI]}\n"
        "feature_extraction: [shape, intensity]\n"
    )
    config = write_config(tmp_path / "scip.yml", text=text)
    assert run(Alone(), Request(config, [str(cells)], tmp_path / "out", quiet=True)) == 0
    names = column_names(tmp_path / "out")
    X = read_x(tmp_path / "out")
    assert names[0] == "feat_area_combined"
    assert (X[:, 0] == 1600).all()
    assert np.isfinite(X[:, names.index("feat_mean_PI")]).all()


def test_a_signal_stops_the_run_with_everything_tidy(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml", "resources: {chunk_size: 1}\n")
    request = Request(config, [str(cells)], tmp_path / "out", quiet=True)
    stop = StopFlag()
    stop.listen()
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        assert run(Alone(), request, stop) == STOPPED
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    assert not (tmp_path / "out" / "features.h5ad").exists()
    # The same command again, undisturbed.
    assert run(Alone(), request) == 0


def test_what_the_user_must_mend_is_raised_on_every_rank(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml")
    request = Request(config, [str(tmp_path / "nowhere")], tmp_path / "out", quiet=True)
    told: list[str] = []

    def attempt(world) -> None:
        with pytest.raises(UserError) as raised:
            run(world, request)
        told.append(str(raised.value))

    run_threads(3, attempt)
    assert len(told) == 3
    assert len(set(told)) == 1
    assert threading.active_count() < 50
