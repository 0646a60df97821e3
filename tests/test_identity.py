"""What makes two runs the same, and how it is said what differs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scip_mpi import identity
from scip_mpi.config import parse_config
from scip_mpi.identity import differences, facts_of, fingerprint, from_payload, to_payload
from scip_mpi.loaders.contract import Catalog

TEXT = "load: {format: multiframe_tiff}\nfilter: {name: mad, statistic: mean, channel: 0}\n"
COLUMNS = ["area", "mean", "sum"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for k in range(12):
        (tmp_path / f"{k:02d}.tif").write_bytes(b"II*\0" + b"\0" * k)
    return tmp_path


def catalog_of(folder: Path) -> Catalog:
    paths = sorted(folder.glob("*.tif"))
    n = len(paths)
    index = np.arange(n)
    return Catalog(
        files=[str(p) for p in paths],
        sources=index[:, None],
        names=[p.name for p in paths],
        named=index,
        within=np.zeros(n, np.int64),
        unit=index,
        group=np.zeros(n, np.int32),
        groups=["a"],
        metadata={"day": (np.zeros(n, np.int32), ["one"])},
        sizes=np.array([p.stat().st_size for p in paths]),
        mtimes=np.array([p.stat().st_mtime_ns for p in paths]),
    )


def facts(folder: Path, text: str = TEXT, columns: list[str] = COLUMNS) -> identity.Facts:
    config = parse_config(text + "feature_extraction: [shape]\n", "scip.yml")
    return facts_of(config, catalog_of(folder), columns)


def test_the_same_run_differs_in_nothing(folder: Path) -> None:
    before, now = from_payload(to_payload(facts(folder))), facts(folder)
    assert differences(before, now) == []
    assert fingerprint(before) == fingerprint(now)


def test_what_changes_no_result_changes_nothing(folder: Path) -> None:
    other = TEXT + "resources: {segmenters: 2, chunk_size: 5}\non_error: abort\n"
    assert differences(facts(folder), facts(folder, other)) == []


def test_a_config_that_changed(folder: Path) -> None:
    other = TEXT.replace("mean", "sum").replace("mad", "mad, n_mads: 5")
    assert differences(facts(folder), facts(folder, other)) == [
        'config: filter.statistic was "mean", is "sum"',
        "config: filter.n_mads was null, is 5",
    ]


def test_columns_and_versions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = facts(folder)
    monkeypatch.setattr(identity, "RESULT_VERSION", 3)
    monkeypatch.setattr("scip_mpi.__version__", "9.9")
    told = differences(before, facts(folder, columns=["mean", "area", "std"]))
    assert told[0] == "results of the program: version was 2, is 3"
    assert told[1].endswith('is "9.9"')
    assert told[2:] == ["columns: 1 gone (sum) and 1 new (std)"]
    (told,) = differences(facts(folder), facts(folder, columns=COLUMNS[::-1]))
    assert told == "columns: in another order"


def test_inputs_that_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = facts(folder)
    files = catalog_of(folder).files
    for name in ("03.tif", "07.tif"):
        (folder / name).write_bytes(b"more than before")
    sizes, times = differences(before, facts(folder), files)
    first = f"the first is {folder}/03.tif"
    assert sizes == f"inputs: 2 of 12 files have other sizes, {first}"
    assert times == f"inputs: 2 of 12 files have other modification times, {first}"
    (folder / "03.tif").rename(folder / "02a.tif")
    assert "inputs: the images have other names or order" in differences(before, facts(folder))
    (folder / "12.tif").touch()
    assert differences(before, facts(folder)) == [
        "inputs: there were 12 images, there are 13",
        "inputs: there were 12 files, there are 13",
    ]


def test_of_many_inputs_parts_are_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "GROUPS", 4)
    before = facts(folder)
    assert len(json.dumps(before)) < 5000
    (folder / "04.tif").write_bytes(b"more than before")
    told = differences(before, facts(folder))
    assert told[0] == "inputs: files have other sizes, in 1 of 4 parts of the 12 files"


def test_facts_of_another_form_are_never_taken_for_the_same(folder: Path) -> None:
    assert differences({}, facts(folder)) != []
    assert differences(facts(folder) | {"more": 1}, facts(folder)) != []
