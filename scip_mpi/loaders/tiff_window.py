"""Parts of TIFF pages: of large ones only the tiles or strips that hold a window are decoded."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.loaders import lzw, tiff_file
from scip_mpi.loaders.contract import Window
from scip_mpi.loaders.gather import ImageError, Pick, checked_window, refuse_beyond_memory
from scip_mpi.loaders.tiff_file import believable


def decode(
    path: str, pick: Pick, page: int | None, window: Window
) -> tuple[NDArray[Any], tuple[int, int]]:
    """A window of chosen channels of a file, or of one page of it, and the size of the whole.

    As of `scip_mpi.loaders.tiff_file.decode`. Raises whatever a broken file makes it raise.
    """
    with tiff_file.opened_pages(path, page) as (tif, planes):
        chosen = [planes[c] for c in pick(len(planes))]
        if not chosen:
            raise ImageError("no channels were asked for")
        first = chosen[0].page
        dtype = tiff_file.page_type(tif.pages[first], first)
        size = (tif.pages[first].imagelength, tif.pages[first].imagewidth)
        r0, c0, r1, c1 = checked_window(window, *size)
        shape = (len(chosen), r1 - r0, c1 - c0)
        refuse_beyond_memory(shape[0] * shape[1] * shape[2] * dtype.itemsize)
        image = np.empty(shape, dtype)
        for number in dict.fromkeys(plane.page for plane in chosen):
            own = tif.pages[number]
            tiff_file.check_like_first(own, number, size, dtype, first)
            refuse_unbelievable(own)
            wanted = {p.sample: image[k] for k, p in enumerate(chosen) if p.page == number}
            read_page(own, window, wanted)
    return image, size


def refuse_unbelievable(page: Any) -> None:
    """Raise for a page that cannot be in its file."""
    frame = page.keyframe
    size = os.path.getsize(_path(frame))
    height, width = _segment_size(frame)
    segment = height * width * frame.samplesperpixel * frame.dtype.itemsize
    largest = max(page.databytecounts, default=0)
    if (
        not believable(frame.nbytes, size, frame.compression != 1)
        or not believable(segment, largest or size, frame.compression != 1)
        or largest > size
    ):
        raise ImageError(
            f"is truncated or broken: a page of {frame.imagelength} x {frame.imagewidth} pixels "
            f"in parts of {height} x {width} cannot be in the file's {size:,} bytes"
        )


def _path(page: Any) -> str:
    """The file that a page is in."""
    handle = page.parent.filehandle
    return os.path.join(handle.dirname, handle.name)


def _stored_as_is(page: Any) -> bool:
    """Whether a page of one sample is one run of bytes, so that any part of it can be fetched."""
    frame = page.keyframe
    if frame.samplesperpixel > 1 or frame.imagedepth > 1 or not frame.is_final:
        return False
    offsets, counts = np.array(page.dataoffsets), np.array(page.databytecounts)
    size = frame.imagelength * frame.imagewidth * frame.dtype.itemsize
    return bool((offsets[:-1] + counts[:-1] == offsets[1:]).all() and counts.sum() == size)


def _read_rows(page: Any, part: Window, out: NDArray[Any]) -> None:
    """Read a window of a page that is stored as it is, row by row."""
    frame, (r0, c0, r1, c1) = page.keyframe, part
    stored = np.empty((r1 - r0, c1 - c0), frame.dtype.newbyteorder(page.parent.byteorder))
    size = stored.itemsize
    with open(_path(page), "rb", buffering=0) as file:
        for y in range(r0, r1):
            file.seek(page.dataoffsets[0] + (y * frame.imagewidth + c0) * size)
            row = stored[y - r0].view(np.uint8)
            if file.readinto(row) != len(row):
                raise ImageError("is truncated or broken: pixels of a page are not in the file")
    out[:] = stored


def _segment_size(frame: Any) -> tuple[int, int]:
    """Height and width of a page's tiles or strips."""
    if frame.is_tiled:
        return frame.tilelength, frame.tilewidth
    return min(frame.rowsperstrip, frame.imagelength), frame.imagewidth


def read_page(page: Any, part: Window, wanted: dict[int, NDArray[Any]]) -> None:
    """Decode the tiles or strips of a page that hold a window, into a plane for each sample."""
    frame, file = page.keyframe, page.parent.filehandle
    height, width = _segment_size(frame)
    if min(height, width) < 1 or frame.imagedepth > 1:
        raise ImageError(f"has a page in parts of {height} x {width} pixels, not supported")
    down, across = -(-frame.imagelength // height), -(-frame.imagewidth // width)
    r0, c0, r1, c1 = part
    if _stored_as_is(page):
        _read_rows(page, part, wanted[0])
        return
    # Samples in planes of their own, as SYX, have tiles of their own.
    apart = frame.planarconfig == 2 and frame.samplesperpixel > 1
    segments = [
        (s * down + i) * across + j
        for s in (sorted(wanted) if apart else (0,))
        for i in range(r0 // height, -(-r1 // height))
        for j in range(c0 // width, -(-c1 // width))
    ]
    offsets, counts = page.dataoffsets, page.databytecounts
    if segments[-1] >= min(len(offsets), len(counts)):
        raise ImageError(f"is truncated or broken: a page has {len(offsets)} parts, "
                         f"not {down * across}")  # fmt: skip
    extra = {}
    if frame.compression in (6, 7, 34892, 33007):
        extra = {"jpegtables": page.jpegtables, "jpegheader": frame.jpegheader}
    if file.closed:
        file.open()
    read = file.read_segments(
        [offsets[k] for k in segments], [counts[k] for k in segments], segments
    )
    for data, number in read:
        lzw.refuse_broken(frame, data)
        pixels, (s, _, row, column, _), _ = frame.decode(data, number, **extra)
        if data is not None and pixels is None:
            raise ImageError("is truncated or broken: a part of a page cannot be decoded")
        for sample, plane in [(s, wanted[s])] if apart else wanted.items():
            top, left = max(row, r0), max(column, c0)
            bottom, right = min(row + height, r1), min(column + width, c1)
            target = plane[top - r0 : bottom - r0, left - c0 : right - c0]
            if pixels is None:
                target[:] = frame.nodata
            else:
                own = pixels[0, :, :, 0 if apart else sample]
                target[:] = own[top - row : bottom - row, left - column : right - column]
