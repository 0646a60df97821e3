"""Pictures (TIFF, PNG, JPEG, BMP): one file an image, or one a channel.

A picture's colour planes are channels; an alpha plane is left out. What kind of file it is, its
first bytes say, not its name.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.loaders import plain_tiff, tiff_file, tiff_window
from scip_mpi.loaders.contract import Failure, ImageInfo, References, Window
from scip_mpi.loaders.gather import (
    ImageError,
    Pick,
    cut_window,
    describe,
    gather,
    info_of,
    located,
    refuse_beyond_memory,
)

SUFFIXES = (*tiff_file.SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp")
# First bytes, and imagecodecs' decoder. BMP is not among them: a damaged one can crash it.
DECODERS = {b"\x89PNG": "png_decode", b"\xff\xd8\xff": "jpeg8_decode"}
BMP = b"BM"
# Markers (ITU-T T.81, table B.1): frames of all kinds but differential, a scan, and the end.
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA, 0xCB)
_JPEG_SCAN, _JPEG_END = 0xDA, b"\xff\xd9"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Index of a picture that is the whole file, not one of its pages; of one whose files hold a
# channel each.
WHOLE = -1
PLANE = -2

warm_up = plain_tiff.warm_up


def decode(path: str, page: int, pick: Pick) -> NDArray[Any]:
    """Chosen channels of a file, or of one page of it, shape (C, H, W).

    Raises
    ------
    ImageError
        It is no picture, or has no such page.
    """
    with open(path, "rb") as stream:
        head = stream.read(4)
        if not head:
            raise ImageError("is empty (0 bytes)")
        if head in TIFF:
            return tiff_file.decode(path, pick, None if page < 0 else page)
        data = head + stream.read()
    planes = _decode(data)
    if page > 0:
        raise ImageError(f"is a single picture, so it has no page {page}")
    return planes[pick(len(planes))]


def decode_part(
    path: str, page: int, pick: Pick, window: Window | None
) -> tuple[NDArray[Any], tuple[int, int]]:
    """As `decode`, of a part, and height and width of the whole; what is no TIFF is read whole."""
    if window is not None:
        with open(path, "rb") as stream:
            head = stream.read(4)
        if head in TIFF:
            return tiff_window.decode(path, pick, None if page < 0 else page, window)
    image = decode(path, page, pick)
    return cut_window(image, window), (image.shape[1], image.shape[2])


def _decode(data: bytes) -> NDArray[Any]:
    import imagecodecs

    if data.startswith(BMP):
        return _decode_bmp(data)
    for head, name in DECODERS.items():
        if data.startswith(head):
            if name == "jpeg8_decode":
                _refuse_broken_jpeg(data)
            elif len(data) >= 26:
                # The first chunk, of 13 bytes: width, height, bits and kind of colour.
                width, height, bits = struct.unpack_from(">IIB", data, 16)
                _refuse_unbelievable(data, height, width, 4 * -(-bits // 8))
            pixels = getattr(imagecodecs, name)(data)
            break
    else:
        raise ImageError("is no TIFF, PNG, JPEG or BMP file")
    if pixels.ndim == 2:
        return pixels[np.newaxis]
    colours = pixels.shape[2] - (pixels.shape[2] in (2, 4) and name == "png_decode")
    return np.moveaxis(pixels, 2, 0)[:colours]


def _decode_bmp(data: bytes) -> NDArray[Any]:
    """Planes of a BMP; a palette is applied, and of a grey one there is one plane."""
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=["BMP"]) as picture:
            size = (picture.height, picture.width)
            _refuse_unbelievable(data, *size, 3)
            colours = np.array(picture.getpalette("RGB") or (), np.uint8).reshape(-1, 3)
            coloured = picture.mode == "RGB" or bool((colours != colours[:, :1]).any())
            pixels = np.asarray(picture.convert("RGB" if coloured else "L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        # Its own words name an object in memory, which differs from run to run.
        raise ImageError("is truncated or broken: it cannot be decoded as BMP") from error
    return pixels[np.newaxis] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)


def _refuse_unbelievable(data: bytes, height: int, width: int, each: int) -> None:
    """Raise for pixels, of so many bytes each, that cannot be in a file, or not in memory."""
    nbytes = each * height * width
    if not tiff_file.believable(nbytes, len(data), True):
        raise ImageError(
            f"is truncated or broken: {height} x {width} pixels cannot be in the file's "
            f"{len(data):,} bytes"
        )
    refuse_beyond_memory(nbytes)


def _refuse_broken_jpeg(data: bytes) -> None:
    """Raise for a JPEG that breaks off, which its decoder would fill with grey, or is too large."""
    place = 2
    while place + 4 <= len(data):
        if data[place] != 0xFF:
            break
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4])
        if marker == 0xFF:
            place += 1
            continue
        if marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data.ljust(place + 9), place + 5)
            _refuse_unbelievable(data, height, width, 3)
        if marker == _JPEG_SCAN:
            # Within a scan each byte of ones is followed by zero: this can only be the end.
            if data.find(_JPEG_END, place) < 0:
                raise ImageError("is truncated: the JPEG's end is not in the file")
            break
        place += 2 + length


def decode_sources(
    sources: tuple[str, ...], index: int, pick: Pick, window: Window | None = None
) -> NDArray[Any]:
    """Chosen channels, or a part, of an image with a file for each, or whose file holds all."""
    if len(sources) == 1 and index != PLANE:
        return decode_part(sources[0], index, pick, window)[0]
    planes: list[NDArray[Any]] = []
    sizes: list[tuple[int, int]] = []
    for c in pick(len(sources)):
        path = sources[c]
        if not path:
            raise ImageError(f"there is no file for its channel at place {c}, counted from 0")
        try:
            (plane,), size = decode_part(path, index, _only, window)
        except Exception as error:  # whatever a broken file makes the reader raise
            raise ImageError(describe(error, path), path) from None
        if sizes and size != sizes[0]:
            raise ImageError(
                f"is {size[0]} x {size[1]} pixels, the image's other channels are "
                f"{sizes[0][0]} x {sizes[0][1]}",
                path,
            )
        planes.append(plane)
        sizes.append(size)
    return np.stack(planes)


def _only(available: int) -> list[int]:
    if available != 1:
        raise ImageError(f"has {available} planes; the file of one channel must have one")
    return [0]


def probe(sources: tuple[str, ...], index: int) -> ImageInfo:
    """Shape and type of an image; pictures that are no TIFF are decoded for it.

    Raises
    ------
    UserError
        A file cannot be read.
    """
    infos = []
    with tiff_file.quiet():
        for path in filter(None, sources):
            try:
                infos.append(_probe(path, index))
            except Exception as error:  # whatever a broken file makes the reader raise
                raise UserError(located(error, [path])) from None
    if not infos:
        raise UserError("an image without any file")
    if len(sources) == 1 and index != PLANE:
        return infos[0]
    shape = (len(sources), *infos[0].shape[1:])
    return ImageInfo(shape, np.result_type(*(i.dtype for i in infos)))


def _probe(path: str, index: int) -> ImageInfo:
    with open(path, "rb") as stream:
        head = stream.read(4)
    if head in TIFF and index < 0:
        return tiff_file.probe(path)
    pixels = decode(path, index, lambda n: list(range(n)))
    return info_of(pixels.shape, pixels.dtype)


def read(
    references: References,
    channels: Sequence[int] | None,
    dtype: np.dtype[Any],
    window: Window | None = None,
    z: int | None = None,
    t: int | None = None,
    of: int | None = None,
) -> tuple[ImageBatch, list[Failure]]:
    """Read images; those that cannot be are failures.

    Parameters and result as of every loader (`scip_mpi.loaders.contract`).

    Raises
    ------
    UserError
        ``z`` or ``t`` was given: pictures have neither.
    """
    if z is not None or t is not None:
        raise UserError("pictures have neither z nor t")
    with tiff_file.quiet():
        part = partial(decode_sources, window=window)
        return gather(references, part, channels, dtype, None, of)
