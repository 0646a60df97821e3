"""Bad input on several ranks: a clear message, the right exit code, no hang, no lost cell."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from cells import CONFIG, copy_cells, jurkat_files, write_config
from launch import RANKS, scip
from tables import obs_names, read_x

pytestmark = pytest.mark.mpi
GOOD = 12


@pytest.fixture
def cells(shared_dir: Path, tmp_path: Path) -> Path:
    return copy_cells(jurkat_files(shared_dir, GOOD), tmp_path / "cells")


def run(
    config: Path, *arguments: str | Path, ranks: int = RANKS
) -> subprocess.CompletedProcess[str]:
    done = scip("run", config, *arguments, ranks=ranks)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def failures(out: Path) -> list[dict[str, str]]:
    with (out / "failures.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def write_tiff(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, image, photometric="minisblack")


def cell(channels: int = 3, dtype: str = "uint16") -> np.ndarray:
    rows, columns = np.mgrid[:40, :40] - 20
    disc = 1000 * np.exp(-(rows**2 + columns**2) / 60)
    noise = np.random.default_rng(0).random((channels, 40, 40)) * 50
    return (disc + noise).astype(dtype)


def truncated(path: Path) -> None:
    write_tiff(path, cell())
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def nan(path: Path) -> None:
    image = cell(dtype="float32")
    image[1, 5, 5] = np.nan
    write_tiff(path, image)


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        ("truncated", truncated, "truncated"),
        ("empty", lambda p: p.write_bytes(b""), "empty"),
        ("text", lambda p: p.write_text("this is no image\n"), "not a TIFF"),
        ("two channels", lambda p: write_tiff(p, cell(2)), "has 2 channels, the first image has 3"),
    ],
)
def test_a_bad_image_costs_that_image_only(
    name: str, spoil: Callable[[Path], None], message: str, cells: Path, tmp_path: Path
) -> None:
    bad = cells / "zz" / "bad.tif"
    bad.parent.mkdir()
    spoil(bad)
    out = tmp_path / "out"
    config = write_config(tmp_path / "scip.yml", "resources: {chunk_size: 2}\n")
    done = run(config, cells, "-o", out)
    assert done.returncode == 0, done.stderr
    rows = failures(out)
    assert [r["image"] for r in rows] == ["zz/bad.tif"]
    assert rows[0]["error"]
    assert message in rows[0]["error"]
    assert len(obs_names(out)) == GOOD
    strict = run(config, cells, "-o", tmp_path / "strict", "--strict")
    assert strict.returncode == 3, strict.stderr
    assert len(obs_names(tmp_path / "strict")) == GOOD


@pytest.mark.parametrize("name", ["0_first", "zz_last"])
def test_the_first_image_may_be_the_bad_one(name: str, cells: Path, tmp_path: Path) -> None:
    bad = cells / name / "bad.tif"
    bad.parent.mkdir()
    bad.write_bytes(b"II*\0")
    out = tmp_path / "out"
    done = run(write_config(tmp_path / "scip.yml"), cells, "-o", out)
    assert done.returncode == 0, done.stderr
    assert len(failures(out)) == 1
    assert len(obs_names(out)) == GOOD


def test_nan_pixels_fail_the_image(tmp_path: Path) -> None:
    folder = tmp_path / "cells" / "a"
    folder.mkdir(parents=True)
    for i in range(3):
        write_tiff(folder / f"good{i}.tif", cell(dtype="float32"))
    nan(folder / "nan.tif")
    out = tmp_path / "out"
    done = run(write_config(tmp_path / "scip.yml"), tmp_path / "cells", "-o", out)
    assert done.returncode == 0, done.stderr
    assert [r["image"] for r in failures(out)] == ["a/nan.tif"]
    assert "NaN" in failures(out)[0]["error"]
    assert len(obs_names(out)) == 3


def test_blank_and_saturated_images_are_rows(cells: Path, tmp_path: Path) -> None:
    write_tiff(cells / "flat" / "zero.tif", np.zeros((3, 40, 40), np.uint16))
    write_tiff(cells / "flat" / "full.tif", np.full((3, 40, 40), 65535, np.uint16))
    out = tmp_path / "out"
    done = run(write_config(tmp_path / "scip.yml"), cells, "-o", out)
    assert done.returncode == 0, done.stderr
    assert failures(out) == []
    assert len(obs_names(out)) == GOOD + 2
    images = pd.read_parquet(out / "images.parquet").set_index("image")
    assert images.loc["flat/full.tif", "saturated_PI"] == 1
    assert images.loc["flat/zero.tif", "saturated_PI"] == 0
    # The whole image is measured even where no mask was found: raw, the last 33 columns.
    assert np.isfinite(read_x(out)[:, -33:-6]).any(axis=1).all()


def test_no_mask_anywhere_is_no_failure(tmp_path: Path) -> None:
    for i in range(5):
        write_tiff(tmp_path / "cells" / f"{i}.tif", np.zeros((3, 30, 30), np.uint16)) if i else (
            tmp_path / "cells"
        ).mkdir()
    out = tmp_path / "out"
    done = run(write_config(tmp_path / "scip.yml"), tmp_path / "cells", "-o", out)
    assert done.returncode == 0, done.stderr
    assert len(obs_names(out)) == 4
    assert np.isnan(read_x(out)[:, :100]).all()


def test_all_images_bad_is_a_failure_of_the_job(tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    folder.mkdir()
    for i in range(6):
        (folder / f"{i}.tif").write_bytes(b"nothing")
    out = tmp_path / "out"
    done = run(write_config(tmp_path / "scip.yml"), folder, "-o", out)
    assert done.returncode == 1
    assert len(failures(out)) == 6
    assert not (out / "features.h5ad").exists()
    assert "6" in done.stderr


def test_abort_on_the_first_bad_image_if_asked(cells: Path, tmp_path: Path) -> None:
    (cells / "bad.tif").write_bytes(b"nothing")
    out = tmp_path / "out"
    done = run(write_config(tmp_path / "scip.yml", "on_error: abort\n"), cells, "-o", out)
    assert done.returncode == 1
    assert "bad.tif" in done.stderr
    assert not (out / "features.h5ad").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], ["nowhere"]),
        (["empty"], ["empty"]),
        (["unmatched"], ["match"]),
        (["cells", "cells"], ["cells"]),
        ([], ["PATH"]),
    ],
)
def test_what_paths_may_lack(
    arguments: list[str], words: list[str], cells: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "unmatched").mkdir()
    (tmp_path / "unmatched" / "notes.txt").write_text("hello")
    out = tmp_path / "out"
    paths = [tmp_path / a for a in arguments]
    done = run(write_config(tmp_path / "scip.yml"), *paths, "-o", out)
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word in done.stderr
    assert not out.exists()
    assert done.stderr.count("scip_mpi:") == 1  # said once, not by every rank


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("combined_indices", "combined_indexes", ["combined_indexes", "combined_indices", ":6"]),
        ("channels: [0, 1, 2]", "channels: zero", ["load.channels"]),
        ("method: otsu", "method: otzu", ["otzu", "otsu", "mask.methods[1].method"]),
        ("channels: [0, 1, 2]", "channels: [0, 1, 7]", ["7"]),
        ("[BF, PI, SSC]", "[BF, PI]", ["load.channel_names"]),
        ("{smooth: [1, 0.5, 1]}", "{smoth: [1, 0.5, 1]}", ["smoth", "smooth"]),
        ("load:", "load: [", ["scip.yml"]),
        ("li: [shape,", "li: [shapes,", ["shapes", "shape", "feature_extraction.li"]),
    ],
)
def test_what_a_config_may_get_wrong(
    old: str, new: str, words: list[str], cells: Path, tmp_path: Path
) -> None:
    config = write_config(tmp_path / "scip.yml", text=CONFIG.replace(old, new, 1))
    out = tmp_path / "out"
    done = run(config, cells, "-o", out)
    assert done.returncode == 2, done.stderr
    for word in words:
        assert word in done.stderr
    assert not out.exists()


def test_out_that_cannot_be_written(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml")
    (tmp_path / "file").write_text("I am no folder")
    for out in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        done = run(config, cells, "-o", out)
        assert done.returncode == 2, done.stderr
        assert str(out) in done.stderr
    assert (tmp_path / "file").read_text() == "I am no folder"


def test_a_finished_out_is_refused_unless_overwritten(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml")
    out = tmp_path / "out"
    assert run(config, cells, "-o", out).returncode == 0
    (out / "my_notes.txt").write_text("keep me")
    before = (out / "features.h5ad").read_bytes()
    again = run(config, cells, "-o", out)
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
    assert (out / "features.h5ad").read_bytes() == before
    shutil.rmtree(cells / "G1")
    assert run(config, cells, "-o", out, "--overwrite").returncode == 0
    assert len(obs_names(out)) < GOOD
    assert (out / "my_notes.txt").read_text() == "keep me"


def test_an_out_in_use_is_refused(cells: Path, tmp_path: Path) -> None:
    import fcntl

    config = write_config(tmp_path / "scip.yml")
    out = tmp_path / "out"
    lock = out / ".scip_mpi" / "lock"
    lock.parent.mkdir(parents=True)
    handle = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.lockf(handle, fcntl.LOCK_EX)
    for extra in ([], ["--overwrite"]):
        done = run(config, cells, "-o", out, *extra)
        assert done.returncode == 2
        assert "in use" in done.stderr
    os.close(handle)


def test_bad_usage_is_said_once() -> None:
    done = scip("run", "--no-such-option", ranks=RANKS)
    assert done.returncode == 2
    assert done.stderr.count("No such option") == 1
