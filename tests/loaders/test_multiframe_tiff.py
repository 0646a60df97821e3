"""Multi-page TIFFs: pixels equal tifffile's, and broken files are failures, each by itself."""

from __future__ import annotations

import csv
import logging
import os
import struct
import tempfile
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scip_mpi.errors import UserError
from scip_mpi.loaders import gather, multiframe_tiff, plain_tiff, tiff_file
from scip_mpi.loaders.contract import References

RNG = np.random.default_rng(7)
CELL = RNG.integers(0, 4096, (3, 21, 34)).astype(np.uint16)


def references(*paths) -> References:
    n = len(paths)
    return References(
        [(os.fspath(p),) for p in paths],
        np.zeros(n, np.int64),
        np.arange(100, 100 + n),
        np.zeros(n, np.int32),
    )


def read(*paths, channels=None, dtype=np.uint16, **kwargs):
    return multiframe_tiff.read(references(*paths), channels, np.dtype(dtype), **kwargs)


def only_failure(path, **kwargs) -> str:
    """The message for one broken file among good ones, which must all be there."""
    good = path.with_name("good.tiff")
    tifffile.imwrite(good, CELL, photometric="minisblack")
    batch, failures = read(good, path, good, **kwargs)
    assert batch.index.tolist() == [100, 102]
    assert [f.index for f in failures] == [101]
    assert failures[0].stage == "read"
    message = failures[0].error
    assert message.count(str(path)) == 1
    assert "\n" not in message
    assert "Traceback" not in message
    assert len(message) < len(str(path)) + 260
    return message.removeprefix(f"{path}: ")


def test_jurkat_cells(shared_dir):
    root = shared_dir / "data" / "jurkat_ifc"
    catalog = multiframe_tiff.discover([str(root / "experiment1")])
    with open(root / "labels.csv") as stream:
        labels = {
            r["file"].removeprefix("experiment1/"): r["label"] for r in csv.DictReader(stream)
        }
    assert len(catalog) == 2050
    assert len(catalog.groups) == 7
    assert {
        n: catalog.groups[g] for n, g in zip(catalog.names, catalog.group, strict=True)
    } == labels
    batch, failures = multiframe_tiff.read(
        catalog.references(0, 2050), [0, 1, 2], np.dtype(np.uint16)
    )
    assert not failures
    assert batch.index.tolist() == list(range(2050))
    for i in range(0, 2050, 41):
        np.testing.assert_array_equal(batch.image(i), tifffile.imread(catalog.files[i]))
    info = multiframe_tiff.probe((catalog.files[0],), 0)
    assert info.shape == (3, 40, 40)
    assert info.dtype == np.uint16


def test_float_pages_with_negative_values(shared_dir):
    catalog = multiframe_tiff.discover([str(shared_dir / "data" / "scip_tests" / "images")])
    assert len(catalog) == 11
    assert catalog.groups == ["images"]
    batch, failures = multiframe_tiff.read(catalog.references(0, 11), [7, 0], np.dtype("f4"))
    assert not failures
    assert batch.pixels.min() < 0
    assert batch.pixels.dtype == np.float32
    for i, path in enumerate(catalog.files):
        np.testing.assert_array_equal(batch.image(i), tifffile.imread(path)[[7, 0]])
    assert len(set(map(tuple, batch.shapes.tolist()))) > 1


def test_colour_and_big_endian_fields(shared_dir):
    folder = shared_dir / "data" / "multichannel_fields"
    channels = set()
    for path in sorted(folder.glob("*.tif")):
        # libtiff is the judge: tifffile's imread takes a re-saved ImageJ file for contiguous.
        data = path.read_bytes()
        with tifffile.TiffFile(path) as tif:
            pages = [imagecodecs.tiff_decode(data, index=k) for k in range(len(tif.pages))]
        expected = np.moveaxis(pages[0], -1, 0) if pages[0].ndim == 3 else np.stack(pages)
        channels.add(len(expected))
        info = multiframe_tiff.probe((str(path),), 0)
        assert info.shape == expected.shape
        assert info.dtype.isnative
        batch, failures = read(path, dtype=info.dtype)
        assert not failures
        np.testing.assert_array_equal(batch.image(0), expected)
        assert batch.pixels.dtype.isnative
    assert channels == {1, 2, 3, 5}


LAYOUTS = [
    {},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": 2},
    {"compression": "zlib", "predictor": 2, "byteorder": ">"},
    {"byteorder": ">"},
    {"rowsperstrip": 1},
    {"rowsperstrip": 10, "compression": "zlib", "byteorder": ">"},
    {"rowsperstrip": 8, "compression": "zlib", "predictor": 2},
    {"compression": "lzw"},
    {"compression": "zstd"},
    {"compression": "packbits"},
    {"tile": (16, 16)},
    {"tile": (16, 16), "compression": "zlib"},
    {"bigtiff": True},
    {"planarconfig": "separate", "photometric": "rgb"},
    {"metadata": None},
    {"imagej": True},
]


# ImageJ knows three pixel types only.
CASES = [
    (layout, dtype)
    for layout in LAYOUTS
    for dtype in ("u1", "u2", "i2", "u4", "f4", "f8")
    if not layout.get("imagej") or dtype in ("u1", "u2", "f4")
]


@pytest.mark.parametrize(("layout", "dtype"), CASES, ids=str)
def test_every_layout_gives_the_pixels_written(tmp_path, layout, dtype):
    if "predictor" in layout and dtype[0] == "f":
        layout = {**layout, "predictor": 3}
    image = (RNG.integers(-9000, 9000, (3, 21, 34)) * 3.7).astype(dtype)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, image, **{"photometric": "minisblack", **layout})
    info = multiframe_tiff.probe((str(path),), 0)
    assert info.shape == image.shape
    assert info.dtype == np.dtype(dtype)
    for channels in (None, [2, 0]):
        batch, failures = read(path, channels=channels, dtype=dtype)
        assert not failures
        np.testing.assert_array_equal(batch.image(0), image if channels is None else image[[2, 0]])


def test_the_fast_reader_reads_what_it_is_meant_for(tmp_path):
    for k, layout in enumerate(LAYOUTS[:8]):
        path = tmp_path / f"{k}.tif"
        tifffile.imwrite(path, CELL, photometric="minisblack", **layout)
        assert plain_tiff.parse(np.fromfile(path, np.uint8)) is not None, layout


def test_interleaved_samples_and_pages_mix(tmp_path):
    path = tmp_path / "mixed.tif"
    rgb = RNG.integers(0, 255, (21, 34, 3)).astype(np.uint8)
    grey = RNG.integers(0, 255, (21, 34)).astype(np.uint8)
    with tifffile.TiffWriter(path) as tif:
        tif.write(rgb, photometric="rgb")
        tif.write(grey, photometric="minisblack")
    assert multiframe_tiff.probe((str(path),), 0).shape == (4, 21, 34)
    batch, failures = read(path, channels=[3, 1], dtype=np.uint8)
    assert not failures
    np.testing.assert_array_equal(batch.image(0), [grey, rgb[..., 1]])


def test_bits_and_types(tmp_path):
    bits = tmp_path / "bits.tif"
    black = RNG.random((21, 34)) > 0.5
    tifffile.imwrite(bits, black, photometric="minisblack")
    assert multiframe_tiff.probe((str(bits),), 0).dtype == np.uint8
    batch, failures = read(bits, dtype=np.uint8)
    assert not failures
    np.testing.assert_array_equal(batch.image(0)[0], black.astype(np.uint8))

    eight = tmp_path / "eight.tif"
    tifffile.imwrite(eight, CELL.astype(np.uint8), photometric="minisblack")
    for dtype in (np.uint16, np.float32):
        batch, failures = read(eight, dtype=dtype)
        assert not failures
        assert batch.pixels.dtype == dtype
        np.testing.assert_array_equal(batch.image(0), CELL.astype(np.uint8))


def test_window(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, CELL, photometric="minisblack")
    batch, _ = read(path, window=(2, 3, 12, 30))
    np.testing.assert_array_equal(batch.image(0), CELL[:, 2:12, 3:30])
    batch, failures = read(path, window=(2, 3, 22, 30))
    assert len(batch) == 0
    assert "does not hold the window" in failures[0].error
    with pytest.raises(UserError, match="neither z nor t"):
        read(path, z=1)


def test_an_empty_batch_has_the_type_of_the_run(tmp_path):
    batch, failures = read(tmp_path / "gone.tif", dtype=np.float32)
    assert len(batch) == 0
    assert batch.pixels.dtype == np.float32
    assert failures[0].error == f"{tmp_path}/gone.tif: No such file or directory"


def test_broken_files(tmp_path, caplog):
    whole = tmp_path / "whole.tiff"
    tifffile.imwrite(whole, CELL, photometric="minisblack", compression="zlib")
    data = whole.read_bytes()
    path = tmp_path / "broken.tiff"
    with caplog.at_level(logging.DEBUG, logger="tifffile"):
        path.write_bytes(b"")
        assert "empty (0 bytes)" in only_failure(path)
        path.write_text("no image at all\n")
        assert "not a TIFF file" in only_failure(path)
        path.write_bytes(data[:4])
        only_failure(path)
        path.unlink()
        path.mkdir()
        assert "directory" in only_failure(path)
        path.rmdir()
        # In the pixels of the last page, wherever the writer put the directories.
        with tifffile.TiffFile(whole) as tif:
            first, last = tif.pages[0].dataoffsets[0], tif.pages[-1].dataoffsets[0]
        path.write_bytes(data[: last + 10])
        only_failure(path, channels=[0, 1, 2])
        flipped = bytearray(data)
        flipped[first + 40 : first + 60] = b"\xff" * 20
        path.write_bytes(flipped)
        assert "cannot be decoded" in only_failure(path, channels=[0, 1, 2])
    assert not caplog.records


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "zstd"])
def test_truncated_anywhere_is_never_read_as_if_whole(tmp_path, compression):
    whole = tmp_path / "whole.tiff"
    tifffile.imwrite(whole, CELL, photometric="minisblack", compression=compression)
    data = whole.read_bytes()
    path = tmp_path / "cut.tiff"
    for size in range(0, len(data) - 1, 97):
        path.write_bytes(data[:size])
        batch, failures = read(path, channels=[0, 1, 2])
        if failures:
            assert len(batch) == 0
        else:
            np.testing.assert_array_equal(batch.image(0), CELL)


@pytest.mark.parametrize(("compression", "noticed"), [("zlib", 75), ("lzw", 30), ("zstd", 30)])
def test_random_damage_raises_nothing(tmp_path, compression, noticed):
    whole = tmp_path / "whole.tiff"
    tifffile.imwrite(whole, CELL, photometric="minisblack", compression=compression, metadata=None)
    data = np.frombuffer(whole.read_bytes(), np.uint8)
    path = tmp_path / "hit.tiff"
    rng = np.random.default_rng(1)
    failed = 0
    for _ in range(150):
        hit = data.copy()
        hit[rng.integers(0, len(hit), 6)] = rng.integers(0, 256, 6)
        hit[rng.integers(0, 300)] ^= 0x40
        path.write_bytes(hit.tobytes())
        batch, failures = read(path, channels=[0, 1, 2])
        assert len(batch) + len(failures) == 1
        failed += len(failures)
    assert failed > noticed


@pytest.mark.parametrize("compression", [1, 8])
def test_absurd_dimensions_allocate_nothing(tmp_path, compression):
    path = tmp_path / "huge.tif"
    tifffile.imwrite(
        path, CELL[0], photometric="minisblack", compression="zlib" if compression == 8 else None
    )
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        tags = tif.pages[0].tags
        for name in ("ImageWidth", "ImageLength", "RowsPerStrip"):
            struct.pack_into("<HI", data, tags[name].offset + 2, 4, 1)
            struct.pack_into("<I", data, tags[name].offset + 8, 200_000)
    path.write_bytes(data)
    message = only_failure(path, channels=[0])
    assert "truncated or broken: page 0 of 200000 x 200000 pixels takes 80,000,000,000" in message


@pytest.mark.parametrize("compression", [None, "zlib", "packbits"])
def test_an_image_beyond_memory_is_refused_with_advice(tmp_path, monkeypatch, compression):
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, CELL, photometric="minisblack", compression=compression)
    monkeypatch.setattr(gather, "machine_memory", lambda: gather.IMAGE_SHARE * (CELL.nbytes - 1))
    _, failures = read(path)
    assert "cut it into smaller ones" in failures[0].error
    monkeypatch.setattr(gather, "machine_memory", lambda: gather.IMAGE_SHARE * CELL.nbytes)
    assert not read(path)[1]


def test_an_absurd_strip_allocates_nothing(tmp_path):
    path = tmp_path / "strip.tif"
    tifffile.imwrite(path, CELL[0], photometric="minisblack", compression="zlib")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        tag = tif.pages[0].tags["StripByteCounts"]
        struct.pack_into("<HII", data, tag.offset + 2, 4, 1, 4_000_000_000)
    path.write_bytes(data)
    message = only_failure(path, channels=[0])
    assert "a strip or tile of page 0 is said to take 4,000,000,000 bytes" in message


def test_directories_in_a_circle(tmp_path):
    path = tmp_path / "circle.tif"
    tifffile.imwrite(path, CELL, photometric="minisblack")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        at = [page.offset for page in tif.pages]
    tags = struct.unpack_from("<H", data, at[2])[0]
    for to, message in ((at[2], "after page 2"), (at[0], "")):
        struct.pack_into("<I", data, at[2] + 2 + 12 * tags, to)
        path.write_bytes(data)
        assert message in only_failure(path)
        with pytest.raises(UserError, match=r"broken|decoded"):
            multiframe_tiff.probe((str(path),), 0)


def test_channels_that_are_not_there(tmp_path):
    path = tmp_path / "two.tif"
    tifffile.imwrite(path, CELL[:2], photometric="minisblack")
    message = only_failure(path, channels=[0, 2])
    assert message == "has 2 channels, so none with index 2"
    assert only_failure(path) == "has 2 channels, the others have 3"


def test_pages_that_differ(tmp_path):
    path = tmp_path / "pyramid.tif"
    with tifffile.TiffWriter(path) as tif:
        tif.write(CELL[0], photometric="minisblack")
        tif.write(CELL[1], photometric="minisblack")
        tif.write(CELL[0, ::2, ::2], photometric="minisblack")
    assert "page 2 is 11 x 17 pixels, page 0 is 21 x 34" in only_failure(path)
    batch, failures = read(path, channels=[1, 0])
    assert not failures
    np.testing.assert_array_equal(batch.image(0), CELL[[1, 0]])


def test_pixels_that_do_not_fit_the_run(tmp_path):
    path = tmp_path / "float.tif"
    image = CELL.astype(np.float32)
    tifffile.imwrite(path, image, photometric="minisblack")
    message = only_failure(path)
    assert message == (
        "has float32 pixels, which do not fit the run's uint16; set load.dtype to float32"
    )
    image[1, 0, 0] = np.nan
    image[2, 3, 4] = -np.inf
    tifffile.imwrite(path, image, photometric="minisblack")
    _, failures = read(path, dtype=np.float32)
    assert "2 of 2142 pixels are NaN or infinite" in failures[0].error
    _, failures = read(path, dtype=np.float32, channels=[0])
    assert not failures
    tifffile.imwrite(path, image.astype(np.complex64), photometric="minisblack")
    assert "pixels of type complex64" in only_failure(path)


def test_out_of_memory_is_one_images_failure(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, CELL, photometric="minisblack")

    def full(*_):
        raise MemoryError

    monkeypatch.setattr(tiff_file, "_decode_plain", full)
    _, failures = read(path)
    assert failures[0].error == f"{path}: not enough memory to decode it"


def test_probe_of_a_broken_file(tmp_path):
    path = tmp_path / "a.tif"
    path.write_text("text")
    with pytest.raises(UserError, match=r"a\.tif: cannot be decoded \(not a TIFF file"):
        multiframe_tiff.probe((str(path),), 0)
    path.write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        multiframe_tiff.probe((str(path),), 0)
    tifffile.imwrite(path, CELL[0], photometric="minisblack", planarconfig="contig")
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        struct.pack_into("<I", data, tif.pages[0].tags["ImageWidth"].offset + 8, 0)
    path.write_bytes(data)
    with pytest.raises(UserError, match="has no pixels"):
        multiframe_tiff.probe((str(path),), 0)
    with pytest.raises(UserError, match="gone: No such file"):
        multiframe_tiff.probe((str(tmp_path / "gone"),), 0)


def test_a_count_of_channels_that_differs_is_a_failure(tmp_path):
    path = tmp_path / "five.tif"
    tifffile.imwrite(path, np.ones((5, 8, 8), np.uint16), photometric="minisblack")
    catalog = multiframe_tiff.discover([str(path)])
    part = catalog.references(0, 1)
    batch, failures = multiframe_tiff.read(part, [0, 1], np.dtype("u2"), of=3)
    assert len(batch) == 0
    assert "has 5 channels, the first image has 3" in failures[0].error
    batch, failures = multiframe_tiff.read(part, [0, 1], np.dtype("u2"), of=5)
    assert not failures
    assert batch.shapes.tolist() == [[2, 8, 8]]


@settings(max_examples=60, deadline=None)
@given(
    shape=hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9),
    dtype=st.sampled_from(["u1", "u2", "i2", "u4", "f4", "f8"]),
    compression=st.sampled_from([None, "zlib", "lzw", "zstd"]),
    damage=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=3),
    cut=st.one_of(st.none(), st.integers(0, 10**6)),
)
def test_any_file_is_an_image_or_a_failure(shape, dtype, compression, damage, cut):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 100, shape).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.tif"
        with tifffile.TiffWriter(path) as writer:
            for plane in image:
                writer.write(plane, photometric="minisblack", compression=compression)
        if not damage and cut is None:
            batch, failures = read(path, dtype=dtype)
            assert not failures
            np.testing.assert_array_equal(batch.image(0), image)
            return
        data = bytearray(path.read_bytes())
        for place, value in damage:
            data[place % len(data)] = value
        path.write_bytes(data if cut is None else data[: cut % len(data)])
        batch, failures = read(path, dtype=dtype)
        assert len(batch) + len(failures) == 1
