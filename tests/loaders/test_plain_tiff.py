"""The fast reader of plain TIFF files against tifffile: the same pixels, or no answer."""

from __future__ import annotations

import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile

from scip_mpi.loaders import plain_tiff, tiff_file
from scip_mpi.loaders.gather import GrowingBatch
from scip_mpi.loaders.large_tiff import LargeFile

RNG = np.random.default_rng(5)


def decoded(path: Path, chosen: list[int] | None = None) -> np.ndarray | None:
    """The pages that the fast reader gives, shape (C, H, W), of whole files and of large ones."""
    image = pages_of(np.fromfile(path, np.uint8), chosen, None)
    with path.open("rb") as file:
        large = LargeFile(file.fileno(), path.stat().st_size)
        other = pages_of(large.data, chosen, large.read)
    assert (image is None) == (other is None)
    if image is not None:
        np.testing.assert_array_equal(image, other)
    return image


def pages_of(data: np.ndarray, chosen: list[int] | None, read) -> np.ndarray | None:
    pages = plain_tiff.parse(data)
    if pages is None:
        return None
    chosen = list(range(len(pages))) if chosen is None else chosen
    if not pages.alike(chosen):
        return None
    out = np.empty((len(chosen), *pages.shape(chosen[0])), pages.dtype(chosen[0]))
    return out if pages.decode(data, chosen, out, read) else None


def expected(path: Path) -> list[np.ndarray]:
    with tiff_file.quiet(), tifffile.TiffFile(path) as tif:
        return [page.asarray() for page in tif.pages]


def write(path: Path, planes, **settings) -> Path:
    with tifffile.TiffWriter(
        path, bigtiff=settings.pop("bigtiff", False), byteorder=settings.pop("byteorder", "<")
    ) as tif:
        for plane in planes:
            tif.write(plane, photometric="minisblack", metadata=None, **settings)
    return path


def test_every_tiff_of_the_real_data(shared_dir):
    paths = [
        p for folder in ("data", "reference") for p in sorted((shared_dir / folder).rglob("*"))
        if p.suffix.lower() in (".tif", ".tiff")
    ]  # fmt: skip
    fast = 0
    for path in paths:
        image = decoded(path)
        if image is None:
            continue
        fast += 1
        pages = expected(path)
        assert len(pages) == len(image)
        for ours, theirs in zip(image, pages, strict=True):
            assert ours.dtype == theirs.dtype.newbyteorder("=")
            np.testing.assert_array_equal(ours, theirs)
    assert fast > 0.98 * len(paths) > 2000


PACKINGS = (None, "zlib", "lzw", "zstd")
DTYPES = ("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("packing", PACKINGS, ids=str)
def test_every_layout_is_read_and_as_tifffile_does(tmp_path, packing, byteorder, dtype):
    smooth = np.cumsum(RNG.integers(-3, 4, (3, 13, 29)), axis=2) * 7.3
    planes = np.stack([smooth[0], smooth[1], RNG.integers(-30000, 30000, (13, 29))]).astype(dtype)
    predictors = (1, 2) if packing and dtype[0] != "f" else (1,)
    for predictor, rows, bigtiff in itertools.product(predictors, (1, 5, 13, 100), (False, True)):
        path = write(
            tmp_path / "x.tif",
            planes,
            compression=packing,
            predictor=predictor if packing else None,
            rowsperstrip=rows,
            byteorder=byteorder,
            bigtiff=bigtiff,
        )
        image = decoded(path)
        assert image is not None, (predictor, rows, bigtiff)
        np.testing.assert_array_equal(image, planes)
        np.testing.assert_array_equal(image, expected(path))
        np.testing.assert_array_equal(decoded(path, [2, 0]), planes[[2, 0]])


def test_pages_stored_in_different_ways(tmp_path):
    planes = RNG.integers(0, 60000, (5, 8, 9)).astype(np.uint16)
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as tif:
        for k, plane in enumerate(planes):
            packing = (None, "zlib", "lzw", "zstd", "zlib")[k]
            tif.write(plane, photometric="minisblack", compression=packing,
                      predictor=2 if k in (2, 4) else None)  # fmt: skip
    for chosen in ([0, 1, 2, 3, 4], [4, 0], [3], [2, 2, 0]):
        np.testing.assert_array_equal(decoded(path, chosen), planes[chosen])


def test_many_pages_and_strips(tmp_path):
    planes = RNG.integers(0, 255, (150, 30, 7)).astype(np.uint8)
    path = write(tmp_path / "x.tif", planes, rowsperstrip=1)
    np.testing.assert_array_equal(decoded(path), planes)
    # Room for more pages than a file has is used again for the next.
    reader = tiff_file.TiffReader()
    few = write(tmp_path / "few.tif", planes[:2])
    for file, n in ((path, 150), (few, 2), (path, 150)):
        image = reader.decode(str(file), lambda available: list(range(available)))
        np.testing.assert_array_equal(image, planes[:n])


@pytest.mark.parametrize(
    "settings",
    [
        {"tile": (16, 16)},
        {"compression": "packbits"},
        {"compression": "zlib", "predictor": 3, "dtype": "f4"},
        {"dtype": "f2"},
        {"dtype": "u8"},
        {"photometric": "rgb", "shape": (8, 9, 3), "dtype": "u1"},
    ],
    ids=str,
)
def test_what_is_not_plain_is_left_to_the_general_reader(tmp_path, settings):
    dtype = settings.pop("dtype", "u2")
    plane = RNG.integers(0, 200, settings.pop("shape", (8, 9))).astype(dtype)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, plane, **{"photometric": "minisblack", **settings})
    assert decoded(path) is None


def test_a_wrong_checksum_is_noticed(tmp_path):
    plane = RNG.integers(0, 60000, (40, 40)).astype(np.uint16)
    path = write(tmp_path / "x.tif", [plane], compression="zlib")
    with tifffile.TiffFile(path) as tif:
        start, count = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    data = bytearray(path.read_bytes())
    strip = bytes(data[start : start + count])
    assert zlib.decompress(strip) == plane.tobytes()
    for change in (count - 1, count - 4):
        data[start + change] ^= 1
        path.write_bytes(data)
        assert decoded(path) is None
        data[start + change] ^= 1
    # A strip that breaks off, or holds more than its rows.
    for other in (plane[:30], np.vstack([plane, plane])):
        packed = zlib.compress(other.tobytes(), 9)
        changed = data[:start] + packed.ljust(count, b"\0") + data[start + count :]
        if len(packed) > count:
            continue
        path.write_bytes(changed)
        assert decoded(path) is None


def test_lzw_of_old_writers_is_left_to_the_general_reader(tmp_path):
    plane = np.zeros((4, 4), np.uint8)
    path = write(tmp_path / "x.tif", [plane], compression="lzw")
    with tifffile.TiffFile(path) as tif:
        start = tif.pages[0].dataoffsets[0]
    data = bytearray(path.read_bytes())
    assert data[start] == 0x80
    data[start : start + 2] = b"\x00\x01"
    path.write_bytes(data)
    assert decoded(path) is None


@pytest.mark.parametrize("bigtiff", [False, True])
def test_no_byte_of_the_headers_can_make_it_read_beyond_the_file(tmp_path, bigtiff):
    planes = RNG.integers(0, 60000, (2, 6, 5)).astype(np.uint16)
    path = write(tmp_path / "x.tif", planes, bigtiff=bigtiff, compression="lzw", rowsperstrip=2)
    data = np.fromfile(path, np.uint8)
    for at in range(len(data)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            hit = data.copy()
            hit[at] = value
            pages = plain_tiff.parse(hit)
            if pages is None:
                continue
            for page in range(len(pages)):
                lo = pages.pages[page, 8]
                strips = pages.strips[lo : lo + pages.pages[page, 9]]
                assert (strips > 0).all()
                assert (strips.sum(axis=1) <= len(hit)).all()
    for size in range(len(data)):
        assert plain_tiff.parse(data[:size].copy()) is None or size > 100


def test_directories_in_a_circle(tmp_path):
    path = write(tmp_path / "x.tif", np.zeros((2, 4, 4), np.uint8))
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        first, last = tif.pages[0].offset, tif.pages[1].offset
    tags = struct.unpack_from("<H", data, last)[0]
    struct.pack_into("<I", data, last + 2 + 12 * tags, first)
    assert plain_tiff.parse(np.frombuffer(data, np.uint8).copy()) is None


def test_a_growing_batch_takes_images_of_any_size():
    sizes = [(1, 1), (40, 30), (2, 3), (100, 90), (1, 7), (5, 5)]
    images = [RNG.integers(0, 60000, (2, *s)).astype(np.uint16) for s in sizes]
    growing = GrowingBatch(np.dtype(np.uint16), len(images))
    for i, image in enumerate(images):
        if i % 3:
            room = growing.empty(image.shape, image.dtype)
            room[:] = image
            growing.add(room, 10 + i)
        else:
            # Room that was asked for, but not used.
            growing.empty((2, 50, 50), image.dtype)
            growing.add(image, 10 + i)
    batch = growing.batch()
    assert batch.index.tolist() == [10, 11, 12, 13, 14, 15]
    for ours, image in zip(batch, images, strict=True):
        np.testing.assert_array_equal(ours, image)
    assert growing.empty((1, 2, 2), np.dtype("f4")).dtype == np.float32
    empty = GrowingBatch(np.dtype(np.uint8), 3).batch()
    assert (len(empty), empty.pixels.dtype) == (0, np.uint8)


def test_room_for_images_to_come_is_bounded():
    growing = GrowingBatch(np.dtype(np.uint8), 10**9)
    growing.add(np.zeros((1, 1000, 1000), np.uint8), 0)
    assert growing.pixels.nbytes < 100 << 20
