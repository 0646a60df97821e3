"""The recipes for the table in other libraries, as the site has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from finished import make_out
from launch import documented_block
from sklearn.decomposition import PCA

from scip_mpi.export.write import Request, export
from scip_mpi.results import parquet


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray[Any, Any]:
    """Two groups of other brightness in the folder `table`, where the recipes look."""
    rng = np.random.default_rng(0)
    X = rng.normal(50, 3, (41, 5)).astype(np.float32)
    X[20:] += 200
    X[0, 1] = np.nan
    X[:, 2] = 7
    make_out(tmp_path / "table", X, groups=["p1"] * 20 + ["p2"] * 21,
             failed=np.arange(41) == 40)  # fmt: skip
    monkeypatch.chdir(tmp_path)
    return X


def test_robust_z_scores_within_groups(table: np.ndarray[Any, Any]) -> None:
    # As a run notes it.
    with h5py.File("table/features.h5ad", "r+") as file:
        file["var/n_nan"][...] = [0, 1, 0, 0, 0]
        file["var/constant"][...] = [False, False, True, False, False]
    scope: dict[str, Any] = {}
    exec(documented_block("1.4826"), scope)
    found = scope["table"]
    assert found.shape == (40, 3)
    frame = pd.DataFrame(table[:40][:, [0, 3, 4]])
    group = np.repeat([0, 1], 20)
    middle = frame.groupby(group).transform("median")
    spread = 1.4826 * (frame - middle).abs().groupby(group).transform("median")
    np.testing.assert_allclose(found.X, ((frame - middle) / spread).clip(-10, 10), rtol=1e-4)
    # The groups lie on top of each other afterwards.
    parts = PCA(2).fit_transform(found.X)
    assert abs(np.median(parts[:20, 0]) - np.median(parts[20:, 0])) < 2


def test_a_gate_leads_back_to_its_cells(table: np.ndarray[Any, Any]) -> None:
    list(export(Request(Path("table"), fcs=True, folder=Path("."), quiet=True)))
    Path("fcs/p2.fcs").rename("gated.fcs")
    scope: dict[str, Any] = {}
    exec(documented_block("flowio"), scope)
    assert scope["cells"].index.tolist() == [f"{i}_1" for i in range(20, 41)]
    assert (scope["cells"]["group"] == "p2").all()


def test_pandas_reads_the_parquet(table: np.ndarray[Any, Any]) -> None:
    parquet.export(Path("table/features.h5ad"), Path("table/features.parquet"), ["li"])
    found = pd.read_parquet("table/features.parquet")
    assert found["meta_group"].tolist() == ["p1"] * 20 + ["p2"] * 21
    np.testing.assert_array_equal(found["feat_li_mean1_DNA"], table[:, 1])
