"""Crops of a real run: the images' own pixels, and the masks that its features were computed in."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
import tifffile
from cells import CONFIG, copy_cells, jurkat_files, write_config
from launch import scip

from scip_mpi.errors import UserError
from scip_mpi.export.cells import reopen
from scip_mpi.export.crops import centred
from scip_mpi.export.write import Request, export
from scip_mpi.job import Request as Run
from scip_mpi.parallel.world import Alone
from scip_mpi.results.finished import open_part
from scip_mpi.run import run


@pytest.fixture(scope="module")
def done(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("crops")
    cells = copy_cells(jurkat_files(shared_dir, 14), folder / "cells")
    (cells / "G1" / "broken.tif").write_text("no image")
    config = write_config(folder / "scip.yml", text=CONFIG)
    assert run(Alone(), Run(config, [str(cells)], folder / "out", quiet=True)) == 0
    return folder / "out", cells


def test_all_cells_in_the_order_of_the_table(done: tuple[Path, Path], tmp_path: Path) -> None:
    out, images = done
    told = scip("export", out, images, "--crops", "--size", "50", "-o", tmp_path, "-q")
    assert told.returncode == 0, told.stderr
    assert told.stdout == f"crops: {tmp_path / 'crops.h5'} (14 cells)\n"
    table = anndata.read_h5ad(out / "features.h5ad")
    with h5py.File(tmp_path / "crops.h5") as file:
        assert file["obs_names"].asstr()[()].tolist() == table.obs_names.tolist()
        assert list(file.attrs["channels"]) == ["BF", "PI", "SSC"]
        assert list(file.attrs["mask_sets"]) == ["li", "otsu"]
        assert file["found"][()].all()
        pixels, masks = file["pixels"][()], file["masks"][()]
    assert pixels.shape == (14, 3, 50, 50)
    assert masks.shape == (14, 2, 3, 50, 50)
    assert pixels.dtype == np.uint16
    for k, name in enumerate(table.obs["image"]):
        np.testing.assert_array_equal(pixels[k, :, 5:45, 5:45], tifffile.imread(images / name))
    assert pixels.sum() == pixels[:, :, 5:45, 5:45].sum()
    # What a mask covers is what its columns say.
    for s, mask_set in enumerate(("li", "otsu")):
        for c, channel in enumerate(("BF", "PI", "SSC")):
            inside = (pixels[:, c] * masks[:, s, c].astype(float)).sum(axis=(1, 2))
            told_of = table[:, f"feat_{mask_set}_sum_{channel}"].X[:, 0]
            kept = np.isfinite(told_of)
            assert kept.sum() > 5
            np.testing.assert_allclose(inside[kept], told_of[kept], rtol=1e-6)


def test_some_cells_of_which_the_middle_is_taken(done: tuple[Path, Path], tmp_path: Path) -> None:
    out, images = done
    names = anndata.read_h5ad(out / "features.h5ad").obs
    chosen = names.index[names["group"].isin(["G1", "Telophase"])]
    (tmp_path / "cells.txt").write_text("\n".join(chosen[1:]))
    lines = list(
        export(
            Request(
                out, (str(images),), crops=True, size=20, where=("group=G1", "group=Telophase"),
                cells=tmp_path / "cells.txt", folder=tmp_path, quiet=True,
            )
        )
    )  # fmt: skip
    assert lines == [f"crops: {tmp_path / 'crops.h5'} ({len(chosen) - 1} cells)"]
    with h5py.File(tmp_path / "crops.h5") as file:
        assert file["obs_names"].asstr()[()].tolist() == chosen[1:].tolist()
        assert names.index[file["row"][()]].tolist() == chosen[1:].tolist()
        assert (file["shape"][()] == 40).all()
        for k, name in enumerate(names.loc[chosen[1:], "image"]):
            image = tifffile.imread(images / name)
            np.testing.assert_array_equal(file["pixels"][k], image[:, 10:30, 10:30])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": ("group",)}, "is not COLUMN=VALUE"),
        ({"where": ("group=G3",)}, "no cell has it; group is Anaphase"),
        ({"where": ("colour=red",)}, "obs has no column 'colour'"),
        ({"cells": Path("none.txt")}, "cannot be read"),
    ],
)
def test_what_cannot_be_cropped_is_said(
    done: tuple[Path, Path], tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    given = {"paths": (str(done[1]),), **options}
    with pytest.raises(UserError, match=message):
        list(export(Request(done[0], crops=True, folder=tmp_path, quiet=True, **given)))
    assert not list(tmp_path.iterdir())


def test_images_are_where_they_were(done: tuple[Path, Path], tmp_path: Path) -> None:
    lines = list(export(Request(done[0], crops=True, folder=tmp_path, quiet=True)))
    assert lines == [f"crops: {tmp_path / 'crops.h5'} (14 cells)"]
    told = json.loads((done[0] / "run.json").read_text())
    elsewhere = replace(open_part(done[0]), told={**told, "paths": ["cells"], "cwd": "/else"})
    with pytest.raises(UserError, match="give their PATHs after OUT"):
        reopen(elsewhere, ())


def test_other_images_are_refused(done: tuple[Path, Path], tmp_path: Path) -> None:
    some = (str(done[1] / "G1"),)
    with pytest.raises(UserError, match="and the run had 15: it is to be the same PATHs"):
        list(export(Request(done[0], some, crops=True, folder=tmp_path, quiet=True)))


def test_a_square_holds_the_middle() -> None:
    planes = np.arange(2 * 3 * 6).reshape(2, 3, 6)
    found = centred(planes, 4)
    assert found.shape == (2, 4, 4)
    np.testing.assert_array_equal(found[:, :3], planes[:, :, 1:5])
    assert not found[:, 3].any()
