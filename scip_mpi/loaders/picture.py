"""Pictures (TIFF, PNG, JPEG, BMP): one file an image, or one a channel.

A picture's colour planes are channels; an alpha plane is left out. What kind of file it is, its
first bytes say, not its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.loaders import tiff_file
from scip_mpi.loaders.contract import Failure, ImageInfo, References, Window
from scip_mpi.loaders.gather import ImageError, Pick, gather, located, pixel_type

SUFFIXES = (*tiff_file.SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp")
# First bytes, and imagecodecs' decoder.
DECODERS = {b"\x89PNG": "png_decode", b"\xff\xd8\xff": "jpeg8_decode", b"BM": "bmp_decode"}
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Index of a picture that is the whole file, not one of its pages.
WHOLE = -1


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
            return tiff_file.decode(path, pick, None if page == WHOLE else page)
        data = head + stream.read()
    planes = _decode(data)
    if page > 0:
        raise ImageError(f"is a single picture, so it has no page {page}")
    return planes[pick(len(planes))]


def _decode(data: bytes) -> NDArray[Any]:
    import imagecodecs

    for head, name in DECODERS.items():
        if data.startswith(head):
            pixels = getattr(imagecodecs, name)(data)
            break
    else:
        raise ImageError("is no TIFF, PNG, JPEG or BMP file")
    if pixels.ndim == 2:
        return pixels[np.newaxis]
    colours = pixels.shape[2] - (pixels.shape[2] in (2, 4) and name == "png_decode")
    return np.moveaxis(pixels, 2, 0)[:colours]


def decode_sources(sources: tuple[str, ...], index: int, pick: Pick) -> NDArray[Any]:
    """Chosen channels of an image with a file for each, or of one whose only file holds all."""
    if len(sources) == 1:
        return decode(sources[0], index, pick)
    planes: list[NDArray[Any]] = []
    for c in pick(len(sources)):
        path = sources[c]
        if not path:
            raise ImageError(f"there is no file for its channel at place {c}, counted from 0")
        try:
            (plane,) = decode(path, index, _only)
        except ImageError as error:
            raise ImageError(str(error), path) from None
        if planes and plane.shape != planes[0].shape:
            raise ImageError(
                f"is {plane.shape[0]} x {plane.shape[1]} pixels, the image's other channels are "
                f"{planes[0].shape[0]} x {planes[0].shape[1]}",
                path,
            )
        planes.append(plane)
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
    try:
        infos = [_probe(path, index) for path in sources if path]
    except Exception as error:  # whatever a broken file makes the reader raise
        raise UserError(located(error, sources)) from None
    if len(sources) == 1:
        return infos[0]
    shape = (len(sources), *infos[0].shape[1:])
    return ImageInfo(shape, np.result_type(*(i.dtype for i in infos)))


def _probe(path: str, index: int) -> ImageInfo:
    with open(path, "rb") as stream:
        head = stream.read(4)
    if head in TIFF and index == WHOLE:
        return tiff_file.probe(path)
    pixels = decode(path, index, lambda n: list(range(n)))
    return ImageInfo(pixels.shape, pixel_type(pixels.dtype))


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
        return gather(references, decode_sources, channels, dtype, window, of)
