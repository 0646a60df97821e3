"""Parts of TIFF files are those of the whole image, however it is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from scip_mpi.loaders import picture
from scip_mpi.loaders.gather import ImageError

STORED: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rowsperstrip": 7},
    "packed strips": {"rowsperstrip": 7, "compression": "zlib"},
    "tiles": {"tile": (16, 32)},
    "packed tiles": {"tile": (16, 32), "compression": "lzw", "predictor": 2},
    "other bytes": {"byteorder": ">"},
    "big": {"bigtiff": True, "rowsperstrip": 5},
}
WINDOWS = [(0, 0, 40, 50), (3, 7, 4, 8), (20, 30, 40, 50), (0, 13, 40, 14)]


def every(n: int) -> list[int]:
    return list(range(n))


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_a_window_is_that_of_the_whole(stored: str, kind: type, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 250, (3, 40, 50)).astype(kind)
    how, path = dict(STORED[stored]), tmp_path / "image.tif"
    order = {k: how.pop(k) for k in ("byteorder", "bigtiff") if k in how}
    if kind is np.float32:
        how.pop("predictor", None)
    with tifffile.TiffWriter(path, **order) as writer:
        for plane in image:
            writer.write(plane, photometric="minisblack", contiguous=False, **how)
    for window in WINDOWS:
        r0, c0, r1, c1 = window
        part, size = picture.decode_part(str(path), -1, lambda _: [2, 0], window)
        np.testing.assert_array_equal(part, image[[2, 0], r0:r1, c0:c1])
        assert part.dtype == kind
        assert size == (40, 50)
        part, size = picture.decode_part(str(path), 1, every, window)
        np.testing.assert_array_equal(part, image[1:2, r0:r1, c0:c1])


@pytest.mark.parametrize("how", [{}, {"tile": (16, 16)}, {"planarconfig": "separate"}])
def test_colours_are_channels(how: dict[str, Any], tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 250, (3, 40, 50)).astype(np.uint8)
    path = tmp_path / "image.tif"
    apart = "planarconfig" in how
    tifffile.imwrite(path, image if apart else np.moveaxis(image, 0, 2), photometric="rgb", **how)
    part, _ = picture.decode_part(str(path), -1, lambda _: [2, 1], (5, 6, 33, 21))
    np.testing.assert_array_equal(part, image[[2, 1], 5:33, 6:21])


def test_what_is_no_tiff_is_cut(tmp_path: Path) -> None:
    from imagecodecs import png_encode

    image = np.random.default_rng(0).integers(0, 250, (40, 50)).astype(np.uint8)
    path = tmp_path / "image.png"
    path.write_bytes(png_encode(image))
    part, size = picture.decode_part(str(path), -1, every, (5, 6, 33, 21))
    np.testing.assert_array_equal(part[0], image[5:33, 6:21])
    assert size == (40, 50)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.zeros((2, 40, 50), np.uint16), photometric="minisblack")
    for page, window, message in (
        (-1, (0, 0, 41, 50), "does not hold the window"),
        (7, (0, 0, 1, 1), "has 2 pages"),
    ):
        with pytest.raises(ImageError, match=message):
            picture.decode_part(str(path), page, every, window)
    tifffile.imwrite(path, np.ones((40, 50), np.uint16), photometric="minisblack")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ImageError, match="truncated or broken"):
        picture.decode_part(str(path), -1, every, (0, 0, 40, 50))
