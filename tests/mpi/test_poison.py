"""An image that kills its rank ends no job for good, and to be killed makes no image bad."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tifffile
from cells import CONFIG, write_config
from launch import launch
from poison_plugin import CODE
from tables import digest

from scip_mpi.checkpoint.journal import look
from scip_mpi.results.folder import PRIVATE

HERE = Path(__file__).parent
CELLS = 16
BAD = 9
TEXT = (
    CONFIG.replace("format: multiframe_tiff", "format: poison_plugin:LOADER")
    .replace("li: [shape, intensity,", "li: [shape, 'poison_plugin:FAMILY',")
    .replace(" texture,", "")
)


def cell(number: int) -> np.ndarray:
    rows, columns = np.mgrid[:30, :30] - 15
    disc = 1000 * np.exp(-(rows**2 + columns**2) / (30 + number))
    noise = np.random.default_rng(number).random((3, 30, 30)) * 50
    return (disc + noise).astype("uint16")


def make(folder: Path, where: str, name: str) -> None:
    """Cells of which one kills: when it is read, or when its features are computed."""
    (folder / "cells").mkdir(parents=True)
    for i in range(CELLS):
        image, path = cell(i), folder / "cells" / f"r{i:02}.tif"
        if i == BAD and where == "read":
            # Among the others by its name.
            path = folder / "cells" / f"read_{name}.tif"
        elif i == BAD:
            image[0, 0, 0] = CODE + signal.Signals[name]
        tifffile.imwrite(path, image, photometric="minisblack")
    write_config(folder / "scip.yml", "resources: {chunk_size: 4}\n", TEXT)


def start(folder: Path, ranks: int, *options: str) -> subprocess.CompletedProcess[str]:
    environ = {"PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = ["-m", "scip_mpi", "run", folder / "scip.yml", folder / "cells", "-o"]
    return launch([*command, folder / "out", *options], ranks, environ)


def failures(out: Path) -> list[dict[str, str]]:
    with (out / "failures.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.mpi
@pytest.mark.ranks(1, 2, 4)
@pytest.mark.parametrize(
    ("where", "name", "sizes"),
    [
        ("read", "SIGSEGV", (1, 4)),
        ("read", "SIGKILL", (2,)),
        ("features", "SIGSEGV", (2,)),
        ("features", "SIGKILL", (4,)),
    ],
)
def test_the_poison_image_never_ends_a_job(
    where: str, name: str, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    """The same command, with other numbers of ranks, comes to one and the same table."""
    digests = []
    for ranks in sizes:
        folder = tmp_path / str(ranks)
        make(folder, where, name)
        # A crash is known for one; who was killed may have been so by anybody.
        for _ in range(1 if name == "SIGSEGV" else 2):
            assert start(folder, ranks).returncode != 0
        done = start(folder, ranks)
        assert done.returncode == 0, done.stderr
        [failure] = failures(folder / "out")
        assert failure["image"] == (f"read_{name}.tif" if where == "read" else f"r{BAD:02}.tif")
        assert failure["stage"] == ("segment" if where == "read" else "features")
        assert f"fatal: it ends the process that works on it ({name})" in failure["error"]
        assert f"({failure['image']}) is fatal" in done.stderr
        digests.append(digest(folder / "out"))
    assert all(d == digests[0] for d in digests)
    if name == "SIGKILL":
        return
    # And the others are what they are without it.
    whole = tmp_path / "whole"
    make(whole, where, name)
    bad = whole / "cells" / failure["image"]
    if where == "read":
        bad.unlink()
    else:
        tifffile.imwrite(bad, cell(BAD), photometric="minisblack")
    assert start(whole, 2).returncode == 0
    compare(folder / "out", whole / "out", where == "features")


def compare(out: Path, whole: Path, has_row: bool) -> None:
    import h5py

    with h5py.File(out / "features.h5ad") as ours, h5py.File(whole / "features.h5ad") as theirs:
        X, expected, failed = ours["X"][()], theirs["X"][()], ours["obs/failed"][()]
    assert len(X) == CELLS - (not has_row)
    assert np.flatnonzero(failed).tolist() == ([BAD] if has_row else [])
    expected[failed] = np.nan
    assert np.array_equal(X, expected, equal_nan=True)


@pytest.mark.mpi
@pytest.mark.ranks(2)
def test_kills_in_a_row_make_no_image_bad(tmp_path: Path) -> None:
    """All ranks are killed six times at the very same images: these are tried, and are good."""
    folder = tmp_path / "job"
    make_innocent(folder)
    program = [HERE / "killed_at.py", str(BAD)]
    environ = {"PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = ["run", folder / "scip.yml", folder / "cells", "-o", folder / "out"]
    said = ""
    for _ in range(6):
        done = launch([*program, *command], 2, environ)
        assert done.returncode != 0
        said += done.stderr
        assert look(folder / "out" / PRIVATE).fatal == []
    assert "may be what ended earlier starts" in said
    assert "none of them ended its process" in said
    done = start(folder, 2)
    assert done.returncode == 0, done.stderr
    assert failures(folder / "out") == []
    undisturbed = tmp_path / "undisturbed"
    make_innocent(undisturbed)
    assert start(undisturbed, 2).returncode == 0
    assert digest(folder / "out") == digest(undisturbed / "out")


def make_innocent(folder: Path) -> None:
    make(folder, "features", "SIGSEGV")
    tifffile.imwrite(folder / "cells" / f"r{BAD:02}.tif", cell(BAD), photometric="minisblack")
