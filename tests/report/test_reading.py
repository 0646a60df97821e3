"""What is read of OUT: rows of tables, images, discarded cells, failures."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scip_mpi.report import images as tables
from scip_mpi.report.facts import LISTED, read_failures
from scip_mpi.report.images import read_discarded, read_images
from scip_mpi.report.sample import draw, read_columns, read_sample, read_x
from scip_mpi.results.h5ad import ObsRows, TableSpec, create_table, write_categories, write_rows
from scip_mpi.results.tables import write_failures

ROWS = 500


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 cells of 250 images; column j of row i holds 1000 i + j."""
    path = tmp_path_factory.mktemp("table") / "features.h5ad"
    names = [f"feat_{k}" for k in range(30)]
    var = {
        name: [f"{name} {k}" for k in range(30)]
        for name in ("feature", "family", "mask_set", "channel", "unit", "definition")
    }
    spec = TableSpec(
        ROWS, {"image": ROWS // 2, "group": ["a", "b", "c"]}, {"object": np.int64},
        {"failed": np.bool_, "gate": np.float64}, names, var, {},
    )  # fmt: skip
    create_table(path, spec)
    rows = np.arange(ROWS)
    codes = {"image": rows // 2, "group": np.where(rows % 5 == 0, -1, rows % 2)}
    with h5py.File(path, "r+") as file:
        noted = {"object": rows % 2 + 1}
        write_rows(file, ObsRows(0, rows // 2, rows % 2 + 1, codes, noted, np.zeros((ROWS, 2))))
        write_categories(file, "image", 0, [f"cell_{k}.tif" for k in range(ROWS // 2)])
        file["X"][:] = 1000 * rows[:, np.newaxis] + np.arange(30)
        file["obs/failed"][:] = rows == 17
        file["obs/gate"][:] = rows / 4
        file["var/n_nan"][:] = 0
        file["var/constant"][:] = False
    return path


@pytest.mark.parametrize("count", [100, 10_000])
def test_rows_of_a_table(table: Path, count: int) -> None:
    with h5py.File(table) as file:
        columns = read_columns(file)
    assert columns.find("feature 3", "mask_set 3") == 3
    assert columns.find("feature 3", "mask_set 4") is None
    sample = read_sample(table, [2, 29], columns, count)
    assert sample.total == ROWS
    assert len(sample) == min(count, ROWS)
    assert (np.diff(sample.rows) > 0).all()
    assert np.array_equal(sample.X[2], 1000.0 * sample.rows + 2)
    assert np.array_equal(sample.X[29], 1000.0 * sample.rows + 29)
    assert np.array_equal(sample.numbers["gate"], sample.rows / 4)
    assert np.array_equal(sample.numbers["failed"], sample.rows == 17)
    for k, row in enumerate(sample.rows.tolist()):
        assert sample.text("image", k) == f"cell_{row // 2}.tif"
        assert sample.text("group", k) == ("" if row % 5 == 0 else "ab"[row % 2])
        assert sample.names[k] == f"{row // 2}_{row % 2 + 1}"
    # Of categories only those that occur are in memory.
    assert len(sample.texts["image"][1]) == len(np.unique(sample.rows // 2))


def test_fewer_rows_of_very_wide_tables(table: Path) -> None:
    with h5py.File(table) as file:
        columns = read_columns(file)
    assert len(read_sample(table, [0], columns, 400, most=50 * 30 * 4)) == 50


def test_tables_that_others_wrote_in_chunks_are_read_too(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((300, 7)).astype(np.float32)
    rows = draw(300, 40)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, how in {"chunks": {"chunks": (13, 7)}, "gzip": {"compression": "gzip"}}.items():
            X = file.create_dataset(name, data=values, **how)
            assert np.array_equal(read_x(X, rows, np.array([5, 0])), values[rows][:, [5, 0]])


def test_the_same_rows_are_drawn_each_time_and_all_of_few() -> None:
    assert draw(10, 20).tolist() == list(range(10))
    assert np.array_equal(draw(10**9, 1000), draw(10**9, 1000))
    assert len(np.unique(draw(1001, 1000))) == 1000


@pytest.fixture
def beside(tmp_path: Path) -> Path:
    """90 images in three row groups; every third failed, and those of group c hold five cells."""
    k = np.arange(90)
    failed, many = k % 3 == 0, k >= 60
    rows = {
        "image": [f"i{n}" for n in k],
        "group": np.where(many, "c", np.where(k % 2 == 0, "a", "b")).tolist(),
        "found": np.where(failed, 0, np.where(many, 5, k % 2)),
        "kept": np.where(failed | (k % 2 == 0), 0, 1),
        "failed": failed,
        "saturated_BF": np.where(failed, np.nan, np.where(k < 10, 0.5, 0.0)),
        "focus_BF": np.where(failed, np.nan, np.where(k < 40, 0.0, 3.0)),
    }
    pq.write_table(pa.table(rows), tmp_path / "images.parquet", row_group_size=30)
    gone = {
        "image": ["i1", "i61", "i61", "i89"], "object": [1, 2, 4, 5],
        "reason": ["range of x", "range of x", "mad of y", "range of x"],
        "x": [1.0, 2.0, 3.0, np.nan],
    }  # fmt: skip
    pq.write_table(pa.table(gone), tmp_path / "discarded.parquet", row_group_size=2)
    return tmp_path


def test_images_by_group(beside: Path) -> None:
    found = read_images(beside / "images.parquet", ["BF"])
    assert found.groups == ["a", "b", "c"]
    assert found.images.tolist() == [30, 30, 30]
    assert found.failed.tolist() == [10, 10, 10]
    assert found.found.tolist() == [0, 20, 100]
    assert found.kept.tolist() == [0, 20, 10]
    assert found.empty.tolist() == [20, 0, 0]
    assert {n: int(c) for n, c in enumerate(found.counts) if c} == {0: 20, 1: 20, 5: 20}
    # Of images 0 to 9, six did not fail; of 0 to 39, 26.
    assert found.saturated["BF"].sum() == 6
    assert found.dark["BF"].sum() == 26
    assert found.measured.sum() == 60


def test_of_very_many_images_some_are_measured_and_all_counted(
    beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MEASURED", 45)
    found = read_images(beside / "images.parquet", ["BF"])
    assert found.images.sum() == 90
    # The first and the last third.
    assert found.measured.sum() == 40


def test_discarded_cells_and_where_they_were(beside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {"a": 0, "b": 1, "c": 2}
    where = beside / "images.parquet"
    found = read_discarded(beside / "discarded.parquet", codes, where)
    assert found.total == 4
    assert found.reasons == {"range of x": 3, "mad of y": 1}
    assert found.index.tolist() == [1, 61, 61, 89]
    assert found.group.tolist() == [1, 2, 2, 2]
    assert found.label.tolist() == [1, 2, 4, 5]
    assert np.array_equal(found.statistics["x"], [1, 2, 3, np.nan], equal_nan=True)
    monkeypatch.setattr(tables, "DISCARDED", 2)
    few = read_discarded(beside / "discarded.parquet", codes, where)
    assert (few.total, len(few.images)) == (4, 2)
    assert few.reasons == found.reasons


def test_failures_are_counted_and_the_first_are_listed(tmp_path: Path) -> None:
    rows = [(f"i{k}", "read" if k % 4 else "features", 'it\nis, "damaged"') for k in range(1500)]
    write_failures(tmp_path / "failures.csv", rows)
    found = read_failures(tmp_path / "failures.csv")
    assert found.total == 1500
    assert found.stages == {"read": 1125, "features": 375}
    assert len(found.rows) == LISTED
    assert found.rows[1] == ("i1", "read", rows[1][2])
