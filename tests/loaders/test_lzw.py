"""LZW against the encoder of imagecodecs, and data that are none."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from scip_mpi.loaders import lzw, tiff_file
from scip_mpi.loaders.gather import ImageError


def decoded(data: bytes, room: int) -> bytes | None:
    """With a margin behind, which must stay as it is."""
    out = np.full(room + 64, 170, np.uint8)
    n = lzw.decode(np.frombuffer(data, np.uint8), out[:room])
    assert (out[room:] == 170).all()
    return None if n == lzw.BROKEN else out[:n].tobytes()


def old(data: bytes) -> bytes:
    """What a writer before TIFF 5.0 makes: no code but bytes, and no code is longer than 9 bits."""
    codes = [256]
    for k, byte in enumerate(data):
        codes += [256] * (k > 0 and k % 200 == 0) + [byte]
    bits = "".join(f"{code:09b}"[::-1] for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[k : k + 8][::-1], 2) for k in range(0, len(bits), 8))


@pytest.mark.parametrize("size", [0, 1, 2, 3, 254, 255, 256, 5000, 200_000])
@pytest.mark.parametrize("values", [1, 2, 7, 256])
def test_what_was_encoded(size: int, values: int) -> None:
    data = np.random.default_rng(size).integers(0, values, size).astype(np.uint8).tobytes()
    packed = imagecodecs.lzw_encode(data)
    assert decoded(packed, size) == data
    # What lies behind the end is not looked at, and the first bytes may be all that is wanted.
    assert decoded(packed + b"\xff\x00\x55" * 9, size) == data
    assert decoded(packed, size // 2) == data[: size // 2]


@given(data=st.binary(max_size=700))
def test_any_data(data: bytes) -> None:
    assert decoded(imagecodecs.lzw_encode(data), len(data) + 10) == data
    assert decoded(old(data), len(data)) == data


@given(data=st.binary(max_size=300), room=st.integers(0, 3000), new=st.booleans())
def test_nonsense_stays_in_its_room(data: bytes, room: int, new: bool) -> None:
    decoded((b"\x80" if new else b"\x00\x01") + data, room)


def test_a_code_that_cannot_be_there() -> None:
    # After the clear code, 300.
    bits = f"{256:09b}{300:09b}" + "0" * 6
    data = bytes(int(bits[k : k + 8], 2) for k in range(0, 24, 8))
    assert decoded(data, 100) is None


@pytest.mark.parametrize("more", [{}, {"tile": (16, 16)}, {"predictor": True}])
@pytest.mark.parametrize("seed", range(20))
def test_a_broken_file_is_an_error(more: dict[str, object], seed: int, tmp_path: Path) -> None:
    # Three samples a pixel: tifffile's, not ours.
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 9, (40, 50, 3)).astype(np.uint8)
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, image, photometric="rgb", compression="lzw", **more)
    np.testing.assert_array_equal(tiff_file.decode(str(path), range), image.transpose(2, 0, 1))
    with tifffile.TiffFile(path) as file:
        at, count = file.pages[0].dataoffsets[-1], file.pages[0].databytecounts[-1]
    raw = bytearray(path.read_bytes())
    raw[at + 2 : at + count] = rng.integers(0, 256, count - 2).astype(np.uint8).tobytes()
    path.write_bytes(raw)
    with pytest.raises(ImageError, match="its LZW data cannot be decoded"):
        tiff_file.decode(str(path), range)
