"""Jobs whose segmenting ranks have a device, as far as that can be had without one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import launch, scip
from tables import digest

PROGRAM = Path(__file__).with_name("pretended.py")
FILTER = "filter: {name: quantile, statistic: sum, channel: PI, lower: 0.2, upper: 0.9}\n"
SMALL = "resources: {chunk_size: 4}\n"


@pytest.fixture(scope="module")
def cells(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_cells(jurkat_files(shared_dir, 90), tmp_path_factory.mktemp("cells"))


@pytest.fixture(scope="module")
def serial(cells: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("serial")
    done = scip("run", write_config(root / "c.yml", FILTER), cells, "-o", root / "out", "-q")
    assert done.returncode == 0, done.stderr
    return digest(root / "out")


def job(
    cells: Path,
    folder: Path,
    resources: str = SMALL,
    ranks: int = 6,
    per_node: int = 3,
    devices: str = "2",
    faults: dict[str, dict[str, int]] | None = None,
) -> tuple[subprocess.CompletedProcess[str], dict]:
    config = write_config(folder / "scip.yml", FILTER + resources)
    out = folder / "out"
    done = launch(
        [PROGRAM, str(per_node), json.dumps(faults or {}), "run", config, cells, "-o", out],
        ranks,
        {"SCIP_MPI_FAKE_DEVICES": devices},
    )
    facts = out / "run.json"
    return done, json.loads(facts.read_text()) if facts.is_file() else {}


@pytest.mark.mpi
def test_two_devices_on_each_of_two_nodes(
    cells: Path, serial: dict[str, str], tmp_path: Path
) -> None:
    done, facts = job(cells, tmp_path)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out") == serial
    assert facts["layout"] == [
        "node0: rank 0 manager + segmenter on device 0; rank 1 segmenter on device 1; "
        "rank 2 featurizer",
        "node1: rank 3 segmenter on device 0; rank 4 segmenter on device 1; rank 5 featurizer",
    ]
    for line in facts["layout"]:
        assert f"layout: {line}" in done.stderr
    used = [f["device"] for f in facts["ranks"]]
    assert [d and d["name"] for d in used] == ["fake-0", "fake-1", None] * 2
    # Two mask sets.
    assert sum(d["images"] for d in used if d) == 180
    # The segmenters hold no cells; others' rows may be handed over to them at the end.
    assert all(f["rows"] for f in facts["ranks"] if f["device"] is None)


@pytest.mark.mpi
@pytest.mark.parametrize(("ranks", "shared"), [(1, 1), (2, 1), (5, 2)])
def test_fewer_and_shared_devices(
    ranks: int, shared: int, cells: Path, serial: dict[str, str], tmp_path: Path
) -> None:
    resources = f"resources: {{chunk_size: 4, device: gpu, segmenters_per_gpu: {shared}}}\n"
    done, facts = job(cells, tmp_path, resources, ranks=ranks, per_node=8)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out") == serial
    used = [f["device"] and f["device"]["name"] for f in facts["ranks"]]
    assert used == ["fake-0", "fake-1", "fake-0", "fake-1", None][:ranks]


@pytest.mark.mpi
def test_devices_that_are_too_small_or_fail(
    cells: Path, serial: dict[str, str], tmp_path: Path
) -> None:
    faults = {"0": {"capacity": 9000}, "1": {"calls_left": 1}, "3": {"calls_left": 0}}
    done, facts = job(cells, tmp_path, faults=faults)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out") == serial
    used = {f["rank"]: f["device"] for f in facts["ranks"]}
    assert used[0]["batches_halved"] > 0
    assert used[1]["lost"] == used[3]["lost"] == "made to fail"
    assert used[4]["lost"] == ""
    assert "scip_mpi: rank 1 on node0: the device fake-1 failed (made to fail)" in done.stderr
    assert "2 of 4 devices failed (made to fail): " in done.stderr
    assert "of their chunks went to other devices" in done.stderr
    # Rank 3 never did anything on its device, nor on its CPU.
    assert used[3]["images"] == 0
    assert used[3]["chunks_handed_over"] > 0
    assert not any(used[k]["on_cpu_instead"] for k in (0, 1, 3, 4))


@pytest.mark.mpi
@pytest.mark.parametrize(
    ("ranks", "per_node", "calls"),
    [(4, 2, {0: 3, 1: 0, 2: 9, 3: 1}), (6, 3, {0: 2, 1: 4, 3: 0, 4: 2}), (4, 4, {0: 5, 1: 1})],
)
def test_when_no_device_is_left_all_ranks_segment(
    ranks: int,
    per_node: int,
    calls: dict[int, int],
    cells: Path,
    serial: dict[str, str],
    tmp_path: Path,
) -> None:
    faults = {str(rank): {"calls_left": left} for rank, left in calls.items()}
    done, facts = job(cells, tmp_path, ranks=ranks, per_node=per_node, faults=faults)
    assert done.returncode == 0, done.stderr
    assert digest(tmp_path / "out") == serial
    used = {f["rank"]: f["device"] for f in facts["ranks"] if f["device"]}
    assert used.keys() == calls.keys()
    for device in used.values():
        assert device["lost"] == "made to fail"
    assert any(device["on_cpu_instead"] for device in used.values())
    assert "no device is left on any rank: this rank segments on its CPU" in done.stderr
    assert f"{len(calls)} of {len(calls)} devices failed (made to fail)" in done.stderr
    # All but the featurizers' own have been at chunks; here these have too.
    chunks = [bool(f["costs"]["chunks"]) for f in facts["ranks"] if "chunks" in f["costs"]]
    assert len(chunks) > 0


@pytest.mark.mpi
def test_a_gpu_that_is_not_there_is_refused(cells: Path, tmp_path: Path) -> None:
    done, _ = job(cells, tmp_path, "resources: {device: gpu}\n", devices="visible")
    assert done.returncode == 2
    assert "no GPU can be used on node0, node1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_check_prints_the_layout(cells: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "scip.yml")
    done = launch(
        ["-m", "scip_mpi", "check", config, cells, "-n", "4"],
        environ={"SCIP_MPI_FAKE_DEVICES": "1"},
    )
    assert done.returncode == 0, done.stderr
    wanted = "layout      this node: rank 0 manager + segmenter on device 0; ranks 1-3 featurizer"
    assert wanted in done.stdout


def test_a_config_without_a_method_for_devices_says_so(cells: Path, tmp_path: Path) -> None:
    text = (
        "load: {format: multiframe_tiff}\n"
        "mask: {methods: [{method: circle, name: c}]}\n"
        "feature_extraction: {c: [shape]}\n"
    )
    config = write_config(tmp_path / "scip.yml", text=text)
    done = launch(
        ["-m", "scip_mpi", "check", config, cells], environ={"SCIP_MPI_FAKE_DEVICES": "1"}
    )
    assert done.returncode == 0, done.stderr
    assert "no GPU is used: of the mask methods circle none runs on a GPU" in done.stdout
