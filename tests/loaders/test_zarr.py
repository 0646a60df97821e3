"""SCIP's zarr layout: pixels equal numcodecs' own decoding, damage stays with its images."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numcodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from scip_mpi.errors import UserError
from scip_mpi.loaders import zarr, zarr_array
from scip_mpi.loaders.contract import References

U2 = np.dtype(np.uint16)
ZERO = np.zeros(1, np.int64)


def write_array(path, images, chunk=4, compressor=None, dtype="<u2", **changes):
    """SCIP's layout, made with numcodecs."""
    path.mkdir(parents=True)
    filters = [{"id": "vlen-array", "dtype": dtype}]
    head = {
        "chunks": [chunk],
        "compressor": compressor,
        "dtype": "|O",
        "fill_value": 0,
        "filters": filters,
        "order": "C",
        "shape": [len(images)],
        "zarr_format": 2,
        **changes,
    }
    (path / ".zarray").write_text(json.dumps(head))
    attributes = {
        "object_number": [7 * i for i in range(len(images))],
        "shape": [list(i.shape) for i in images],
    }
    (path / ".zattrs").write_text(json.dumps(attributes))
    vlen = numcodecs.VLenArray(dtype)
    for k in range(0, len(images), chunk):
        items = np.empty(chunk, object)
        for j in range(chunk):
            items[j] = (
                images[k + j].ravel() if k + j < len(images) else np.empty(0, np.dtype(dtype))
            )
        data = vlen.encode(items)
        if compressor:
            data = numcodecs.get_codec(dict(compressor)).encode(data)
        (path / str(k // chunk)).write_bytes(bytes(data))
    return path


def ragged(n, channels=3, dtype=np.uint16, seed=0):
    rng = np.random.default_rng(seed)
    return [
        rng.integers(0, 4096, (channels, *rng.integers(5, 20, 2))).astype(dtype) for _ in range(n)
    ]


def everything(path, channels=None, dtype=U2, **kwargs):
    catalog = zarr.discover([str(path)], **kwargs)
    return zarr.read(catalog.references(0, len(catalog)), channels, np.dtype(dtype))


def test_scips_own_example(shared_dir):
    root = shared_dir / "data" / "scip_tests" / "test.zarr"
    catalog = zarr.discover([str(root.parent)])
    assert catalog.names == ["test.zarr"]
    assert len(catalog) == 10
    assert catalog.image_names([0, 9]) == ["test.zarr#0", "test.zarr#9"]
    attributes = json.loads((root / ".zattrs").read_text())
    assert catalog.numbers["object_number"].tolist() == attributes["object_number"]
    assert catalog.numbers["zarr_idx"].tolist() == list(range(10))
    codes, values = catalog.metadata["path"]
    assert [values[c] for c in codes] == [str(root)] * 10
    assert catalog.sizes.tolist() == [sum(f.stat().st_size for f in root.iterdir())]
    items = []
    for k in "01":
        data = numcodecs.Blosc().decode((root / k).read_bytes())
        items += list(numcodecs.VLenArray("<u2").decode(data))
    batch, failures = zarr.read(catalog.references(0, 10), None, U2)
    assert not failures
    assert batch.shapes.tolist() == attributes["shape"]
    for i, item in enumerate(items):
        np.testing.assert_array_equal(batch.image(i).ravel(), item)
    batch, _ = zarr.read(catalog.references(4, 7), [6, 2], U2)
    assert batch.index.tolist() == [4, 5, 6]
    shape = attributes["shape"][5]
    np.testing.assert_array_equal(batch.image(1), items[5].reshape(shape)[[6, 2]])
    info = zarr.probe((catalog.files[0],), 5)
    assert info.shape == tuple(shape)
    assert info.dtype == U2


def test_jurkat_cells_equal_their_tiffs(shared_dir):
    folder = shared_dir / "reference" / "jurkat_scip"
    pattern = r"sample(?P<group>[0-9])_part(?P<part>[0-9])\.zarr$"
    catalog = zarr.discover([f"{folder}/sample0_part1.zarr/"], regex=pattern)
    assert catalog.groups == ["0"]
    assert catalog.metadata["part"][1] == ["1"]
    assert catalog.group.tolist() == [0] * 60
    batch, failures = zarr.read(catalog.references(0, 60), [0, 1, 2], U2)
    assert not failures
    with open(folder / "files.csv") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(batch) == 60
    for i, row in enumerate(rows):
        expected = tifffile.imread(shared_dir / "data" / "jurkat_ifc" / row["file"])
        np.testing.assert_array_equal(batch.image(i), expected)


def test_names_of_the_published_config(tmp_path):
    names = ["sample1_early_part2_x.zarr", "sample3_part1_y.zarr", "sample3_part1.tmp.zarr/in.zarr"]
    for name in names[:2]:
        write_array(tmp_path / name, ragged(3))
    pattern = r"sample(?P<group>[0-9])_?(?P<fix>(early|late))?_part(?P<part>[0-9]).+.zarr$"
    catalog = zarr.discover([str(tmp_path)], regex=pattern)
    assert catalog.names == names[:2]
    assert [catalog.groups[g] for g in catalog.group] == ["1"] * 3 + ["3"] * 3
    assert catalog.metadata["fix"][0].tolist() == [0, 0, 0, -1, -1, -1]
    assert catalog.within.tolist() == [0, 1, 2, 0, 1, 2]
    with pytest.raises(UserError, match="'zarr_idx' here: the zarr format has a column"):
        zarr.discover([str(tmp_path)], regex="(?P<zarr_idx>x)")


@pytest.mark.parametrize(
    "compressor",
    [
        None,
        {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0},
        {"id": "blosc", "cname": "zstd", "clevel": 3, "shuffle": 2, "blocksize": 0},
        {"id": "zlib", "level": 1},
        {"id": "gzip", "level": 1},
        {"id": "zstd", "level": 1},
        {"id": "lz4", "acceleration": 1},
    ],
    ids=lambda c: str(c and (c["id"], c.get("cname"))),
)
@pytest.mark.parametrize("dtype", ["<u2", ">u2", "|u1", "<f4", ">i4"])
def test_compressors_and_types(tmp_path, compressor, dtype):
    images = ragged(10, dtype=dtype)
    path = write_array(tmp_path / "a.zarr", images, 4, compressor, dtype)
    assert zarr.probe((str(path),), 0).dtype == np.dtype(dtype).newbyteorder("=")
    batch, failures = everything(path, dtype=np.dtype(dtype).newbyteorder("="))
    assert not failures
    assert len(batch) == 10
    for got, image in zip(batch, images, strict=True):
        np.testing.assert_array_equal(got, image)


def test_each_chunk_is_decompressed_once(tmp_path, monkeypatch):
    path = write_array(tmp_path / "a.zarr", ragged(20), 5, {"id": "zlib", "level": 1})
    (path / "2").write_bytes(b"broken")
    asked = []
    original = zarr_array.decompress
    monkeypatch.setattr(
        zarr_array, "decompress", lambda *args: asked.append(len(args[1])) or original(*args)
    )
    batch, failures = everything(path)
    assert len(asked) == 4
    assert len(batch) == 15
    assert [f.index for f in failures] == [10, 11, 12, 13, 14]


def test_a_broken_chunk_fails_its_images_only(tmp_path):
    blosc = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    images = ragged(12)
    for compressor in (blosc, {"id": "zlib", "level": 1}, {"id": "zstd", "level": 1}, None):
        path = tmp_path / "a.zarr"
        write_array(path, images, 4, compressor)
        whole = (path / "1").read_bytes()
        for data in (b"", b"xx", whole[:15], whole[: len(whole) // 2], whole[:-1], None):
            if data is None:
                (path / "1").unlink()
            else:
                (path / "1").write_bytes(data)
            batch, failures = everything(path)
            assert [f.index for f in failures] == [4, 5, 6, 7]
            assert batch.index.tolist() == [0, 1, 2, 3, 8, 9, 10, 11]
            for f in failures:
                assert f.error.startswith(f"{path}: chunk 1 is ")
                assert f.error.count(str(path)) == 1
        shutil.rmtree(path)


def test_random_damage_raises_nothing(tmp_path):
    blosc = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    path = write_array(tmp_path / "a.zarr", ragged(8), 8, blosc)
    whole = np.frombuffer((path / "0").read_bytes(), np.uint8)
    rng = np.random.default_rng(3)
    for k in range(200):
        hit = whole.copy()
        hit[rng.integers(0, 64 if k % 2 else len(hit), 3)] = rng.integers(0, 256, 3)
        (path / "0").write_bytes(hit.tobytes())
        batch, failures = everything(path)
        assert len(batch) + len(failures) == 8


def test_shapes_that_do_not_fit_the_pixels(tmp_path):
    images = ragged(6)
    path = write_array(tmp_path / "a.zarr", images)
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["shape"][2] = [3, 1000, 1000]
    (path / ".zattrs").write_text(json.dumps(attributes))
    batch, failures = everything(path)
    assert [f.index for f in failures] == [2]
    assert "its shape (3, 1000, 1000) in .zattrs has another number" in failures[0].error
    assert len(batch) == 5


def test_channels_types_and_windows(tmp_path):
    path = write_array(tmp_path / "a.zarr", ragged(3))
    batch, failures = everything(path, channels=[0, 5])
    assert len(batch) == 0
    assert failures[1].error == f"{path}: has 3 channels, so none with index 5"
    batch, failures = everything(path, dtype=np.uint8)
    assert "uint16 pixels, which do not fit the run's uint8; set load.dtype" in failures[0].error
    batch, failures = everything(path, dtype=np.float32)
    assert not failures
    assert batch.pixels.dtype == np.float32
    catalog = zarr.discover([str(path)])
    whole, _ = zarr.read(catalog.references(0, 3), None, U2)
    part, _ = zarr.read(catalog.references(0, 3), None, U2, window=(1, 2, 4, 5))
    np.testing.assert_array_equal(part.image(2), whole.image(2)[:, 1:4, 2:5])
    with pytest.raises(UserError, match="neither z nor t"):
        zarr.read(catalog.references(0, 3), None, U2, t=0)


def test_infinite_pixels(tmp_path):
    images = ragged(3, dtype=np.float32)
    images[1][0, 0, 0] = np.inf
    path = write_array(tmp_path / "a.zarr", images, dtype="<f4")
    batch, failures = everything(path, dtype=np.float32)
    assert batch.index.tolist() == [0, 2]
    assert "pixels are NaN or infinite" in failures[0].error


def test_a_pickle_is_never_opened(tmp_path):
    path = tmp_path / "a.zarr"
    for changes in (
        {"filters": [{"id": "pickle", "protocol": 5}]},
        {"filters": [{"id": "vlen-array", "dtype": "<u2"}, {"id": "pickle"}]},
        {"compressor": {"id": "pickle"}},
    ):
        write_array(path, ragged(2), **changes)
        with pytest.raises(UserError, match="pickle"):
            zarr.discover([str(path)])
        batch, failures = zarr.read(
            References(
                [(str(path),)], np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, "i4")
            ),
            None,
            U2,
        )
        assert len(batch) == 0
        assert "pickle" in failures[0].error
        shutil.rmtree(path)


def test_other_layouts_are_named(tmp_path):
    def complaint():
        with pytest.raises(UserError) as caught:
            zarr.discover([str(tmp_path)])
        return str(caught.value)

    assert "holds no *.zarr folders" in complaint()
    path = tmp_path / "a.zarr"
    path.mkdir()
    assert "its .zarray cannot be read: No such file" in complaint()
    (path / ".zarray").write_text("{")
    assert "its .zarray is no JSON" in complaint()
    (path / ".zarray").write_text("[]")
    assert "its .zarray is no JSON object" in complaint()
    (path / ".zarray").write_text('{"dtype": "<u2", "shape": [4, 3, 9, 9]}')
    assert "is not SCIP's layout" in complaint()
    (path / ".zgroup").write_text("{}")
    assert "OME-Zarr" in complaint()
    (path / "zarr.json").write_text("{}")
    assert "version 3" in complaint()
    shutil.rmtree(path)
    write_array(path, ragged(3))
    (path / ".zattrs").write_text('{"shape": [[1, 2, 2]]}')
    assert ".zarray has 3 images in chunks of 4, .zattrs has 1 shapes" in complaint()
    (path / ".zattrs").write_text('{"shape": [[1, 2], [3], [4, 5, 6]]}')
    assert "are not as SCIP writes them" in complaint()
    (path / ".zattrs").write_text("{}")
    assert "are not as SCIP writes them" in complaint()
    shutil.rmtree(path)
    write_array(path, [])
    assert "holds no images" in complaint()
    with pytest.raises(UserError, match="cannot be read: Not a directory"):
        zarr.discover([os.fspath(path / ".zarray")])


def test_without_numcodecs(tmp_path, monkeypatch):
    path = write_array(tmp_path / "a.zarr", ragged(2))
    catalog = zarr.discover([str(path)])
    monkeypatch.setitem(sys.modules, "numcodecs", None)
    with pytest.raises(UserError, match=r"pip install scip_mpi\[zarr\]"):
        zarr.discover([str(path)])
    with pytest.raises(UserError, match=r"pip install scip_mpi\[zarr\]"):
        zarr.read(catalog.references(0, 2), None, U2)


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=6
    ),
    dtype=st.sampled_from(["<u1", "<u2", "<f4"]),
    compressor=st.sampled_from([None, {"id": "zlib", "level": 1}, {"id": "blosc", "cname": "lz4"}]),
    chunk=st.integers(1, 4),
    damage=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 10**6), st.integers(0, 255)), max_size=3
    ),
)
def test_any_array_is_images_and_failures(shapes, dtype, compressor, chunk, damage):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 100, s).astype(dtype) for s in shapes]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.zarr"
        write_array(path, images, chunk, compressor, dtype)
        for number, place, value in damage:
            file = path / str(number % -(-len(images) // chunk))
            data = bytearray(file.read_bytes())
            data[place % len(data)] = value
            file.write_bytes(data)
        batch, failures = everything(path, dtype=np.dtype(dtype))
        assert len(batch) + len(failures) == len(images)
        if not damage:
            for found, image in zip(batch, images, strict=True):
                np.testing.assert_array_equal(found, image)
