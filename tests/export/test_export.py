"""A finished table in the forms of other programs, read back by those programs' libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import flowio
import h5py
import numpy as np
import pandas as pd
import pytest
from finished import make_out
from launch import scip

from scip_mpi.errors import UserError
from scip_mpi.export import aggregate
from scip_mpi.export.fcs import ROW_BASE, choose, short_names, write_fcs
from scip_mpi.export.groups import group_rows
from scip_mpi.export.write import Request, export

WELLS = ["A01", "A02", "A01", "B01", "A02", "A01", "A01"]
PLATES = ["p2", "p1", "p2", "p1", "p1", "p1", "p2"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray[Any, Any]]:
    """Seven cells in scattered wells, values missing here and there, one well without any."""
    rng = np.random.default_rng(0)
    X = rng.normal(100, 20, (7, 5)).astype(np.float32)
    X[0, 1] = X[5, 2] = np.nan
    X[2, 3] = np.inf
    X[3, 4] = np.nan
    folder = tmp_path_factory.mktemp("export")
    out = make_out(folder / "out", X, text={"well": WELLS, "plate": PLATES})
    return out, X


def test_groups_are_in_order_of_their_values(table: tuple[Path, np.ndarray[Any, Any]]) -> None:
    with h5py.File(table[0] / "features.h5ad") as file:
        found = group_rows(file, ["plate", "well"])
        assert found.values == [("p1", "A01"), ("p1", "A02"), ("p1", "B01"), ("p2", "A01")]
        assert [found.rows(k).tolist() for k in range(4)] == [[5], [1, 4], [3], [0, 2, 6]]
        by_number = group_rows(file, ["object"])
        assert by_number.values == [("1",)]
        with pytest.raises(UserError, match="no column 'wel'; did you mean 'well'"):
            group_rows(file, ["wel"])


# pandas', of the well without a value.
@pytest.mark.filterwarnings("ignore:Mean of empty slice")
def test_wells_are_summed_up_as_pandas_does(
    table: tuple[Path, np.ndarray[Any, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, X = table
    # A few columns at a time, fewer for a well of many cells.
    monkeypatch.setattr(aggregate, "VALUES", 6)
    lines = list(export(Request(out, aggregate=("plate, well",), folder=tmp_path, quiet=True)))
    assert lines == [f"aggregate: {tmp_path / 'aggregate_plate_well.csv'} (4 rows)"]
    found = pd.read_csv(tmp_path / "aggregate_plate_well.csv").set_index(["plate", "well"])
    names = anndata.read_h5ad(out / "features.h5ad").var_names
    frame = pd.DataFrame(np.where(np.isfinite(X), X, np.nan).astype(float), columns=names)
    groups = frame.groupby([PLATES, WELLS])
    assert found["cells"].tolist() == [1, 2, 1, 3]
    for name in names:
        for word, wanted in (
            ("median", groups[name].median()),
            ("mean", groups[name].mean()),
            ("mad", groups[name].apply(lambda v: (v - v.median()).abs().median())),
            ("count", groups[name].count()),
        ):
            np.testing.assert_allclose(found[f"{word}_{name}"], wanted, rtol=1e-12)


def test_the_csv_is_the_table(table: tuple[Path, np.ndarray[Any, Any]], tmp_path: Path) -> None:
    out, X = table
    done = scip("export", out, "--csv", "-o", tmp_path, "-q")
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "features.csv")
    whole = anndata.read_h5ad(out / "features.h5ad")
    assert found["obs_name"].tolist() == whole.obs_names.tolist()
    assert found["meta_well"].tolist() == WELLS
    values = found[list(whole.var_names)].to_numpy(np.float32)
    np.testing.assert_array_equal(values, X)
    again = scip("export", out, "--csv", "-o", tmp_path, "-q")
    assert again.returncode == 2
    assert "--overwrite replaces it" in again.stderr


def test_flow_cytometry_gets_a_file_per_group(
    table: tuple[Path, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    out, X = table
    request = Request(out, fcs=True, by=("plate",), folder=tmp_path, quiet=True)
    lines = list(export(request))
    assert "2 files, 9 parameters" in lines[0]
    assert "4 missing values are 0" in lines[1]
    seen: list[int] = []
    for plate in ("p1", "p2"):
        data = flowio.FlowData(tmp_path / "fcs" / f"{plate}.fcs")
        short = [c["pnn"] for c in data.channels.values()]
        whole = [c["pns"] for c in data.channels.values()]
        assert short[:2] == ["ROW_HIGH", "ROW_LOW"]
        assert whole[2:] == ["object", "failed", *(f"feat_li_mean{j}_{('BF', 'DNA')[j % 2]}"
                             for j in range(5))]  # fmt: skip
        assert data.text["plate"] == plate
        events = np.reshape(data.events, (-1, data.channel_count))
        rows = (events[:, 0] * ROW_BASE + events[:, 1]).astype(int)
        assert [PLATES[r] for r in rows] == [plate] * len(rows)
        np.testing.assert_array_equal(events[:, 4:], np.where(np.isfinite(X), X, 0)[rows])
        for j, channel in enumerate(data.channels, start=1):
            assert float(data.text[f"p{j}r"]) > events[:, channel - 1].max()
        seen += rows.tolist()
    assert sorted(seen) == list(range(7))


def test_a_group_too_large_for_memory_gets_several_files(
    table: tuple[Path, np.ndarray[Any, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scip_mpi.export.fcs.VALUES", 12)
    with h5py.File(table[0] / "features.h5ad") as file:
        columns = choose(file, ["feat_li_mean[01]_*", "object"])
        paths, _ = write_fcs(file, columns, ["group"], tmp_path, False, lambda n: None)
    # Three columns and two of the row: two cells at a time.
    assert [p.name for p in paths] == ["a_1.fcs", "a_2.fcs", "a_3.fcs", "a_4.fcs"]
    assert [flowio.FlowData(p).event_count for p in paths] == [2, 2, 2, 1]


def test_rows_beyond_what_floats_hold_are_told_by_two() -> None:
    rows = np.array([16_777_217, 99_999_999, 100_000_000])
    high, low = (part.astype(np.float32) for part in np.divmod(rows, ROW_BASE))
    assert (high.astype(int) * ROW_BASE + low.astype(int)).tolist() == rows.tolist()


def test_short_names_are_unique() -> None:
    names = [f"feat_li_bgcorr_edge_quantile_{k}_CD45,A" for k in range(12)] + ["feat_a/b", "a,b"]
    found = short_names(names)
    assert len(set(found)) == len(names)
    assert max(map(len, found)) <= 20
    assert found[0] == "li_bgcorr_edge_quant"
    assert found[11].endswith("~12")
    assert found[-2:] == ["a_b", "a_b~2"]


def test_parameters_are_at_most_200(tmp_path: Path) -> None:
    names = [f"CH{c}" for c in range(12)]
    out = make_out(tmp_path / "out", np.ones((2, 300), np.float32), channels=names)
    with h5py.File(out / "features.h5ad") as file:
        with pytest.raises(UserError, match="chooses 300 columns; a FCS file takes 198"):
            choose(file, ["feat_*"])
        with pytest.raises(UserError, match="--columns nothing"):
            choose(file, ["nothing"])
        assert len(choose(file, ["feat_*_CH3"])) == 25
    with h5py.File(out / "features.h5ad", "r+") as file:
        # Real names: `mean` is wanted, what is not in the list is not.
        node = file["var/feature"]
        del node["categories"], node["codes"]
        node["categories"] = [f"{s}_{c}" for s in ("odd", "mean") for c in names]
        node["codes"] = np.array([j % 12 + (12 if j < 24 else 0) for j in range(300)])
    with h5py.File(out / "features.h5ad") as file:
        assert choose(file, []) == [f"feat_li_mean{j}_CH{j % 12}" for j in range(24)]


def test_what_cannot_be_exported_is_said(
    table: tuple[Path, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="say what to export"):
        list(export(Request(table[0], quiet=True)))
    with pytest.raises(UserError, match="holds no table of a run"):
        list(export(Request(tmp_path, csv=True, quiet=True)))
    odd = make_out(
        tmp_path / "odd", np.ones((2, 1), np.float32), text={"donor": ["a b", "a/b"]}
    )  # fmt: skip
    with pytest.raises(UserError, match=r"share the file a_b\.fcs"):
        list(export(Request(odd, fcs=True, by=("donor",), quiet=True)))
