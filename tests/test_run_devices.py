"""Whole jobs whose ranks, which are threads, have devices: fake, emulated or broken ones."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cells import copy_cells, jurkat_files, write_config
from emulated_cupy import EmulatedCupy
from tables import digest

from scip_mpi.check import check
from scip_mpi.devices import FAKE, DeviceLost
from scip_mpi.errors import UserError
from scip_mpi.job import Request
from scip_mpi.parallel.inprocess import run_threads
from scip_mpi.parallel.world import Alone
from scip_mpi.run import run
from scip_mpi.segmentation.gpu.cuda import CudaDevice
from scip_mpi.segmentation.gpu.fake import FakeDevice

CONFIG = """\
load: {format: multiframe_tiff, channels: [0, 1, 2], channel_names: [BF, PI, SSC]}
mask:
  main_channel_index: 0
  methods:
    - {method: li, name: li, kwargs: {smooth: 1}}
    - {method: otsu, name: o, opening: 1, fill_holes: true, largest_component: true}
    - {method: threshold, name: t, kwargs: {method: triangle, smooth: 0.5}, border: keep}
    - {method: spot, name: s, kwargs: {spotsize: 3}}
    - {method: circle, name: c}
feature_extraction: {li: [compact, bbox, regions], o: [regions], t: [bbox], s: [regions], c: [bbox]}
"""
FILTER = "filter: {name: quantile, statistic: area, channel: PI, mask: li, lower: 0.2, upper: 1}\n"


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_cells(jurkat_files(shared_dir, 24), tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def serial(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("serial")
    config = write_config(folder / "scip.yml", FILTER, CONFIG)
    assert run(Alone(), Request(config, [str(cells)], folder / "out", quiet=True)) == 0
    return digest(folder / "out")


def job(cells: Path, folder: Path, ranks: int, device: str = "auto") -> dict[str, Any]:
    """Run, and what run.json says."""
    resources = f"resources: {{device: {device}, chunk_size: 5}}\n"
    config = write_config(folder / "scip.yml", FILTER + resources, CONFIG)
    request = Request(config, [str(cells)], folder / "out", quiet=True)
    assert run_threads(ranks, lambda world: run(world, request)) == [0] * ranks
    facts: dict[str, Any] = json.loads((folder / "out" / "run.json").read_text())
    return facts


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_fake_devices(
    ranks: int,
    cells: Path,
    serial: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(FAKE, "2")
    facts = job(cells, tmp_path, ranks)
    assert digest(tmp_path / "out") == serial
    used = [f["device"] for f in facts["ranks"]]
    assert [d and d["name"] for d in used] == ["fake-0", "fake-1", None, None][:ranks]
    # Of five mask sets one has no version for devices.
    assert sum(d["images"] for d in used if d) == 4 * 24


@pytest.mark.parametrize(
    ("ranks", "calls", "idle"),
    [
        (4, {"fake-0": 5}, True), (4, {"fake-1": 0, "fake-0": 9}, False), (1, {"fake-0": 6}, False),
        (2, {"fake-1": 0}, True), (2, {"fake-0": 1, "fake-1": 1}, False),
    ],
)  # fmt: skip
def test_devices_that_fail_for_good(
    ranks: int,
    calls: dict[str, int],
    idle: bool,
    cells: Path,
    serial: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(FAKE, "2")
    monkeypatch.setattr(
        "scip_mpi.run.open_device",
        lambda name, number, dtype: FakeDevice(name, calls_left=calls.get(name)),
    )
    facts = job(cells, tmp_path, ranks)
    assert digest(tmp_path / "out") == serial
    used = {f["device"]["name"]: f["device"] for f in facts["ranks"] if f["device"]}
    for name, facts_of_one in used.items():
        assert facts_of_one["lost"] == ("made to fail" if name in calls else "")
        assert (facts_of_one["chunks_handed_over"] > 0) == (name in calls)
    assert any(d["on_cpu_instead"] for d in used.values()) != idle
    log = capfd.readouterr().err
    assert log.count("(made to fail): others take this rank's chunks") == len(calls)
    assert ("no device is left on any rank" in log) != idle


def test_the_kernels_in_a_whole_job(
    cells: Path,
    serial: dict[str, str],
    emulated: EmulatedCupy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def opened(name: str, number: int, dtype: np.dtype[Any]) -> CudaDevice:
        return CudaDevice(number, dtype, emulated)

    monkeypatch.setenv(FAKE, "1")
    monkeypatch.setattr("scip_mpi.run.open_device", opened)
    # One rank: the emulation knows one thread.
    facts = job(cells, tmp_path, 1, "gpu")
    assert digest(tmp_path / "out") == serial
    used = facts["ranks"][0]["device"]
    assert used["images"] == 4 * 24
    assert used["lost"] == ""


FIELDS = """\
load: {format: multiframe_tiff, channel_names: [DNA]}
segment: {method: watershed, settings: {parent_channel_index: 0, expansion_factor: 0.2}}
mask: {methods: [{method: li, name: li, kwargs: {smooth: 1}}]}
feature_extraction: {li: [compact, bbox, regions]}
filter: {name: range, statistic: area, channel: DNA, mask: li, lower: 30}
"""


def test_objects_of_fields_on_a_device(
    shared_dir: Path, emulated: EmulatedCupy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = sorted((shared_dir / "data" / "segmentation_truth" / "bbbc007_fields").glob("*.tif"))
    folder = copy_cells(images[:2], tmp_path / "fields")
    config = write_config(tmp_path / "scip.yml", "", FIELDS)
    assert run(Alone(), Request(config, [str(folder)], tmp_path / "cpu", quiet=True)) == 0
    monkeypatch.setenv(FAKE, "1")
    monkeypatch.setattr(
        "scip_mpi.run.open_device", lambda name, number, dtype: CudaDevice(number, dtype, emulated)
    )
    assert run(Alone(), Request(config, [str(folder)], tmp_path / "gpu", quiet=True)) == 0
    assert digest(tmp_path / "gpu") == digest(tmp_path / "cpu")
    facts = json.loads((tmp_path / "gpu" / "run.json").read_text())
    used = facts["ranks"][0]["device"]
    # Fields, and the mask set of their objects.
    assert used["images"] > facts["images"] == 2
    assert used["lost"] == ""


def test_a_device_that_cannot_be_opened(
    cells: Path,
    serial: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def broken(name: str, number: int, dtype: np.dtype[Any]) -> CudaDevice:
        raise DeviceLost("it is on fire")

    monkeypatch.setenv(FAKE, "1")
    monkeypatch.setattr("scip_mpi.run.open_device", broken)
    facts = job(cells, tmp_path, 2)
    assert digest(tmp_path / "out") == serial
    assert facts["ranks"][0]["device"]["lost"] == "it is on fire"
    assert "rank 0 on threads: the device fake-0 failed (it is on fire)" in capfd.readouterr().err
    (tmp_path / "again").mkdir()
    with pytest.raises(RuntimeError, match="rank 0 on threads: device 0 cannot be used"):
        job(cells, tmp_path / "again", 2, "gpu")


def test_the_fallback_is_in_run_json_and_a_gpu_that_is_missing_is_refused(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = ((), "CuPy is not installed")
    monkeypatch.setattr("scip_mpi.run.visible_devices", lambda: seen)
    facts = job(cells, tmp_path, 1)
    assert facts["notes"][0] == "no GPU is used: threads: CuPy is not installed"
    assert facts["layout"] == ["threads: rank 0 manager + segmenter + featurizer"]
    assert facts["ranks"][0]["device"] is None
    config = write_config(tmp_path / "gpu.yml", "resources: {device: gpu}\n", CONFIG)
    request = Request(config, [str(cells)], tmp_path / "gpu", quiet=True)
    with pytest.raises(UserError, match=r"no GPU can be used on .*; .*: CuPy is not installed"):
        run(Alone(), request)
    assert not (tmp_path / "gpu").exists()


def test_check_recommends_feature_ranks_per_gpu(
    cells: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path / "scip.yml", FILTER, CONFIG)

    def said() -> list[str]:
        return [text for text in check(config, [str(cells)], 4) if text.startswith("per GPU")]

    assert said() == []
    monkeypatch.setenv(FAKE, "1")
    (text,) = said()
    assert re.search(r"segments: (about \d|\d+ or more).* \(by 24 images: .* on fake-0", text)

    def broken(name: str, number: int, dtype: np.dtype[Any]) -> CudaDevice:
        raise DeviceLost("it is on fire")

    monkeypatch.setattr("scip_mpi.trial.open_device", broken)
    assert "on the CPU (it is on fire)" in said()[0]
    monkeypatch.setattr(
        "scip_mpi.trial.open_device", lambda name, number, dtype: FakeDevice(name, calls_left=1)
    )
    assert "on the CPU (made to fail)" in said()[0]
    monkeypatch.setattr("scip_mpi.trial.MOST", 1)
    first = min((cells / "Anaphase").iterdir())
    text = first.read_bytes()
    first.write_bytes(b"no image")
    assert "nothing can be recommended: none of the first 1 images" in said()[0]
    first.write_bytes(text)
