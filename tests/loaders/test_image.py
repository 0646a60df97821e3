"""Pictures: pixels as Pillow decodes them, alpha left out, broken files named."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import skimage.io
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pictures import discover, groups, read, texts, touch
from PIL import Image

from scip_mpi.errors import UserError
from scip_mpi.loaders import image
from scip_mpi.loaders.picture import WHOLE

NOISE = np.random.default_rng(5).integers(0, 256, (13, 17, 4)).astype(np.uint8)
# Smooth, so that JPEG has something to keep.
RAMP = np.add.outer(np.arange(40), 3 * np.arange(50)).astype(np.uint8)


def planes(pixels: np.ndarray) -> np.ndarray:
    """Channels first."""
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def encoded(picture: Image.Image, kind: str, **kwargs: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **kwargs)
    return stream.getvalue()


def one(path: Path, expected: np.ndarray) -> None:
    """A file is read as these planes, and its shape known."""
    catalog = discover(image, path)
    info = image.probe((str(path),), WHOLE)
    assert info.shape == expected.shape
    assert info.dtype == expected.dtype
    batch, failures = read(image, catalog, expected.dtype)
    assert not failures
    np.testing.assert_array_equal(batch.image(0), expected)


RGB = Image.fromarray(NOISE[..., :3])
PALETTE = RGB.quantize(16)
PICTURES = {
    "grey.png": (Image.fromarray(NOISE[..., 0]), "PNG", {}, "L"),
    "bits.png": (Image.fromarray(NOISE[..., 0] > 99), "PNG", {}, "L"),
    "rgb.png": (RGB, "PNG", {}, "RGB"),
    "rgba.png": (Image.fromarray(NOISE), "PNG", {}, "RGB"),
    "grey_alpha.png": (Image.fromarray(NOISE[..., :2]), "PNG", {}, "L"),
    "palette.png": (PALETTE, "PNG", {}, "RGB"),
    "palette_transparent.png": (PALETTE, "PNG", {"transparency": 3}, "RGB"),
    "grey_transparent.png": (Image.fromarray(NOISE[..., 0]), "PNG", {"transparency": 3}, "L"),
    "grey.bmp": (Image.fromarray(NOISE[..., 0]), "BMP", {}, "L"),
    "rgb.bmp": (RGB, "BMP", {}, "RGB"),
    "rgba.bmp": (Image.fromarray(NOISE), "BMP", {}, "RGB"),
    "palette.bmp": (PALETTE, "BMP", {}, "RGB"),
    "bits.bmp": (Image.fromarray(NOISE[..., 0] > 99), "BMP", {}, "L"),
    "grey.jpg": (Image.fromarray(RAMP), "JPEG", {}, "L"),
    "rgb.JPEG": (RGB, "JPEG", {"quality": 95}, "RGB"),
    "progressive.jpg": (RGB, "JPEG", {"progressive": True}, "RGB"),
    "full.jpg": (RGB, "JPEG", {"subsampling": 0}, "RGB"),
}


@pytest.mark.parametrize("name", PICTURES)
def test_pixels_are_pillows(tmp_path, name):
    picture, kind, options, mode = PICTURES[name]
    data = encoded(picture, kind, **options)
    (tmp_path / name).write_bytes(data)
    # An alpha plane is dropped, not blended: so convert without it.
    decoded = Image.open(io.BytesIO(data))
    if decoded.mode == "LA":
        expected = np.asarray(decoded)[..., 0]
    elif decoded.mode == "RGBA":
        expected = np.asarray(decoded)[..., :3]
    else:
        expected = np.asarray(decoded.convert(mode))
    one(tmp_path / name, planes(expected))


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_sixteen_bits(tmp_path, samples):
    pixels = (NOISE[..., :samples].astype(np.uint16) * 257 + 3).squeeze()
    path = tmp_path / "deep.png"
    path.write_bytes(imagecodecs.png_encode(pixels))
    again = skimage.io.imread(path) if samples == 1 else pixels
    expected = planes(again)[: {2: 1, 4: 3}.get(samples, samples)]
    assert expected.dtype == np.uint16
    one(path, expected)


def test_tiffs_are_pictures_too(tmp_path):
    stack = np.moveaxis(NOISE, -1, 0)
    tifffile.imwrite(tmp_path / "pages.tif", stack, photometric="minisblack")
    one(tmp_path / "pages.tif", stack)


@pytest.mark.parametrize("name", ["a.jpg", "a.tif", "a.bmp"])
def test_the_first_bytes_say_what_it_is_not_the_name(tmp_path, name):
    (tmp_path / name).write_bytes(encoded(RGB, "PNG"))
    one(tmp_path / name, planes(np.asarray(RGB)))


def test_folders_are_searched_and_metadata_taken_from_names(tmp_path):
    touch(tmp_path, ["b/s1_x.PNG", "a/s2_y.jpeg", "a/s3_z.bmp", "a/readme.txt", "a/s4_q.tif"])
    catalog = discover(image, tmp_path, regex=r"s(?P<slide>\d)_(?P<kind>[x-z])")
    assert catalog.names == ["a/s2_y.jpeg", "a/s3_z.bmp", "b/s1_x.PNG"]
    assert catalog.skipped == 1
    assert groups(catalog) == ["a", "a", "b"]
    assert texts(catalog, "slide") == ["2", "3", "1"]
    with pytest.raises(UserError, match=r"use load\.format: tiff for one file per channel"):
        discover(image, tmp_path, regex="s(?P<channel>.)")
    with pytest.raises(UserError, match="a group cannot be called 'failed'"):
        discover(image, tmp_path, regex="s(?P<failed>.)")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no PNG, JPEG, BMP or TIFF files"):
        discover(image, tmp_path / "empty")


DATA = {kind: encoded(Image.fromarray(RAMP), kind) for kind in ("PNG", "JPEG", "BMP")}


def beside_good(folder: Path, data: bytes) -> str:
    """The complaint about one file between two good ones, which must be read."""
    for name in ("a.png", "c.png"):
        (folder / name).write_bytes(DATA["PNG"])
    (folder / "b.png").write_bytes(data)
    batch, failures = read(image, discover(image, folder))
    assert batch.index.tolist() == [0, 2]
    for got in batch:
        np.testing.assert_array_equal(got[0], RAMP)
    with pytest.raises(UserError) as caught:
        image.probe((str(folder / "b.png"),), WHOLE)
    assert str(caught.value) == failures[0].error
    assert failures[0].error.count(str(folder)) == 1
    return failures[0].error.removeprefix(f"{folder}/b.png: ")


def test_files_that_are_no_pictures(tmp_path):
    assert beside_good(tmp_path, b"") == "is empty (0 bytes)"
    no = "is no TIFF, PNG, JPEG or BMP file"
    assert beside_good(tmp_path, b"some text\n") == no
    assert beside_good(tmp_path, b"\x89") == no
    assert beside_good(tmp_path, b"GIF89a") == no
    assert (
        beside_good(tmp_path, b"BMore text\n")
        == "is truncated or broken: it cannot be decoded as BMP"
    )
    assert beside_good(tmp_path, b"\xff\xd8\xff").startswith("cannot be decoded (")


@pytest.mark.parametrize("kind", DATA)
def test_truncated_anywhere_is_never_read_as_if_whole(tmp_path, kind):
    data = DATA[kind]
    # The last 12 bytes of a PNG hold no pixels.
    for size in range(1, len(data) - (12 if kind == "PNG" else 0), 41):
        assert beside_good(tmp_path, data[:size])


def test_a_progressive_jpeg_that_breaks_off(tmp_path):
    data = encoded(Image.fromarray(RAMP), "JPEG", progressive=True)
    assert beside_good(tmp_path, data[: len(data) * 3 // 4]) == (
        "is truncated: the JPEG's end is not in the file"
    )


def test_a_jpeg_with_a_preview_and_bytes_after_its_end(tmp_path):
    # The preview is a whole JPEG within the first segments: its end is not the picture's.
    preview = encoded(Image.fromarray(RAMP[:8, :8]), "JPEG")
    segment = b"\xff\xe1" + (len(preview) + 2).to_bytes(2) + preview
    data = DATA["JPEG"][:2] + segment + DATA["JPEG"][2:]
    (tmp_path / "whole.jpg").write_bytes(data + b"\0" * 99)
    one(tmp_path / "whole.jpg", planes(np.asarray(Image.open(io.BytesIO(DATA["JPEG"])))))
    (tmp_path / "whole.jpg").unlink()
    assert "is truncated" in beside_good(tmp_path, data[:-2])


def test_a_jpeg_that_promises_more_than_it_can_hold(tmp_path):
    data = bytearray(DATA["JPEG"])
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = b"\xff\xfe\xff\xfe"
    assert beside_good(tmp_path, bytes(data)) == (
        f"is truncated or broken: 65534 x 65534 pixels cannot be in the file's {len(data):,} bytes"
    )


def test_a_png_that_promises_more_than_it_can_hold(tmp_path):
    data = bytearray(DATA["PNG"])
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    # A careful forger puts the checksum right.
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    assert beside_good(tmp_path, bytes(data)) == (
        f"is truncated or broken: 100000 x 100000 pixels cannot be in the file's {len(data):,} "
        "bytes"
    )


BITMAP = "<2sIHHIIiiHHIIiiII"


def bitmap(**changes: int) -> bytes:
    """A BMP of 8 bits, with another value in its header."""
    names = "kind size a b offset head width height planes bits compression c d e colours f"
    values = dict(zip(names.split(), struct.unpack_from(BITMAP, DATA["BMP"]), strict=True))
    return struct.pack(BITMAP, *(values | changes).values()) + DATA["BMP"][54:]


def test_headers_of_bitmaps_are_not_trusted(tmp_path):
    # imagecodecs' decoder reads beyond the data of these.
    for changes in ({"height": 29736}, {"width": 2**31 - 1}, {"bits": 32}, {"offset": 2**32 - 1}):
        assert "is truncated or broken: " in beside_good(tmp_path, bitmap(**changes))


def test_bitmaps_that_stand_on_their_head_or_have_sixteen_colours(tmp_path):
    (tmp_path / "down.bmp").write_bytes(bitmap(height=-len(RAMP)))
    one(tmp_path / "down.bmp", RAMP[np.newaxis, ::-1])
    places = NOISE[..., 0] % 16
    palette = NOISE.reshape(-1, 4)[:16] * np.uint8([1, 1, 1, 0])
    rows = np.pad(places, ((0, 0), (0, 24 - 17)))
    packed = (rows[::-1, ::2] << 4) | rows[::-1, 1::2]
    head = struct.pack(BITMAP, b"BM", 0, 0, 0, 118, 40, 17, 13, 1, 4, 0, 0, 0, 0, 16, 0)
    data = head + palette.tobytes() + packed.tobytes()
    (tmp_path / "four.bmp").write_bytes(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(expected, palette[places][..., 2::-1])
    one(tmp_path / "four.bmp", planes(expected))


def test_a_flipped_bit_in_a_pngs_pixels_is_noticed(tmp_path):
    start = DATA["PNG"].index(b"IDAT") + 4
    stop = DATA["PNG"].index(b"IEND") - 8
    for place in range(start + 2, stop, 7):
        hit = bytearray(DATA["PNG"])
        hit[place] ^= 1
        assert beside_good(tmp_path, bytes(hit)).startswith("cannot be decoded (")


def test_colours_among_greys(tmp_path):
    for name, picture in (("a", NOISE[..., 0]), ("b", NOISE[..., :3]), ("c", NOISE[..., 1])):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    catalog = discover(image, tmp_path)
    batch, failures = read(image, catalog, of=1)
    assert batch.index.tolist() == [0, 2]
    assert failures[0].error == f"{tmp_path}/b.png: has 3 channels, the first image has 1"
    batch, failures = read(image, catalog, channels=[0])
    np.testing.assert_array_equal(batch.image(1)[0], NOISE[..., 0])
    batch, _ = read(image, catalog, channels=[0], window=(2, 3, 5, 9))
    np.testing.assert_array_equal(batch.image(2)[0], NOISE[2:5, 3:9, 1])


SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_odd_shapes_types_and_counts_of_channels(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("odd")
    kind, dtype = data.draw(
        st.sampled_from([("png", np.uint8), ("png", np.uint16), ("bmp", np.uint8)])
    )
    samples = data.draw(st.sampled_from([1, 3] if kind == "bmp" else [1, 2, 3, 4]))
    shape = data.draw(SHAPES)
    pixels = data.draw(hnp.arrays(dtype, (*shape, samples)))
    encode = getattr(imagecodecs, f"{kind}_encode")
    (folder / f"x.{kind}").write_bytes(encode(pixels[..., 0] if samples == 1 else pixels))
    one(folder / f"x.{kind}", planes(pixels)[: {2: 1, 4: 3}.get(samples, samples)])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_costs_its_image_only(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    (folder / "good.png").write_bytes(DATA["PNG"])
    hit = bytearray(DATA[data.draw(st.sampled_from(sorted(DATA)))])
    # Headers are where damage does most.
    place = st.one_of(st.integers(0, 60), st.integers(0, len(hit) - 1))
    for at in data.draw(st.lists(place, max_size=6)):
        hit[at] ^= data.draw(st.integers(1, 255))
    (folder / "hit.png").write_bytes(hit[: data.draw(st.integers(0, len(hit)))])
    (folder / "also.png").write_bytes(hit)
    # A palette that is hit may turn grey into colours, so only the first channel is asked for.
    batch, _ = read(image, discover(image, folder), channels=[0])
    assert 1 in batch.index.tolist()
