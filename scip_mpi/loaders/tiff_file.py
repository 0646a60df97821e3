"""Pixels of one TIFF file, whatever it is like: its channels, its shape, its type.

A page of several samples, such as RGB, gives one channel per sample, interleaved or as planes of
their own: the channels of a file are the samples of page 0, then those of page 1, and so on.
Stored values are taken as they are: palettes are not applied and "white is zero" is not inverted.
Files as millions of them are written are read directly, the others with tifffile.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import UInt8Array
from scip_mpi.loaders import lzw, plain_tiff
from scip_mpi.loaders.contract import ImageInfo
from scip_mpi.loaders.gather import (
    Empty,
    ImageError,
    Pick,
    info_of,
    pixel_type,
    refuse_beyond_memory,
)
from scip_mpi.loaders.large_tiff import LargeFile

SUFFIXES = (".tif", ".tiff")
# Files up to this are read whole, at once; of larger ones only what is wanted.
WHOLE_FILE = 8 << 20
# A broken header may promise any size: a compressed page is believed up to the first bound, and
# above it if its file is not smaller by more than the second. Deflate reaches 1,032.
BELIEVED_BYTES = 64 << 20
BELIEVED_RATIO = 1100


@dataclass(frozen=True)
class _Plane:
    """One channel: its page and, of a page of several samples, the axis and the sample."""

    page: int
    axis: int | None
    sample: int


def probe(path: str) -> ImageInfo:
    """Shape and type from the headers; the size is that of the first page."""
    with TiffReader().contents(path) as (data, _):
        pages = plain_tiff.parse(data)
    if pages is not None:
        return info_of((len(pages), *pages.shape(0)), pages.dtype(0))
    with quiet(), _open(path) as tif:
        planes = _planes(tif)
        page = tif.pages[0]
        return info_of((len(planes), page.imagelength, page.imagewidth), page_type(page, 0))


def decode(path: str, pick: Pick, page: int | None = None) -> NDArray[Any]:
    """Chosen channels of a file, or of one page of it, shape (C, H, W).

    Raises whatever a broken file makes it raise.
    """
    return TiffReader().decode(path, pick, page)


class TiffReader:
    """Reads files one after the other into the same room.

    Parameters
    ----------
    empty : callable
        Makes the array of a shape and type that an image is to stand in.
    """

    def __init__(self, empty: Empty = np.empty) -> None:
        self.empty = empty
        self.buffer = np.empty(0, np.uint8)
        self.tables = plain_tiff.Tables()

    def decode(self, path: str, pick: Pick, page: int | None = None) -> NDArray[Any]:
        """Chosen channels of a file, or of one page of it, shape (C, H, W).

        Raises whatever a broken file makes it raise.
        """
        with self.contents(path) as (data, read):
            image = _decode_plain(data, read, pick, page, self)
        return _decode_any(path, pick, page) if image is None else image

    @contextmanager
    def contents(self, path: str) -> Iterator[tuple[UInt8Array, plain_tiff.Read | None]]:
        """A file's bytes until the next one is read, and what reads those that are not there yet.

        Raises
        ------
        ImageError
            It is empty.
        """
        handle = os.open(path, os.O_RDONLY)
        try:
            size = os.fstat(handle).st_size
            if size == 0:
                raise ImageError("is empty (0 bytes)")
            if size > WHOLE_FILE:
                large = LargeFile(handle, size)
                yield large.data, large.read
            else:
                yield self._whole(handle, size), None
        finally:
            os.close(handle)

    def _whole(self, handle: int, size: int) -> UInt8Array:
        if size > len(self.buffer):
            self.buffer = np.empty(size + size // 4, np.uint8)
        data = self.buffer[:size]
        view, got = memoryview(data), 0
        # A read of a regular file may be cut short by a signal or a network file system.
        while got < size and (more := os.readv(handle, [view[got:]])):
            got += more
        return data[:got]


def _decode_plain(
    data: UInt8Array,
    read: plain_tiff.Read | None,
    pick: Pick,
    page: int | None,
    reader: TiffReader,
) -> NDArray[Any] | None:
    """The image if the file is plain, None if the general reader must see to it."""
    pages = plain_tiff.parse(data, reader.tables)
    if pages is None:
        return None
    if page is None:
        chosen = pick(len(pages))
    elif page < len(pages):
        chosen = [page + c for c in pick(1)]
    else:
        return None
    if not chosen or not pages.alike(chosen):
        return None
    dtype, shape = pages.dtype(chosen[0]), pages.shape(chosen[0])
    nbytes = shape[0] * shape[1] * dtype.itemsize
    if not believable(nbytes, len(data), pages.packed(chosen[0])):
        return None
    image = reader.empty((len(chosen), *shape), dtype)
    return image if pages.decode(data, chosen, image, read) else None


def _breaks_off(tif: Any) -> bool:
    """Whether the last page that could be read says that another one follows."""
    layout, handle = tif.tiff, tif.filehandle
    handle.seek(tif.pages[len(tif.pages) - 1].offset)
    (tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
    handle.seek(tags * layout.tagsize, os.SEEK_CUR)
    (following,) = struct.unpack(layout.offsetformat, handle.read(layout.offsetsize))
    return bool(following)


@contextmanager
def opened_pages(path: str, only: int | None) -> Iterator[tuple[Any, list[_Plane]]]:
    """A file as tifffile opens it, and its channels, or those of one page of it.

    Raises
    ------
    ImageError
        Pages are missing.
    """
    with _open(path) as tif:
        planes = _planes(tif)
        if _breaks_off(tif):
            raise ImageError(
                f"is truncated or broken: more pages are announced after {len(tif.pages)}, but "
                "they are not in the file"
            )
        if only is not None:
            planes = [p for p in planes if p.page == only]
            if not planes:
                raise ImageError(f"has {len(tif.pages)} pages, so none with index {only}")
        yield tif, planes


def _decode_any(path: str, pick: Pick, only: int | None) -> NDArray[Any]:
    """The image as tifffile reads it."""
    size = os.path.getsize(path)
    with opened_pages(path, only) as (tif, planes):
        chosen = [planes[c] for c in pick(len(planes))]
        first = chosen[0].page
        dtype = page_type(tif.pages[first], first)
        shape = (tif.pages[first].imagelength, tif.pages[first].imagewidth)
        decoded: dict[int, NDArray[Any]] = {}
        image = None
        for k, plane in enumerate(chosen):
            page = tif.pages[plane.page]
            if plane.page not in decoded:
                check_like_first(page, plane.page, shape, dtype, first)
                if not believable(page.nbytes, size, page.compression != 1):
                    raise ImageError(
                        f"is truncated or broken: page {plane.page} of {page.imagelength} x "
                        f"{page.imagewidth} pixels takes {page.nbytes:,} bytes, the file has "
                        f"{size:,}"
                    )
                if max(page.databytecounts, default=0) > size:
                    raise ImageError(
                        f"is truncated or broken: a strip or tile of page {plane.page} is said to "
                        f"take {max(page.databytecounts):,} bytes, the file has {size:,}"
                    )
                refuse_beyond_memory(len(chosen) * shape[0] * shape[1] * dtype.itemsize)
                parts = page.parent.filehandle.read_segments(page.dataoffsets, page.databytecounts)
                for data, _ in parts if page.compression == lzw.LZW else ():
                    lzw.refuse_broken(page, data)
                decoded = {plane.page: page.asarray(maxworkers=1)}
            pixels = decoded[plane.page]
            if plane.axis is not None:
                pixels = np.take(pixels, plane.sample, axis=plane.axis)
            if image is None:
                image = np.empty((len(chosen), *shape), dtype)
            image[k] = pixels.reshape(shape)
    if image is None:
        raise ImageError("no channels were asked for")
    return image


def check_like_first(
    page: Any, index: int, shape: tuple[int, int], dtype: np.dtype[Any], first: int
) -> None:
    """Raise unless a page is like the first page that is read."""
    own = (page.imagelength, page.imagewidth)
    if own != shape:
        raise ImageError(
            f"has pages of differing size: page {index} is {own[0]} x {own[1]} pixels, page "
            f"{first} is {shape[0]} x {shape[1]}"
        )
    if page_type(page, index) != dtype:
        raise ImageError(
            f"has pages of differing type: page {index} is {page.dtype}, page {first} is {dtype}"
        )


def believable(nbytes: int, size: int, compressed: bool) -> bool:
    """Whether a page of so many bytes can be in a file of ``size`` bytes."""
    if compressed:
        return nbytes <= max(BELIEVED_BYTES, BELIEVED_RATIO * size)
    # Pixels of a single bit take a byte each once decoded.
    return nbytes <= 8 * size


def page_type(page: Any, index: int) -> np.dtype[Any]:
    """Pixel type of a page; `ImageError` if there is none for it."""
    if page.dtype is None:
        raise ImageError(f"page {index} has samples of {page.bitspersample} bits, not supported")
    return pixel_type(page.dtype)


def _planes(tif: Any) -> list[_Plane]:
    """All channels of an open file."""
    planes: list[_Plane] = []
    seen: set[int] = set()
    for i, page in enumerate(tif.pages):
        # tifffile would follow such a circle for ever.
        if page.offset in seen:
            raise ImageError(f"is broken: after page {i - 1} its directories lead back")
        seen.add(page.offset)
        if page.imagedepth > 1:
            raise ImageError(f"page {i} is a volume of {page.imagedepth} planes, not supported")
        axis = page.axes.find("S")
        if axis < 0:
            planes.append(_Plane(i, None, 0))
        else:
            planes += [_Plane(i, axis, s) for s in range(page.shape[axis])]
    if not planes:
        raise ImageError("has no pages")
    return planes


def _open(path: str) -> Any:
    import tifffile

    return tifffile.TiffFile(path)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep tifffile from logging about files whose faults are reported as failures."""
    logger = logging.getLogger("tifffile")
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before
