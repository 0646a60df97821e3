"""Tables of several runs in one: every row as it was, in the order given, known by its source."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from cells import CONFIG, copy_cells, jurkat_files, write_config
from launch import launch, scip
from tables import digest

from scip_mpi import merge as merging
from scip_mpi.errors import FAILED, UserError
from scip_mpi.job import Request
from scip_mpi.merge import merge
from scip_mpi.parallel.world import Alone
from scip_mpi.results import joining, parquet
from scip_mpi.run import run

PLATES = ("plate1", "plate2", "plate3")


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three plates: many cells, a few of which one is no image, and one."""
    folder = tmp_path_factory.mktemp("cells")
    files = jurkat_files(shared_dir, 140)
    for plate, chosen in zip(PLATES, (files[::2], files[1:20:2], files[21:22]), strict=True):
        copy_cells(chosen, folder / plate)
    (folder / "plate2" / "G1" / "broken.tif").write_text("no image")
    return folder


def make(cells: Path, folder: Path, name: str, extra: str = "", text: str = CONFIG) -> Path:
    config = write_config(folder / f"{name}.yml", extra, text)
    assert run(Alone(), Request(config, [str(cells / name)], folder / name, quiet=True)) == 0
    return folder / name


@pytest.fixture(scope="module")
def outs(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("outs")
    return [make(cells, folder, plate) for plate in PLATES]


def test_the_rows_are_those_of_the_runs(outs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "all"
    done = scip("merge", *outs, "-o", out)
    assert done.returncode == 0, done.stderr
    assert "81 cells of 3 runs" in done.stderr
    joined = anndata.read_h5ad(out / "features.h5ad")
    tables = [anndata.read_h5ad(path / "features.h5ad") for path in outs]
    for k, table in enumerate(tables):
        table.obs_names = [f"{k}_{name}" for name in table.obs_names]
    wanted = anndata.concat(tables, label="source", keys=[str(p) for p in outs])
    assert np.array_equal(joined.X, wanted.X, equal_nan=True)
    assert joined.var_names.equals(wanted.var_names)
    assert joined.obs_names.tolist() == wanted.obs_names.tolist()
    assert joined.obs_names.is_unique
    assert list(joined.obs.columns) == [*tables[0].obs.columns, "source"]
    for column in joined.obs:
        mine, theirs = (t.obs[column].reset_index(drop=True) for t in (joined, wanted))
        if isinstance(mine.dtype, pd.CategoricalDtype):
            mine, theirs = mine.astype(object), theirs.astype(object)
        pd.testing.assert_series_equal(mine, theirs)
    assert np.array_equal(joined.obsm["spatial"], wanted.obsm["spatial"])
    assert joined.var["n_nan"].tolist() == np.isnan(wanted.X).sum(axis=0).tolist()
    low, high = np.nanmin(wanted.X, axis=0), np.nanmax(wanted.X, axis=0)
    assert joined.var["constant"].tolist() == (low == high).tolist()
    assert joined.var["definition"].tolist() == tables[0].var["definition"].tolist()


def test_what_stands_beside_the_table_is_joined_too(outs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "all"
    assert merge(outs, out, quiet=True) == 0
    for name in ("images.parquet", "discarded.parquet"):
        own = [pd.read_parquet(path / name).assign(source=str(path)) for path in outs]
        wanted = pd.concat(own, ignore_index=True)
        pd.testing.assert_frame_equal(pd.read_parquet(out / name)[wanted.columns], wanted)
    failures = pd.read_csv(out / "failures.csv")
    assert failures["image"].tolist() == ["G1/broken.tif"]
    assert failures["source"].tolist() == [str(outs[1])]
    rows = pd.read_parquet(out / "features.parquet")
    table = anndata.read_h5ad(out / "features.h5ad")
    assert rows["obs_name"].tolist() == table.obs_names.tolist()
    assert rows["meta_source"].tolist() == table.obs["source"].tolist()
    assert np.array_equal(rows[list(table.var_names)], table.X, equal_nan=True)
    own = pd.read_parquet(outs[0] / "features.parquet")
    assert [c for c in rows if c != "meta_source"] == list(own)
    told = json.loads((out / "run.json").read_text())
    assert told["rows"] == 81
    assert told["images"] == 82
    assert told["failed_images"] == 1
    assert [part["source"] for part in told["merged"]] == [str(path) for path in outs]
    prints = [json.loads((path / "run.json").read_text())["fingerprint"] for path in outs]
    assert [part["fingerprint"] for part in told["merged"]] == prints
    assert not (out / ".scip_mpi").exists()
    assert not list(out.glob("*.partial"))


def test_blocks_of_rows_change_nothing(
    outs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert merge(outs, tmp_path / "large", quiet=True) == 0
    monkeypatch.setattr(joining, "BLOCK_VALUES", 3000)
    monkeypatch.setattr(joining, "BLOCK_ROWS", 7)
    monkeypatch.setattr(parquet, "BLOCK", 7)
    assert merge(outs, tmp_path / "small", quiet=True) == 0
    assert digest(tmp_path / "small") == digest(tmp_path / "large")


def test_one_job_on_all_images_has_the_same_rows(
    cells: Path, outs: list[Path], tmp_path: Path
) -> None:
    assert merge(outs, tmp_path / "all", quiet=True) == 0
    config = write_config(tmp_path / "scip.yml")
    paths = [str(cells / plate) for plate in PLATES]
    assert run(Alone(), Request(config, paths, tmp_path / "one", quiet=True)) == 0
    joined, one = (anndata.read_h5ad(tmp_path / n / "features.h5ad") for n in ("all", "one"))
    assert np.array_equal(joined.X, one.X, equal_nan=True)


def test_a_run_without_cells_adds_none(cells: Path, outs: list[Path], tmp_path: Path) -> None:
    extra = "filter: {name: range, statistic: sum, channel: PI, lower: %s}\n"
    empty = make(cells, tmp_path, "plate2", extra % "1.e+30")
    full = make(cells, tmp_path, "plate3", extra % "0")
    out = tmp_path / "all"
    assert merge([empty, full], out, quiet=True) == 0
    table = anndata.read_h5ad(out / "features.h5ad")
    assert table.obs["source"].tolist() == [str(full)]
    assert len(pd.read_parquet(out / "discarded.parquet")) == 10
    assert json.loads((out / "run.json").read_text())["notes"] == [
        "the configs of the runs differ, though their columns do not"
    ]


@pytest.mark.parametrize(
    ("extra", "word"),
    [
        ("filter: {name: quantile, statistic: sum, channel: PI, lower: 0.2}\n", "filtered"),
        (
            "filter:\n  all:\n"
            "    - {name: range, statistic: area, lower: 0}\n"
            "    - {name: mad, statistic: sum, channel: PI, n_mads: 3}\n",
            "filtered",
        ),
        ("normalization: {lower: 0.01, upper: 0.99}\n", "normalized"),
    ],
)
def test_what_was_decided_by_the_cells_of_a_run_is_told(
    extra: str, word: str, cells: Path, tmp_path: Path
) -> None:
    parts = [make(cells, tmp_path, plate, extra) for plate in PLATES[:2]]
    done = scip("merge", *parts, "-o", tmp_path / "all")
    assert done.returncode == 0
    assert f"each run was {word} by its own cells" in done.stderr
    assert "run one job on all the images" in done.stderr
    if word == "normalized":
        own = [pd.read_csv(p / "channel_boundaries.csv").assign(source=str(p)) for p in parts]
        joined = pd.read_csv(tmp_path / "all" / "channel_boundaries.csv")
        pd.testing.assert_frame_equal(joined, pd.concat(own, ignore_index=True))


def test_other_columns_are_refused_by_name(cells: Path, outs: list[Path], tmp_path: Path) -> None:
    text = CONFIG.replace("otsu: [shape, intensity,", "otsu: [intensity,")
    fewer = make(cells, tmp_path, "plate2", text=text)
    first = anndata.read_h5ad(outs[0] / "features.h5ad").var_names
    other = anndata.read_h5ad(fewer / "features.h5ad").var_names
    k = next(k for k, (a, b) in enumerate(zip(first, other, strict=False)) if a != b)
    done = scip("merge", outs[0], fewer, "-o", tmp_path / "all")
    assert done.returncode == 2
    assert f"column {k} of X is {first[k]} there and {other[k]} here" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "all").exists()


def test_other_metadata_and_units_are_refused_by_name(
    cells: Path, outs: list[Path], tmp_path: Path
) -> None:
    named = CONFIG.replace("load:\n", "load:\n  kwargs: {regex: '(?P<batch>[^/]*)/[^/]*$'}\n")
    (tmp_path / "named").mkdir()
    with pytest.raises(UserError, match=r"column 2 of obs is object .* there and batch .* here"):
        merge([outs[0], make(cells, tmp_path / "named", "plate2", text=named)], tmp_path / "all")
    other = shutil.copytree(outs[1], tmp_path / "microns")
    with h5py.File(other / "features.h5ad", "r+") as table:
        table["var/unit/categories"][0] = "um"
    with pytest.raises(UserError, match=r"the unit of column .* there and 'um' here"):
        merge([outs[0], other], tmp_path / "all")


def test_other_channels_are_refused_by_name(cells: Path, outs: list[Path], tmp_path: Path) -> None:
    other = make(cells, tmp_path, "plate2", text=CONFIG.replace("PI", "DNA"))
    with pytest.raises(UserError, match=r"other channels .*: BF, DNA, SSC; not BF, PI, SSC"):
        merge([outs[0], other], tmp_path / "all")


def test_what_is_no_finished_run_is_refused(outs: list[Path], tmp_path: Path) -> None:
    def refused(out: Path, match: str) -> None:
        with pytest.raises(UserError, match=match):
            merge([outs[0], out], tmp_path / "all")
        assert not (tmp_path / "all").exists()

    refused(tmp_path / "nowhere", "is not there")
    (tmp_path / "bare").mkdir()
    refused(tmp_path / "bare", "no table of a run")
    (tmp_path / "bare" / "failures.csv").write_text("image,stage,error\n")
    refused(tmp_path / "bare", "if all its images failed")
    for name in ("features.h5ad.partial", ".scip_mpi"):
        begun = shutil.copytree(outs[1], tmp_path / f"with{name}")
        (begun / name).mkdir()
        refused(begun, "unfinished run")
    cut = shutil.copytree(outs[1], tmp_path / "cut")
    (cut / "features.h5ad").write_bytes((outs[1] / "features.h5ad").read_bytes()[:5000])
    refused(cut, "cannot be read as HDF5")
    untold = shutil.copytree(outs[1], tmp_path / "untold")
    (untold / "run.json").write_text("{}")
    refused(untold, "no run.json of a finished run")


def test_the_same_run_twice_and_merges_of_merges_are_refused(
    outs: list[Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(outs[0], tmp_path / "copy")
    with pytest.raises(UserError, match="there twice"):
        merge([outs[0], copy], tmp_path / "all")
    assert merge(outs[:2], tmp_path / "two", quiet=True) == 0
    with pytest.raises(UserError, match="if it is a merge itself, give the runs that it joined"):
        merge([tmp_path / "two", outs[2]], tmp_path / "all")


def test_an_out_that_exists_needs_overwrite(outs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "all"
    assert merge(outs[:2], out, quiet=True) == 0
    done = scip("merge", *outs, "-o", out)
    assert done.returncode == 2
    assert "--overwrite" in done.stderr
    assert merge(outs, out, overwrite=True, quiet=True) == 0
    assert anndata.read_h5ad(out / "features.h5ad").n_obs == 81
    before = digest(outs[0])
    with pytest.raises(UserError, match="one of the runs to join"):
        merge(outs, outs[0], overwrite=True)
    assert digest(outs[0]) == before


def test_a_failure_on_the_way_leaves_nothing_and_says_why(
    outs: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(merging.parquet, "export", full)
        assert merge(outs, tmp_path / "all", quiet=True) == FAILED
    assert "No space left on device" in capfd.readouterr().err
    assert list((tmp_path / "all").iterdir()) == []
    assert merge(outs, tmp_path / "all", quiet=True) == 0


def test_several_processes_do_not_merge_at_once(outs: list[Path], tmp_path: Path) -> None:
    environ = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_ID": "0", "SLURM_PROCID": "0"}
    arguments = ["-m", "scip_mpi", "merge", *outs, "-o", tmp_path / "all"]
    done = launch(arguments, environ=environ)
    assert done.returncode == 2
    assert "one process" in done.stderr
    assert not (tmp_path / "all").exists()
