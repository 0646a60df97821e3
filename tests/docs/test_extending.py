"""The example package of docs/extending.md, in jobs of its own."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import anndata
import numpy as np
import pytest
from launch import documented_block, launch

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
CELLS = documented_block("brightest", "yaml")
FIELDS = """\
load: {format: scip_mpi_examples.npy, channel_names: [BF, DNA]}
feature_extraction: ["scip_mpi_examples.michelson:FAMILY"]
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder where the example package lies as pip leaves it behind."""
    folder = tmp_path / "packages"
    shutil.copytree(EXAMPLES / "scip_mpi_examples", folder / "scip_mpi_examples")
    project = tomllib.loads((EXAMPLES / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name']}-{project['version']}.dist-info"
    info.mkdir()
    name, version = project["name"], project["version"]
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


def table(folder: Path, packages: Path, config: str, strict: int = 0) -> anndata.AnnData:
    """The table of a run over a folder of images."""
    (folder / "scip.yml").write_text(config)
    arguments = ["run", "scip.yml", "images", "-o", "table", "--no-report", "--strict"]
    done = launch(["-m", "scip_mpi", *arguments], environ=path_with(packages), cwd=folder)
    assert done.returncode == strict, done.stderr
    return anndata.read_h5ad(folder / "table" / "features.h5ad")


def path_with(packages: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{packages}:{Path(__file__).resolve().parents[2]}"}


def test_a_loader_a_mask_method_and_a_family_by_their_names(packages: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    images = [rng.permutation(2 * 20 * 22).reshape(2, 20, 22).astype(np.uint16) for _ in range(3)]
    (tmp_path / "images").mkdir()
    for i, image in enumerate(images):
        np.save(tmp_path / "images" / f"{i}.npy", image)
    np.save(tmp_path / "images" / "bad.npy", np.zeros((20, 22), np.uint16))
    found = table(tmp_path, packages, CELLS, strict=3)
    assert found.obs["image"].tolist() == ["0.npy", "1.npy", "2.npy"]
    assert "not (channels, rows, columns)" in (tmp_path / "table" / "failures.csv").read_text()
    for c, name in enumerate(("BF", "DNA")):
        planes = [np.sort(image[c], axis=None).astype(float) for image in images]
        # Pixels of a plane are all different: its upper half is the mask.
        expected = [(p[-1] - p[220]) / (p[-1] + p[220]) for p in planes]
        values = found.to_df()[f"feat_bright_michelson_{name}"]
        np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_a_segmenter_by_where_its_function_is(packages: Path, tmp_path: Path) -> None:
    field = np.full((2, 60, 80), 10, np.uint16)
    field[:, 5:15, 10:20] = 200
    field[:, 30:50, 40:70] = 300
    field[0, 35, 45] = 900
    (tmp_path / "images").mkdir()
    np.save(tmp_path / "images" / "field.npy", field)
    segment = documented_block("above", "yaml").replace("above", "scip_mpi_examples.above:above")
    found = table(tmp_path, packages, FIELDS + segment)
    assert found.obs_names.tolist() == ["0_1", "0_2"]
    np.testing.assert_allclose(found.to_df()["feat_michelson_BF"], [0, 600 / 1200])
    assert (found.to_df()["feat_michelson_DNA"] == 0).all()


def test_check_and_features_know_them(packages: Path, tmp_path: Path) -> None:
    arguments = ["-m", "scip_mpi", "features", "--family", "michelson"]
    done = launch(arguments, environ=path_with(packages), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Largest less smallest pixel" in done.stdout
