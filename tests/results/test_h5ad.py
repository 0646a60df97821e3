"""The table opens in anndata, and holds what was given, whichever writer filled it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import anndata
import h5py
import numpy as np
import pytest
from h5ad_files import make_file

from scip_mpi import disk
from scip_mpi.results.h5ad import ObsRows, TableSpec
from scip_mpi.results.writers import (
    DatasetLayout,
    PosixSink,
    SharedFileSink,
    Writer,
    to_table_floats,
)


class FakeHandle:
    """A file shared by ranks, as MPI gives it."""

    def __init__(self, path: Path) -> None:
        self.file = os.open(path, os.O_WRONLY)
        self.calls: list[str] = []

    def write_at(self, offset: int, buffer: np.ndarray) -> None:
        assert buffer.dtype == np.uint8
        assert buffer.flags.c_contiguous
        self.calls.append("write_at")
        assert os.pwrite(self.file, buffer, offset) == buffer.nbytes

    def sync(self) -> None:
        self.calls.append("sync")

    def close(self) -> None:
        self.calls.append("close")
        os.close(self.file)


STAINS = ["no", "yes"]


def spec_of(rows: int, columns: int) -> TableSpec:
    return TableSpec(
        n_rows=rows,
        var_names=[f"feat_li_f{j}" for j in range(columns)],
        categoricals={"image": rows, "stain": STAINS},
        noted={"object": np.int64, "filter_sum": np.float64, "discarded": np.bool_},
        filled={"failed": np.bool_, "li_bbox_minr": np.int64, "li_regions_BF": np.int64},
        var={
            "family": ["shape"] * columns,
            "mask_set": ["li"] * columns,
            "definition": [f"Definition {j}, in µm." for j in range(columns)],
        },
        uns={"config": "load: ...", "run": "{}"},
    )


def images_of(rows: int) -> list[str]:
    return [f"a b/{i}é.tif" for i in range(rows)]


def obs_of(rows: int) -> ObsRows:
    rng = np.random.default_rng(rows)
    image = np.arange(rows, dtype=np.int64) // 2
    return ObsRows(
        start=0,
        image=image,
        label=np.arange(rows, dtype=np.int64) % 2 + 1,
        codes={"image": image, "stain": rng.integers(-1, 2, rows)},
        noted={
            "object": np.arange(rows),
            "filter_sum": rng.random(rows),
            "discarded": rng.random(rows) > 0.5,
        },
        spatial=rng.random((rows, 2)),
    )


def make(path: Path, spec: TableSpec) -> dict[str, DatasetLayout]:
    return make_file(path, spec, obs_of(spec.n_rows), {"image": images_of(spec.n_rows)})


def rows_of(spec: TableSpec) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    X = rng.standard_normal((spec.n_rows, len(spec.var_names)))
    X[rng.random(X.shape) < 0.1] = np.nan
    return {
        "X": to_table_floats(X)[0],
        "obs/failed": rng.random(spec.n_rows) > 0.7,
        "obs/li_bbox_minr": rng.integers(-1, 50, spec.n_rows),
        "obs/li_regions_BF": rng.integers(0, 3, spec.n_rows),
    }


def fill(writer, rows: dict[str, np.ndarray], step: int) -> None:
    """Blocks of rows, last first, as ranks may finish them."""
    size = len(rows["X"])
    for lo in reversed(range(0, size, step)):
        for name, values in rows.items():
            writer.put(name, lo, values[lo : lo + step])
    writer.finalize()


@pytest.mark.parametrize(("rows", "columns"), [(11, 5), (0, 5), (3, 0), (0, 0), (1, 1)])
@pytest.mark.parametrize("backed", [None, "r"])
def test_anndata_reads_what_was_written(
    rows: int, columns: int, backed: str | None, tmp_path: Path
) -> None:
    spec, path = spec_of(rows, columns), tmp_path / "t.h5ad.partial"
    layout = make(path, spec)
    given = rows_of(spec)
    fill(Writer(layout, PosixSink(path)), given, 4)
    disk.replace(path, tmp_path / "t.h5ad")
    assert not path.exists()

    table = anndata.read_h5ad(tmp_path / "t.h5ad", backed=backed)
    assert table.shape == (rows, columns)
    X = table.X[:] if backed else table.X
    assert X.dtype == np.float32
    assert X.tobytes() == given["X"].tobytes()
    assert table.obs_names.tolist() == [f"{i // 2}_{i % 2 + 1}" for i in range(rows)]
    assert table.var_names.tolist() == list(spec.var_names)
    obs = obs_of(rows)
    for name, categories in {"image": images_of(rows), "stain": STAINS}.items():
        codes, column = obs.codes[name], table.obs[name]
        assert column.dtype == "category"
        want = [None if c < 0 else categories[c] for c in codes]
        assert [None if v != v else v for v in column.tolist()] == want
    assert table.obs["object"].tolist() == list(range(rows))
    assert table.obs["filter_sum"].to_numpy().tobytes() == obs.noted["filter_sum"].tobytes()
    for name in ("discarded", "failed"):
        assert table.obs[name].dtype == bool
    assert table.obs["failed"].tolist() == given["obs/failed"].tolist()
    assert table.obs["li_bbox_minr"].tolist() == given["obs/li_bbox_minr"].tolist()
    assert np.array_equal(table.obsm["spatial"], obs.spatial)
    assert table.var["definition"].astype(str).tolist() == list(spec.var["definition"])
    assert dict(table.uns["scip_mpi"]) == spec.uns
    if backed:
        table.file.close()


def test_every_node_carries_its_encoding(tmp_path: Path) -> None:
    make(tmp_path / "t.h5ad", spec_of(4, 3))
    bare = []

    def look(name: str, node: object) -> None:
        if not {"encoding-type", "encoding-version"} <= set(node.attrs):  # type: ignore[attr-defined]
            bare.append(name)

    with h5py.File(tmp_path / "t.h5ad") as file:
        look("/", file)
        file.visititems(look)
        assert {"layers", "obsm", "obsp", "uns", "varm", "varp"} <= set(file)
    assert bare == []


def test_anndata_itself_writes_the_same_structure(tmp_path: Path) -> None:
    """Kinds and versions of every node, compared with a file that anndata wrote from ours."""
    spec = spec_of(4, 3)
    fill(
        Writer(make(tmp_path / "a.h5ad", spec), PosixSink(tmp_path / "a.h5ad")),
        rows_of(spec),
        2,
    )
    anndata.read_h5ad(tmp_path / "a.h5ad").write_h5ad(tmp_path / "b.h5ad")

    def structure(path: Path) -> dict[str, tuple]:
        found = {}
        with h5py.File(path) as file:
            file.visititems(
                lambda name, node: found.update(
                    {name: (node.attrs["encoding-type"], node.attrs["encoding-version"])}
                )
            )
        return found

    ours, theirs = structure(tmp_path / "a.h5ad"), structure(tmp_path / "b.h5ad")
    # anndata makes categoricals of repeated text in var, and nothing else of our nodes.
    for name, kind in ours.items():
        assert theirs.get(name) in (kind, ("categorical", "0.2.0")), name


def test_where_the_rows_go(tmp_path: Path) -> None:
    spec = spec_of(1000, 7)
    layout = make(tmp_path / "t.h5ad", spec)
    assert list(layout) == [
        "X",
        "obs/failed",
        "obs/li_bbox_minr",
        "obs/li_regions_BF",
    ]
    assert layout["X"].offset % 4096 == 0
    assert layout["X"].shape == (1000, 7)
    with h5py.File(tmp_path / "t.h5ad") as file:
        for name, place in layout.items():
            dataset = file[name]
            assert dataset.id.get_offset() == place.offset
            assert dataset.dtype == np.dtype(place.dtype)
            assert dataset.chunks is None
            end = place.offset + dataset.size * dataset.dtype.itemsize
            assert end <= os.path.getsize(tmp_path / "t.h5ad")


def test_seven_thousand_columns(tmp_path: Path) -> None:
    spec = spec_of(3, 7000)
    layout = make(tmp_path / "t.h5ad", spec)
    rows = rows_of(spec)
    fill(Writer(layout, PosixSink(tmp_path / "t.h5ad")), rows, 2)
    assert anndata.read_h5ad(tmp_path / "t.h5ad").X.tobytes() == rows["X"].tobytes()


def test_all_writers_give_the_same_bytes(tmp_path: Path) -> None:
    spec = spec_of(9, 4)
    rows = rows_of(spec)
    for name in ("posix", "shared"):
        layout = make(tmp_path / name, spec)
        if name == "posix":
            fill(Writer(layout, PosixSink(tmp_path / name)), rows, 4)
        else:
            handle = FakeHandle(tmp_path / name)
            fill(Writer(layout, SharedFileSink(handle)), rows, 2)
            assert handle.calls[-2:] == ["sync", "close"]
            # The file of a rank without rows is closed with the others'.
            idle = FakeHandle(tmp_path / name)
            Writer(layout, SharedFileSink(idle)).finalize()
            assert idle.calls == ["sync", "close"]
    with h5py.File(tmp_path / "posix") as a, h5py.File(tmp_path / "shared") as b:
        for dataset in layout:
            assert a[dataset][()].tobytes() == b[dataset][()].tobytes()


@pytest.mark.parametrize(
    ("name", "row", "block", "words"),
    [
        ("X", 3, np.zeros((2, 4), np.float32), "do not fit"),
        ("X", -1, np.zeros((1, 4), np.float32), "do not fit"),
        ("X", 0, np.zeros((1, 3), np.float32), "do not fit"),
        ("X", 0, np.zeros((1, 4), np.float64), "do not fit"),
        ("obs/failed", 0, np.zeros(1, np.uint8), "do not fit"),
    ],
)
def test_what_does_not_belong_is_not_written(
    name: str, row: int, block: np.ndarray, words: str, tmp_path: Path
) -> None:
    layout = make(tmp_path / "t.h5ad", spec_of(4, 4))
    before = (tmp_path / "t.h5ad").read_bytes()
    handle = FakeHandle(tmp_path / "t.h5ad")
    for writer in (
        Writer(layout, PosixSink(tmp_path / "t.h5ad")),
        Writer(layout, SharedFileSink(handle)),
    ):
        with pytest.raises(ValueError, match=words):
            writer.put(name, row, block)
        writer.finalize()
    assert (tmp_path / "t.h5ad").read_bytes() == before


def test_the_one_rounding() -> None:
    payload = np.array([0x7FF8000000000123, 0xFFF8000000000000], np.uint64).view(np.float64)
    x = np.array([[1.1, -0.0, 1e39, -1e300, np.inf, -1e-60, *payload]])
    rounded, overflows = to_table_floats(x)
    assert rounded.dtype == np.float32
    assert overflows == 2
    want = np.array([1.1, 0.0, np.inf, -np.inf, np.inf, 0.0, np.nan, np.nan], np.float32)
    assert rounded[0].view(np.uint32).tolist() == want.view(np.uint32).tolist()
    assert to_table_floats(np.empty((0, 3)))[0].shape == (0, 3)
    assert to_table_floats(np.array([[3.4e38]]))[1] == 0


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    broken = os.fsdecode(b"caf\xe9.tif")
    for categories, texts in ((1, {"image": [broken]}), ([broken], {})):
        spec = replace(spec_of(1, 1), categoricals={"image": categories})
        obs = replace(obs_of(1), codes={"image": np.zeros(1, np.int64)})
        make_file(tmp_path / "t.h5ad", spec, obs, texts)
        table = anndata.read_h5ad(tmp_path / "t.h5ad")
        assert table.obs["image"].tolist() == ["caf\\xe9.tif"]


def test_noted_floats_are_canonical_too(tmp_path: Path) -> None:
    negative_nan = np.array([0xFFF8000000000000], np.uint64).view(np.float64)
    spec = replace(spec_of(1, 1), noted={"filter_sum": np.float64})
    obs = replace(obs_of(1), noted={"filter_sum": negative_nan}, spatial=np.array([[-0.0, 1.0]]))
    make_file(tmp_path / "t.h5ad", spec, obs, {})
    with h5py.File(tmp_path / "t.h5ad") as file:
        assert file["obs/filter_sum"][()].tobytes() == np.array([np.nan]).tobytes()
        assert file["obsm/spatial"][()].tobytes() == np.array([0.0, 1.0]).tobytes()
