"""Machines that are short of something, clocks that jump, fields of no or very many objects."""

from __future__ import annotations

import csv
import json
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
from cells import copy_cells, jurkat_files, write_config
from tables import digest, obs_names

import scip_mpi.passes
import scip_mpi.segmenting
from scip_mpi.job import Request
from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.parallel.world import Alone
from scip_mpi.run import run

FIELDS = """\
load:
  format: image
  companions: {labels: {match: /fields/, replace: /labels/}}
segment: {method: labels, settings: {companion: labels}}
feature_extraction: [shape, intensity]
"""
# The ranks' threads end as everything does.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture
def cells(shared_dir: Path, tmp_path: Path) -> Path:
    return copy_cells(jurkat_files(shared_dir, 12), tmp_path / "cells")


def start(folder: Path, paths: Path, **options: Any) -> Path:
    """Run alone: kernels that nobody has compiled yet are compiled by one rank, not two threads."""
    config = write_config(folder / "scip.yml", "resources: {chunk_size: 3}\n", **options)
    assert run(Alone(), Request(config, [str(paths)], folder / "out", quiet=True)) == 0
    return folder / "out"


def test_a_clock_that_jumps_changes_nothing(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "usual").mkdir()
    usual = start(tmp_path / "usual", cells)
    draw, true = random.Random(0), time.time
    monkeypatch.setattr(time, "time", lambda: true() + 3600 * draw.randrange(-48, 48))
    extra = "resources: {chunk_size: 3, stall_timeout: 60}\n"
    config = write_config(tmp_path / "scip.yml", extra)
    asked = Request(config, [str(cells)], tmp_path / "out", quiet=True)
    begun = time.monotonic()
    assert run_threads(2, lambda world: run(world, asked)) == [0, 0]
    took = time.monotonic() - begun
    assert digest(tmp_path / "out") == digest(usual)
    told = json.loads((tmp_path / "out" / "run.json").read_text())
    assert 0 < told["wall_s"] <= took


def test_an_image_that_its_masks_need_too_much_memory_for_is_one_failure(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it stands in its chunk, alone or not; the others are what they are without it."""
    segment, lost = scip_mpi.passes.segment, [4, 6, 7, 8]

    def short(stages: Any, references: Any, *rest: Any) -> Any:
        record, pixels = segment(stages, references, *rest)
        if np.isin(pixels.index, lost).any():
            raise MemoryError
        return record, pixels

    (tmp_path / "usual").mkdir()
    usual = start(tmp_path / "usual", cells)
    monkeypatch.setattr(scip_mpi.passes, "segment", short)
    out = start(tmp_path, cells)
    with (out / "failures.csv").open(newline="") as handle:
        told = list(csv.DictReader(handle))
    assert [row["stage"] for row in told] == ["segment"] * 4
    assert {row["error"] for row in told} == {"not enough memory to segment and measure it"}
    kept = np.isin([int(n.split("_")[0]) for n in obs_names(usual)], lost, invert=True)
    assert obs_names(out) == np.array(obs_names(usual))[kept].tolist()
    with h5py.File(out / "features.h5ad") as ours, h5py.File(usual / "features.h5ad") as theirs:
        assert np.array_equal(ours["X"][()], theirs["X"][()][kept], equal_nan=True)


def test_an_image_whose_rows_need_too_much_memory_keeps_them_empty(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, lost = scip_mpi.passes.compute, [4, 6, 7, 8]

    def short(stages: Any, references: Any, masks: Any, crops: Any, *rest: Any) -> Any:
        rows = compute(stages, references, masks, crops, *rest)
        if np.isin(masks.image[crops.index], lost).any():
            raise MemoryError
        return rows

    (tmp_path / "usual").mkdir()
    usual = start(tmp_path / "usual", cells)
    monkeypatch.setattr(scip_mpi.passes, "compute", short)
    out = start(tmp_path, cells)
    with (out / "failures.csv").open(newline="") as handle:
        told = {(row["stage"], row["error"]) for row in csv.DictReader(handle)}
    assert told == {("features", "not enough memory to compute its rows")}
    assert obs_names(out) == obs_names(usual)
    gone = np.isin([int(n.split("_")[0]) for n in obs_names(out)], lost)
    assert gone.sum() == len(lost)
    with h5py.File(out / "features.h5ad") as ours, h5py.File(usual / "features.h5ad") as theirs:
        assert np.array_equal(ours["obs/failed"][()], gone)
        assert np.isnan(ours["X"][()][gone]).all()
        assert np.array_equal(ours["X"][()][~gone], theirs["X"][()][~gone], equal_nan=True)


def test_what_only_together_needs_too_much_memory_is_an_error(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = scip_mpi.passes.segment

    def short(stages: Any, references: Any, *rest: Any) -> Any:
        if len(references) > 1:
            raise MemoryError
        return segment(stages, references, *rest)

    monkeypatch.setattr(scip_mpi.passes, "segment", short)
    with pytest.raises(MemoryError):
        start(tmp_path, cells)


def fields(folder: Path, *objects: int) -> Path:
    """Fields with so many objects of 3 x 3 pixels, and their label images."""
    for k, count in enumerate(objects):
        side = max(int(np.ceil(np.sqrt(count))), 8)
        labels = np.zeros((4 * side, 4 * side), np.int32)
        row, column = np.divmod(np.arange(count), side)
        for dy in range(3):
            for dx in range(3):
                labels[4 * row + dy, 4 * column + dx] = np.arange(1, count + 1)
        rng = np.random.default_rng(k)
        for name, plane in (
            ("fields", rng.integers(0, 999, labels.shape, np.uint16)),
            ("labels", labels),
        ):
            (folder / name).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / name / f"f{k}.tif", plane)
    return folder / "fields"


def test_a_field_that_needs_too_much_memory_is_one_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where its objects have masks of their own, and could be with other ranks."""
    segment_fields = scip_mpi.segmenting.segment_fields

    def short(batch: Any, *rest: Any) -> Any:
        # Kernels are compiled for fields 0 and 1 of nobody's.
        if 2 in batch.index:
            raise MemoryError
        return segment_fields(batch, *rest)

    monkeypatch.setattr(scip_mpi.segmenting, "segment_fields", short)
    masks = "mask: {methods: [{name: cell, method: segmented, border: keep}]}\n"
    text = FIELDS.replace("[shape, intensity]", "{cell: [shape]}") + masks
    out = start(tmp_path, fields(tmp_path / "images", 2, 1, 3, 1), text=text)
    assert [n.split("_")[0] for n in obs_names(out)] == ["0", "0", "1", "3"]
    with (out / "failures.csv").open(newline="") as handle:
        told = [(row["stage"], row["error"]) for row in csv.DictReader(handle)]
    assert told == [("segment", "not enough memory to segment and measure it")]


@pytest.mark.parametrize("objects", [(0,), (1,), (0, 1, 0), (0, 100_000, 1)])
def test_fields_of_any_number_of_objects(objects: tuple[int, ...], tmp_path: Path) -> None:
    out = start(tmp_path, fields(tmp_path / "images", *objects), text=FIELDS)
    images = [int(name.split("_")[0]) for name in obs_names(out)]
    assert np.bincount(images, minlength=len(objects)).tolist() == list(objects)
    with h5py.File(out / "features.h5ad") as file:
        assert len(file["X"]) == sum(objects)
        assert not file["obs/failed"][()].any()
        assert np.isfinite(file["obsm/spatial"][()]).all()


def test_few_file_descriptors_are_enough(shared_dir: Path, tmp_path: Path) -> None:
    """`ulimit -n 64`, with more files than that."""
    cells = copy_cells(jurkat_files(shared_dir, 140), tmp_path / "cells")
    config = write_config(tmp_path / "scip.yml")
    done = subprocess.run(
        [sys.executable, "-m", "scip_mpi", "run", config, cells, "-o", tmp_path / "out"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(obs_names(tmp_path / "out")) == 140
