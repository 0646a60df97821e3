"""One huge field among many small ones: no rank has much more to do than others."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from launch import launch
from tables import digest

from scip_mpi.timers import WORK

CONFIG = """\
load: {format: multiframe_tiff}
segment: {method: watershed, settings: {cell_diameter: 9, threshold: 50.0}}
background: ring
filter: {name: quantile, statistic: sum, channel: 0, lower: 0.05}
feature_extraction: [shape, intensity, texture]
"""
# The busiest rank's time to the mean, and the runs of which one must keep to it: what else runs on
# the machine takes time from some ranks by the clock, and gives others less to do by the CPU's
# count; a program that does not balance is uneven by both, in every run. Alone on two cores it is
# 1.07 to 1.16 by the clock.
LIMIT, RUNS = 1.2, 4


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


def busiest(told: dict) -> float:
    """Busiest to mean time of the ranks in all stages in which none waits for another."""
    ratios = []
    for clock in ("wall_s", "cpu_s"):
        spent = [sum(r["stages"].get(s, {clock: 0})[clock] for s in WORK) for r in told["ranks"]]
        ratios.append(max(spent) / np.mean(spent))
    return float(min(ratios))


@pytest.mark.mpi
@pytest.mark.ranks(4)
def test_a_huge_field_among_small_ones(fields: Path, tmp_path: Path) -> None:
    config = tmp_path / "scip.yml"
    config.write_text(CONFIG)
    found = []
    while min(found, default=np.inf) > LIMIT and len(found) < RUNS:
        out = tmp_path / f"out{len(found)}"
        done = launch(["-m", "scip_mpi", "run", config, fields, "-o", out, "--no-report"], 4)
        assert done.returncode == 0, done.stderr
        told = json.loads((out / "run.json").read_text())
        # The lowest 5 % are gone, but those as bright as the last of them.
        assert 38_000 <= told["rows"] < 38_100
        found.append(busiest(told))
    assert min(found) <= LIMIT, found
    # Runs of rows that other ranks computed are the same rows.
    done = launch(
        ["-m", "scip_mpi", "run", config, fields, "-o", tmp_path / "alone", "--no-report"], 1
    )
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out0") == digest(tmp_path / "alone")


@pytest.mark.mpi
@pytest.mark.ranks(4)
@pytest.mark.parametrize("segmenters", [0, 2])
def test_ranks_mask_objects_of_one_field_together(segmenters: int, tmp_path: Path) -> None:
    folder = tmp_path / "fields"
    folder.mkdir()
    tifffile.imwrite(folder / "f.tif", field(50, 40, 3), photometric="minisblack")
    text = CONFIG.replace("lower:", "mask: otsu, lower:").replace(
        "feature_extraction: [shape, intensity, texture]",
        "feature_extraction: {otsu: [shape, intensity]}\n"
        "mask: {methods: [{method: otsu, name: otsu}]}\n"
        f"resources: {{segmenters: {segmenters}}}",
    )
    config = tmp_path / "scip.yml"
    config.write_text(text)
    digests = []
    for ranks in (1, 4):
        out = tmp_path / str(ranks)
        done = launch(["-m", "scip_mpi", "run", config, folder, "-o", out], ranks)
        assert done.returncode == 0, done.stderr
        digests.append(digest(out))
    assert digests[0] == digests[1]
    told = json.loads((tmp_path / "4" / "run.json").read_text())
    # One field is one chunk, which one rank reads; others measured some of its objects.
    readers = [r for r in told["ranks"] if r["costs"].get("chunks")]
    assert len(readers) == 1
    assert sum(r["stages"].get("measure", {"cpu_s": 0})["cpu_s"] > 0 for r in told["ranks"]) > 1
