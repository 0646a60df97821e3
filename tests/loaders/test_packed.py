"""Shards: what is packed comes back bit for bit, whatever is read of it, and damage has a name."""

from __future__ import annotations

import builtins
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pictures import discover, groups, read, texts

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.loaders import packed, shard
from scip_mpi.loaders.companions import read_companions
from scip_mpi.loaders.shard import Channels, Columns
from scip_mpi.loaders.shard_writer import ShardWriter
from scip_mpi.loaders.texts import Texts

U2 = np.dtype(np.uint16)


def images_of(sizes: list[tuple[int, int]], channels: int = 3, dtype: object = U2, seed: int = 0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 60000, (channels, *size)).astype(dtype) for size in sizes]


def write(path: Path, images, names=None, parts=1, channels=None, **columns) -> Path:
    """A shard of images, in batches of two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(path, images[0].dtype if images else U2)
    for lo in range(0, len(images), 2):
        writer.add(ImageBatch.from_images(images[lo : lo + 2]))
    n = len(images)
    names = names or [f"{path.stem}/{i}.tif" for i in range(n)]
    given = {"group": (np.zeros(n, np.int32), ["all"]), **columns}
    writer.finish(Columns(Texts.of(names), **given), channels or Channels(), parts)
    return path


SIZES = [(4, 5), (1, 1), (7, 2), (3, 3), (6, 8)]


@pytest.fixture
def shards(tmp_path: Path):
    """Two shards, and the images in them."""
    one, two = images_of(SIZES), images_of(SIZES[:3], seed=1)
    write(tmp_path / "s" / "x_00000.h5", one, parts=2)
    write(tmp_path / "s" / "x_00001.h5", two, parts=2)
    return tmp_path / "s", one + two


def test_what_was_packed_comes_back(shards):
    folder, images = shards
    catalog = discover(packed, folder)
    assert catalog.names == [f"x_00000/{i}.tif" for i in range(5)] + [
        f"x_00001/{i}.tif" for i in range(3)
    ]
    assert catalog.image_names([7, 0]) == ["x_00001/2.tif", "x_00000/0.tif"]
    assert catalog.costs().tolist() == [i.nbytes for i in images]
    assert catalog.notes == []
    batch, failures = read(packed, catalog, U2)
    assert not failures
    for i, image in enumerate(images):
        np.testing.assert_array_equal(batch.image(i), image)
    info = packed.probe(catalog.references(2, 3).sources[0], int(catalog.within[2]))
    assert (info.shape, info.dtype) == ((3, 7, 2), U2)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_images_of_it(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any")
    shapes = data.draw(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1))
    dtype = data.draw(st.sampled_from(["u1", "u2", "i2", "u4", "f4", "f8"]))
    images = [data.draw(hnp.arrays(dtype, (2, *s), elements={"min_value": 0, "max_value": 99}))
              for s in shapes]  # fmt: skip
    write(folder / "a.h5", images)
    catalog = discover(packed, folder)
    rows = data.draw(st.lists(st.integers(0, len(images) - 1), min_size=1, unique=True))
    references = catalog.references(0, len(images)).take(rows)
    channels = data.draw(st.sampled_from([None, [0, 1], [1], [1, 0]]))
    wanted = data.draw(st.sampled_from([np.dtype(dtype), np.dtype(np.float64)]))
    batch, failures = packed.read(references, channels, wanted, of=2)
    assert not failures
    assert batch.index.tolist() == rows
    assert batch.pixels.dtype == wanted
    for k, row in enumerate(rows):
        expected = images[row] if channels is None else images[row][channels]
        np.testing.assert_array_equal(batch.image(k), expected)


def test_a_chunk_is_one_read_and_a_shard_is_opened_once(shards, monkeypatch):
    folder, images = shards
    catalog = discover(packed, folder)
    reads, opened = [], []
    preadv, opening = os.preadv, builtins.open
    monkeypatch.setattr(os, "preadv", lambda *a: reads.append(a) or preadv(*a))
    monkeypatch.setattr(builtins, "open", lambda *a, **k: opened.append(a) or opening(*a, **k))
    for lo, hi in ((0, 3), (3, 5), (5, 8)):
        packed.read(catalog.references(lo, hi), None, U2)
    assert len(reads) == 3
    assert len(opened) == 2
    # Some of a chunk: what lies between is read along, if it is not much.
    some = catalog.references(0, 5).take([0, 4])
    batch, _ = packed.read(some, [1], U2)
    np.testing.assert_array_equal(batch.image(1)[0], images[4][1])
    assert len(reads) == 4
    monkeypatch.setattr(packed, "GAP", 0)
    batch, _ = packed.read(some, [1], U2)
    np.testing.assert_array_equal(batch.image(1)[0], images[4][1])
    assert len(reads) == 6


def test_images_may_share_pixels(tmp_path):
    images = images_of(SIZES[:2])
    writer = ShardWriter(tmp_path / "a.h5", U2)
    writer.add(ImageBatch.from_images(images))
    shapes = np.array([i.shape for i in images], np.int64)
    rows = np.array([0, 1, 0, 0, 1])
    columns = Columns(Texts.of("abcde"), (np.zeros(5, np.int32), ["g"]))
    writer.finish(columns, Channels(), images=(np.array([0, images[0].size])[rows], shapes[rows]))
    batch, failures = read(packed, discover(packed, tmp_path), U2)
    assert not failures
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(batch.image(i), images[row])


def test_what_is_known_of_images_travels_with_them(tmp_path):
    images = images_of(SIZES[:3])
    write(
        tmp_path / "a.h5",
        images,
        ["a", "b\udcff", "é"],
        channels=Channels([1, 4, 7], ["BF", "DNA\n\udcff", "SSC"]),
        group=(np.array([1, 0, 1], np.int32), ["early", "late"]),
        metadata={"well": (np.array([0, -1, 1], np.int32), ["A01", "B02"])},
        numbers={"dose": np.array([0.5, np.nan, 2]), "cell": np.array([3, 1, 2])},
    )
    write(
        tmp_path / "b.h5",
        images[:2],
        ["c", "d"],
        channels=Channels([1, 4, 7], ["BF", "DNA\n\udcff", "SSC"]),
        group=(np.array([0, 0], np.int32), ["blank"]),
        metadata={"plate": (np.array([0, 0], np.int32), ["P"])},
        numbers={"cell": np.array([9, 8]), "site": np.array([5, 6])},
    )
    catalog = discover(packed, tmp_path)
    assert catalog.names == ["a", "b\udcff", "é", "c", "d"]
    assert (catalog.channels, catalog.channel_names) == ([1, 4, 7], ["BF", "DNA\n\udcff", "SSC"])
    assert catalog.groups == ["blank", "early", "late"]
    assert groups(catalog) == ["late", "early", "late", "blank", "blank"]
    assert texts(catalog, "well") == ["A01", None, "B02", None, None]
    assert texts(catalog, "plate") == [None, None, None, "P", "P"]
    np.testing.assert_array_equal(catalog.numbers["dose"], [0.5, np.nan, 2, np.nan, np.nan])
    assert catalog.numbers["cell"].tolist() == [3, 1, 2, 9, 8]
    assert catalog.numbers["site"].tolist() == [-1, -1, -1, 5, 6]


def test_a_companion_that_is_damaged_is_its_images_failure(tmp_path):
    images = images_of(SIZES[:3])
    planes = [np.arange(i[0].size).reshape(1, *i[0].shape) for i in images]
    writer = ShardWriter(tmp_path / "a.h5", U2)
    writer.add(ImageBatch.from_images(images), {"mask": ImageBatch.from_images(planes)})
    columns = Columns(Texts.of("abc"), (np.zeros(3, np.int32), ["g"]))
    writer.finish(columns, Channels(companions=["mask"]))

    def together():
        catalog = discover(packed, tmp_path)
        assert catalog.companions == ["mask"]
        references = catalog.references(0, 3)
        batch, failures = packed.read(references, None, U2)
        assert not failures
        return read_companions(references, batch, ["mask"])

    batch, named, failures = together()
    assert not failures
    for i, plane in enumerate(planes):
        np.testing.assert_array_equal(named["mask"].image(i), plane)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["companions/0/bytes"][file["companions/0/ends"][0] + 3] ^= 0xFF
    batch, named, failures = together()
    assert batch.index.tolist() == named["mask"].index.tolist() == [0, 2]
    assert "the companion mask is not whole" in failures[0].error


def test_any_hdf5_program_reads_a_shard(shards):
    folder, images = shards
    with h5py.File(folder / "x_00000.h5") as file:
        assert file["pixels"].chunks is None
        assert file["pixels"].compression is None
        at, shape = file["images/offset"][4], file["images/shape"][4]
        np.testing.assert_array_equal(
            file["pixels"][at : at + shape.prod()].reshape(shape), images[4]
        )
        ends = file["images/name/ends"][()]
        assert file["images/name/bytes"][ends[3] : ends[4]].tobytes() == b"x_00000/4.tif"


def test_pixels_that_do_not_fit(tmp_path):
    write(tmp_path / "a.h5", images_of(SIZES))
    catalog = discover(packed, tmp_path)
    _, failures = read(packed, catalog, np.uint8)
    assert "uint16 pixels, which do not fit the run's uint8" in failures[0].error
    assert len(failures) == 5
    _, failures = read(packed, catalog, U2, of=4)
    assert "has 3 channels, the first image has 4" in failures[0].error
    batch, failures = read(packed, catalog, U2, channels=[0, 3])
    assert "none with index 3" in failures[4].error
    assert batch.pixels.dtype == U2
    batch, failures = read(packed, catalog, U2, window=(0, 0, 3, 3))
    assert [f.index for f in failures] == [1, 2]
    assert batch.shapes.tolist() == [[3, 3, 3]] * 3


def test_floating_point_pixels_stay_finite(tmp_path):
    images = images_of(SIZES[:2], dtype=np.float32)
    images[1][0] = np.nan
    write(tmp_path / "a.h5", images)
    batch, failures = read(packed, discover(packed, tmp_path), np.float32)
    assert batch.index.tolist() == [0]
    assert "3 pixels are NaN" in failures[0].error


def test_a_shard_that_was_cut_off_or_replaced_after_the_listing(shards):
    folder, images = shards
    path = folder / "x_00000.h5"
    for change in ("truncated", "gone", "replaced", "no shard"):
        keep = folder.parent / "keep"
        shutil.copy(path, keep)
        catalog = discover(packed, folder)
        if change == "truncated":
            os.truncate(path, 5000)
        elif change == "gone":
            path.unlink()
        elif change == "replaced":
            write(path, images_of(SIZES, seed=3), parts=2)
        else:
            path.write_text("something else")
        batch, failures = read(packed, catalog, U2)
        assert batch.index.tolist() == [5, 6, 7]
        np.testing.assert_array_equal(batch.image(0), images[5])
        words = {"truncated": "is truncated", "gone": "No such file", "replaced": "was replaced",
                 "no shard": "is truncated, broken or no HDF5 file"}  # fmt: skip
        assert all(words[change] in f.error and str(path) in f.error for f in failures)
        with pytest.raises(UserError, match="x_00000"):
            packed.probe(catalog.references(0, 1).sources[0], int(catalog.within[0]))
        shutil.move(keep, path)


def test_pixels_cut_off_while_the_shard_is_open(shards):
    folder, _ = shards
    catalog = discover(packed, folder)
    packed.read(catalog.references(0, 1), None, U2)
    os.truncate(folder / "x_00000.h5", 4200)
    batch, failures = read(packed, catalog, U2)
    assert batch.index.tolist() == [5, 6, 7]
    assert "is truncated: pixels are missing" in failures[0].error


def test_files_that_are_no_shards(tmp_path):
    def refused(message: str) -> None:
        with pytest.raises(UserError, match=message):
            discover(packed, tmp_path)

    refused(r"holds no \*\.h5 shards")
    path = tmp_path / "a.h5"
    path.write_bytes(b"text")
    refused("a.h5: is truncated, broken or no HDF5 file")
    with h5py.File(path, "w") as file:
        file["X"] = 3
    refused("a.h5: is no file that `scip_mpi pack` made")
    write(path, images_of(SIZES))
    with h5py.File(path, "r+") as file:
        file["images/offset"][4] = 10**6
    refused("a.h5: is a broken shard: its index does not fit its pixels")
    with h5py.File(path, "r+") as file:
        del file["images/group"]
        file["images/offset"][4] = 0
    refused("a.h5: is a broken shard")
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = 2
    refused("is of version 2 of the format, this program reads 1")
    write(path, [])
    refused("a.h5 holds no images")


def test_shards_that_do_not_go_together(tmp_path):
    images = images_of(SIZES)
    write(tmp_path / "a.h5", images, channels=Channels([0, 1, 2]))
    write(tmp_path / "b.h5", images, channels=Channels([1, 2, 3]))
    with pytest.raises(UserError, match=r"b\.h5 has other channels, or companions, than .*a\.h5"):
        discover(packed, tmp_path)
    write(tmp_path / "b.h5", images, [f"a/{4 - i}.tif" for i in range(5)],
          channels=Channels([0, 1, 2]))  # fmt: skip
    with pytest.raises(UserError, match=r"the image 'a/4\.tif' is in .*a\.h5 and in .*b\.h5"):
        discover(packed, tmp_path)


def test_a_set_that_is_not_whole_is_noted(shards):
    folder, _ = shards
    (folder / "x_00000.h5").unlink()
    assert discover(packed, folder).notes == [f"{folder}/x_*.h5: 1 of 2 shards are here"]


def test_the_same_images_give_the_same_bytes(tmp_path):
    images = images_of(SIZES)
    one, two = (write(tmp_path / n / "a.h5", images).read_bytes() for n in "12")
    assert one == two
    assert not list(tmp_path.rglob("*.frame"))
    assert shard.PAGE % np.dtype(np.float64).itemsize == 0
