"""The README followed to the letter, in an empty folder: the demo, then images of one's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import tifffile
from launch import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = Path(sys.prefix)


def commands(heading: str, word: str) -> str:
    """The lines of the README's indented block, under a heading, that has a word in it."""
    (section,) = re.findall(
        rf"^## {heading}\n(.*?)(?=^## )", (ROOT / "README.md").read_text(), flags=re.S | re.M
    )
    (block,) = (b for b in re.findall(r"(?:^    .*\n)+", section, flags=re.M) if word in b)
    return "\n".join(line[4:] for line in block.splitlines())


def follow(text: str, folder: Path) -> str:
    """What a shell says to it, with the environment activated; it ends at the first failure."""
    # What `make test` tells its children is not meant for the reader's own make.
    environ = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    environ |= {"PATH": f"{ENVIRONMENT / 'bin'}:{environ['PATH']}", "NO_COLOR": "1"}
    environ |= {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-ec", text], cwd=folder, env=environ, capture_output=True, text=True,
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_demo_leaves_a_table_and_a_report(tmp_path: Path) -> None:
    command = commands("Two commands", "make demo").splitlines()[0].partition("#")[0].strip()
    assert command == "make demo"
    # This checkout and environment in place of those that it would make: they are installed.
    ready = f"-f {ROOT}/Makefile VENV={ENVIRONMENT} -o {ENVIRONMENT}/bin/.run"
    told = follow(f"{command} {ready}", tmp_path)
    assert "report.html" in told
    assert anndata.read_h5ad(tmp_path / "demo" / "table" / "features.h5ad").n_obs > 400
    assert (tmp_path / "demo" / "table" / "report.html").stat().st_size > 100_000


def test_a_folder_of_tiffs_becomes_a_table_and_a_report(tmp_path: Path) -> None:
    text = commands("Your own images", "new images/")
    rng = np.random.default_rng(3)
    # Of the two channels the second shows more.
    (tmp_path / "images").mkdir()
    down, across = np.mgrid[:48, :52]
    radii = [8, 9, 10, 11, 12, 13]
    for k, radius in enumerate(radii):
        disc = np.hypot(down - 24, across - 26) < radius
        pages = rng.normal(100, 3, (2, 48, 52)) + 900 * disc * np.array([0.2, 1])[:, None, None]
        tifffile.imwrite(tmp_path / "images" / f"cell{k}.tif", pages.astype(np.uint16))
    told = follow(text, tmp_path)
    assert "main_channel_index: CH1" in (tmp_path / "scip.yml").read_text()
    assert "6 of 6 images" in told
    table = anndata.read_h5ad(tmp_path / "table" / "features.h5ad")
    assert table.obs["image"].tolist() == [f"cell{k}.tif" for k in range(6)]
    areas = table.to_df()["feat_cell_area_CH1"]
    # By the gradient of the smoothed image: somewhat larger than the discs that were drawn.
    assert areas.is_monotonic_increasing
    grown = np.sqrt(areas / np.pi) - radii
    assert grown.between(0, 5).all()
    assert (tmp_path / "table" / "report.html").stat().st_size > 100_000
