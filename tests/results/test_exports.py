"""Parquet holds the table's bits; the tables beside it survive any name."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from h5ad_files import make_file

from scip_mpi.results import parquet
from scip_mpi.results.h5ad import ObsRows, TableSpec
from scip_mpi.results.tables import ParquetRows, mark, write_failures
from scip_mpi.results.writers import PosixSink, Writer, to_table_floats

SETS = ["li", "li", "otsu", "raw"]
FEATURES = ["feat_li_area", "feat_li_sum_BF", "feat_otsu_area", "feat_raw_mean_BF"]


def make_table(path: Path, rows: int) -> np.ndarray:
    rng = np.random.default_rng(rows)
    spec = TableSpec(
        n_rows=rows,
        var_names=FEATURES,
        # A category per row, and one whose codes go back and forth.
        categoricals={"image": rows, "group": ["a", "b", "c"]},
        noted={"object": np.int64, "filter_sum": np.float64},
        filled={
            "failed": np.bool_,
            "li_regions_BF": np.int64,
            "otsu_regions_BF": np.int64,
            "spot_regions_BF": np.int64,
            "li_bbox_minr": np.int64,
        },
        var={"mask_set": SETS},
        uns={},
    )
    obs = ObsRows(
        start=0,
        image=np.arange(rows),
        label=np.ones(rows, np.int64),
        codes={"image": np.arange(rows), "group": rng.integers(-1, 3, rows)},
        noted={"object": np.arange(rows), "filter_sum": rng.random(rows)},
        spatial=rng.random((rows, 2)),
    )
    layout = make_file(path, spec, obs, {"image": [f"i{i}" for i in range(rows)]})
    X = rng.standard_normal((rows, len(FEATURES)))
    X[rng.random(X.shape) < 0.2] = np.nan
    writer = Writer(layout, PosixSink(path))
    writer.put("X", 0, to_table_floats(X)[0])
    for name in spec.filled:
        dtype = np.dtype(layout[f"obs/{name}"].dtype)
        writer.put(f"obs/{name}", 0, rng.integers(0, 2, rows).astype(dtype))
    writer.finalize()
    return to_table_floats(X)[0]


@pytest.mark.parametrize("rows", [0, 1, 10, 23, 40, 97])
def test_the_same_bits_in_blocks(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X = make_table(tmp_path / "t.h5ad", rows)
    monkeypatch.setattr(parquet, "BLOCK", 10)
    monkeypatch.setattr(parquet, "PART", 40 * 4 * (1 + 9 + len(FEATURES)))
    folder, beside = tmp_path / "cells.parquet", tmp_path / "in_threads.parquet"
    parquet.export(tmp_path / "t.h5ad", folder)
    parquet.export(tmp_path / "t.h5ad", beside, threads=3)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in beside.iterdir()
    }
    parts = sorted(folder.iterdir())
    assert [p.name for p in parts] == [f"part-{k:06d}.parquet" for k in range(len(parts))]
    files = [pq.ParquetFile(p) for p in parts]
    assert [f.metadata.num_rows for f in files[:-1]] == [40] * max((rows - 1) // 40, 0)
    assert [f.num_row_groups for f in files] == [-(-f.metadata.num_rows // 10) for f in files]

    table = pq.read_table(folder)
    assert table.column_names[-4:] == FEATURES
    assert table["obs_name"].to_pylist() == [f"{i}_1" for i in range(rows)]
    for j, name in enumerate(FEATURES):
        column = table[name].to_numpy()
        assert column.dtype == np.float32
        assert table[name].null_count == 0
        assert column.tobytes() == X[:, j].tobytes()
    with h5py.File(tmp_path / "t.h5ad") as file:
        for name in ("failed", "li_bbox_minr", "filter_sum", "object"):
            assert table[f"meta_{name}"].to_pylist() == file["obs"][name][()].tolist()
        codes = file["obs/group/codes"][()]
    names = np.array(["a", "b", "c", None])
    assert table["meta_group"].to_pylist() == names[codes].tolist()
    assert table["meta_image"].to_pylist() == [f"i{i}" for i in range(rows)]


AWKWARD = [
    "plain.tif",
    'say "hi", now.tif',
    "two\nlines.tif",
    "carriage\rreturn.tif",
    "naïve/µ.tif",
    os.fsdecode(b"caf\xe9.tif"),
]


def test_failures_survive_any_name(tmp_path: Path) -> None:
    path = tmp_path / "failures.csv"
    errors = [f"{name}: cannot be read" for name in AWKWARD]
    write_failures(path, list(zip(AWKWARD, ["read"] * 6, errors, strict=True)))
    with path.open(newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    assert [r["image"] for r in rows[:5]] == AWKWARD[:5]
    assert rows[5] == {
        "image": "caf\\xe9.tif",
        "stage": "read",
        "error": "caf\\xe9.tif: cannot be read",
    }
    write_failures(path, [])
    assert path.read_bytes() == b"image,stage,error\r\n"


def write_parquet(path: Path, columns: dict[str, object]) -> None:
    """All rows in two blocks, the second of which is empty."""
    file = ParquetRows(path)
    file.write(columns)
    file.write({name: values[:0] for name, values in columns.items()})
    file.close()


def test_rows_are_marked_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "images.parquet"
    file = ParquetRows(path)
    for names in (["a", "b", "c"], ["d"], ["e", "f"]):
        file.write(
            {"image": names, "failed": np.zeros(len(names), bool), "kept": np.ones(len(names))}
        )
    file.close()
    before = pq.read_table(path)
    mark(path, "failed", [1, 3, 5])
    after = pq.read_table(path)
    assert after.schema == before.schema
    assert after["failed"].to_pylist() == [False, True, False, True, False, True]
    assert after.drop_columns("failed") == before.drop_columns("failed")
    assert [p.name for p in tmp_path.iterdir()] == ["images.parquet"]


@pytest.mark.parametrize("rows", [0, 6])
def test_tables_have_their_types_with_and_without_rows(rows: int, tmp_path: Path) -> None:
    names = AWKWARD[:rows]
    write_parquet(
        tmp_path / "images.parquet",
        {
            "image": names,
            "group": ["g"] * rows,
            "found": np.arange(rows),
            "kept": np.zeros(rows, np.int64),
            "failed": np.zeros(rows, bool),
            "focus_BF": np.full(rows, np.nan),
        },
    )
    table = pq.read_table(tmp_path / "images.parquet")
    kinds = ["string", "string", "int64", "int64", "bool", "double"]
    assert [str(t) for t in table.schema.types] == kinds
    assert table.num_rows == rows
    assert table["image"].to_pylist()[:5] == names[:5]

    columns = {
        "image": names,
        "object": np.arange(rows),
        "reason": ["mad of sum"] * rows,
        "statistic": np.full(rows, 2.5),
    }
    write_parquet(tmp_path / "discarded.parquet", columns)
    table = pq.read_table(tmp_path / "discarded.parquet")
    assert [str(t) for t in table.schema.types] == ["string", "int64", "string", "double"]
    assert table["statistic"].to_numpy().tobytes() == np.full(rows, 2.5).tobytes()
