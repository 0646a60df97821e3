"""One huge field among many small ones: no rank has much more to do than others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from launch import launch
from tables import digest

CONFIG = """\
load: {format: multiframe_tiff}
segment: {method: watershed, settings: {cell_diameter: 9, threshold: 50.0}}
background: ring
filter: {name: quantile, statistic: sum, channel: 0, lower: 0.05}
feature_extraction: [shape, intensity, texture]
"""
# Stages of the second pass.
SECOND = ("features", "write")


def field(rows: int, columns: int, seed: int) -> np.ndarray:
    """A grid of bright cells, 12 pixels apart, in twelve channels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:12, :12] - 5.5
    cell = np.where(np.hypot(y, x) < 4.5, 150, 0)
    image = np.tile(cell, (12, rows, columns)) + rng.integers(0, 20, (12, 12 * rows, 12 * columns))
    return image.astype(np.uint16)


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fields")
    tifffile.imwrite(folder / "m_huge.tif", field(200, 100, 0), photometric="minisblack")
    for k in range(2000):
        tifffile.imwrite(folder / f"{k:04d}.tif", field(2, 5, k), photometric="minisblack")
    return folder


@pytest.mark.mpi
@pytest.mark.ranks(4)
def test_a_huge_field_among_small_ones(fields: Path, tmp_path: Path) -> None:
    config = tmp_path / "scip.yml"
    config.write_text(CONFIG)
    done = launch(["-m", "scip_mpi", "run", config, fields, "-o", tmp_path / "out"], 4)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    # The lowest 5 % are gone, but those as bright as the last of them.
    assert 38_000 <= told["rows"] < 38_100
    # One rank segments the huge field, which nothing shares out; the rows of its cells are.
    # Whatever else runs on the machine takes time from some ranks by the clock, and gives others
    # less to do by the CPU's count: a pass that does not balance is uneven by both.
    spent = {
        clock: np.array([sum(r["stages"][s][clock] for s in SECOND) for r in told["ranks"]])
        for clock in ("wall_s", "cpu_s")
    }
    assert min(s.max() / s.mean() for s in spent.values()) <= 1.25, spent
    # In the first pass the other ranks segment all other fields meanwhile.
    first = max(seconds for r in told["ranks"] for _, seconds in r["costs"]["chunks"])
    others = [sum(s for _, s in r["costs"]["chunks"]) for r in told["ranks"]]
    assert max(others) <= 1.25 * max(first, float(np.mean(others))), others
    # Runs of rows that other ranks computed are the same rows.
    done = launch(["-m", "scip_mpi", "run", config, fields, "-o", tmp_path / "alone"], 1)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out") == digest(tmp_path / "alone")
