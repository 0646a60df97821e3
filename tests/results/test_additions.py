"""Columns added to a finished table: all of them or none, whenever the process ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from finished import make_out

from scip_mpi import disk
from scip_mpi.errors import UserError
from scip_mpi.results.additions import add_columns, changed
from scip_mpi.results.finished import open_part


@pytest.fixture
def table(tmp_path: Path) -> Path:
    X = np.arange(12, dtype=np.float32).reshape(6, 2)
    return make_out(tmp_path / "out", X) / "features.h5ad"


def test_anndata_reads_what_was_added_and_all_else_is_as_it_was(table: Path) -> None:
    before = anndata.read_h5ad(table)
    kinds = (np.array([0, 1, -1, 1, 0, 0]), ["b", "ä/ö"])
    share = np.array([0.5, -0.0, np.nan, 1, 0, 0.25], np.float32)
    add_columns(table, "trial", {"kind": kinds, "share": share}, {"why": "a test"})
    after = anndata.read_h5ad(table)
    assert list(after.obs.columns) == [*before.obs.columns, "kind", "share"]
    assert after.obs["kind"].astype(object).tolist() == ["b", "ä/ö", np.nan, "ä/ö", "b", "b"]
    np.testing.assert_array_equal(after.obs["share"], share)
    assert after.obs["share"].dtype == np.float32
    assert np.array_equal(after.X, before.X)
    assert after.obs[before.obs.columns].equals(before.obs)
    assert after.var.equals(before.var)
    assert open_part(table.parent).table == table
    assert sorted(p.name for p in table.parent.iterdir()) == ["features.h5ad", "run.json"]


def test_columns_take_the_place_of_those_of_the_same_command(table: Path) -> None:
    add_columns(table, "trial", {"one": np.arange(6), "two": np.ones(6)}, {})
    add_columns(table, "other", {"three": np.zeros(6)}, {})
    add_columns(table, "trial", {"two": np.full(6, 7.0)}, {})
    obs = anndata.read_h5ad(table).obs
    assert list(obs.columns)[-2:] == ["three", "two"]
    assert "one" not in obs
    assert obs["two"].tolist() == [7.0] * 6


def test_a_column_from_elsewhere_is_left_alone(table: Path) -> None:
    before = table.read_bytes()
    with pytest.raises(UserError, match="'object' already"):
        add_columns(table, "trial", {"object": np.arange(6)}, {})
    assert table.read_bytes() == before
    assert not list(table.parent.glob("*.adding"))


CUT_OFF = """
import os, sys
from pathlib import Path
from scip_mpi.results.additions import changed
with changed(Path(sys.argv[1])) as file:
    file["obs/object"][...] = -1
    del file["var"]
    file.flush()
    os._exit(9)
"""


def test_a_process_that_is_killed_leaves_the_table_as_it_was(table: Path) -> None:
    before = table.read_bytes()
    done = subprocess.run([sys.executable, "-c", CUT_OFF, str(table)], timeout=60)
    assert done.returncode == 9
    assert table.read_bytes() == before
    assert open_part(table.parent).table == table
    # What it left is no obstacle.
    add_columns(table, "trial", {"one": np.arange(6)}, {})
    assert anndata.read_h5ad(table).obs["one"].tolist() == [0, 1, 2, 3, 4, 5]
    assert not list(table.parent.glob("*.adding"))


def test_a_disk_that_fails_leaves_the_table_as_it_was(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = table.read_bytes()

    def full(path: Path, final: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk, "replace", full)
    with pytest.raises(OSError, match="No space"):
        add_columns(table, "trial", {"one": np.arange(6)}, {})
    assert table.read_bytes() == before
    assert not list(table.parent.glob("*.adding"))


def test_two_commands_do_not_add_at_once(table: Path) -> None:
    with changed(table) as file:
        file["obs/object"][0] = 5
        with pytest.raises(UserError, match="by another command"):
            add_columns(table, "trial", {"one": np.arange(6)}, {})
    with h5py.File(table) as file:
        assert file["obs/object"][0] == 5


def test_the_copy_is_whole_without_the_systems_own_copying(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*arguments: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", no)
    before = anndata.read_h5ad(table)
    add_columns(table, "trial", {"one": np.arange(6)}, {})
    after = anndata.read_h5ad(table)
    assert np.array_equal(after.X, before.X)
    assert list(after.obs.columns) == [*before.obs.columns, "one"]
