"""SCIP's zarr layout: a folder per array of images of differing sizes (``zarr``).

A chunk of an array holds many images and can only be decompressed whole: images of a chunk are best
read together.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, Int64Array, offsets_of
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog, Failure, ImageInfo, References, Window
from scip_mpi.loaders.gather import ImageError, Pick, gather, pixel_type
from scip_mpi.loaders.listing import Listing, list_images, shown
from scip_mpi.loaders.patterns import select
from scip_mpi.loaders.zarr_array import ZarrArray, describe_array, numcodecs_module, read_chunk

COLUMNS = ("path", "zarr_idx", "object_number")
RESERVED = {name: "the zarr format has a column of that name already" for name in COLUMNS}


def discover(paths: Sequence[str], *, regex: str | None = None) -> Catalog:
    """List the images of zarr arrays.

    Parameters
    ----------
    paths : sequence of str
        Arrays (``*.zarr`` folders), or folders that are searched recursively for them.
    regex : str, optional
        Searched for in each array's path; an array that does not match is left out. The named
        group ``group`` is its images' group (otherwise its folder's name is), others become
        metadata.

    Raises
    ------
    UserError
        Nothing was found, a path cannot be read, an array is not in SCIP's layout, ids repeat, the
        pattern is wrong, or numcodecs is not installed.
    """
    numcodecs_module()
    listing = list_images(paths, _is_image, "*.zarr folders")
    kept, columns, (group, groups), skipped = select(listing, regex, RESERVED)
    arrays = [_described(path) for path in kept.files]
    counts = np.array([len(a) for a in arrays], np.int64)
    if not counts.sum():
        raise UserError(f"{shown(kept.files[0])} holds no images")
    file = np.repeat(np.arange(len(arrays)), counts)
    within = np.arange(len(file)) - np.repeat(offsets_of(counts)[:-1], counts)
    # A new unit at every chunk of every array.
    chunk = within // np.array([a.chunk for a in arrays], np.int64)[file]
    unit = np.cumsum((np.diff(chunk, prepend=-1) != 0) | (np.diff(file, prepend=-1) != 0)) - 1
    sizes, mtimes = _sizes(kept)
    return Catalog(
        files=kept.files,
        sources=file[:, np.newaxis],
        names=kept.names,
        named=file,
        within=within,
        unit=unit,
        group=group[file],
        groups=groups,
        metadata={
            "path": (file.astype(np.int32), kept.files),
            **{name: (codes[file], values) for name, (codes, values) in columns.items()},
        },
        sizes=sizes,
        mtimes=mtimes,
        skipped=skipped,
        numbers={
            "zarr_idx": within,
            "object_number": np.concatenate([a.object_number for a in arrays]),
        },
    )


def _is_image(path: str, folder: bool) -> bool:
    return folder and (
        path.rstrip(os.sep).lower().endswith(".zarr")
        or os.path.exists(os.path.join(path, ".zarray"))
    )


def _sizes(listing: Listing) -> tuple[Int64Array, Int64Array]:
    """Bytes and latest modification of the files in each folder."""
    table = []
    for path in listing.files:
        with os.scandir(path) as entries:
            facts = [e.stat() for e in entries]
        table.append((sum(f.st_size for f in facts), max(f.st_mtime_ns for f in facts)))
    sizes, mtimes = np.array(table, np.int64).reshape(-1, 2).T
    return sizes.copy(), mtimes.copy()


def probe(sources: tuple[str, ...], index: int) -> ImageInfo:
    """Shape and type of an image.

    Raises
    ------
    UserError
        The array cannot be read.
    """
    array = _described(sources[0])
    c, h, w = (int(n) for n in array.shapes[index])
    return ImageInfo((c, h, w), pixel_type(array.dtype))


def read(
    references: References,
    channels: Sequence[int] | None,
    dtype: np.dtype[Any],
    window: Window | None = None,
    z: int | None = None,
    t: int | None = None,
    of: int | None = None,
) -> tuple[ImageBatch, list[Failure]]:
    """Read images; those that cannot be are failures. Each chunk is decompressed once.

    Parameters
    ----------
    references : References
        The images; those of a chunk one after the other.
    channels : sequence of int or None
        Channels wanted; None for all.
    dtype : dtype
        Pixel type of the run; images of a type that does not fit into it are failures.
    window : (min row, min column, max row, max column), optional
        Part of each image to keep, ends exclusive.
    of : int, optional
        Channels that every image must have.
    z, t : None
        The format has neither.

    Raises
    ------
    UserError
        ``z`` or ``t`` was given, or numcodecs is not installed.
    """
    if z is not None or t is not None:
        raise UserError("images in SCIP's zarr layout have neither z nor t")
    blosc = numcodecs_module().blosc
    threads = blosc.use_threads
    # One rank per core: blosc's own threads would be more than there are cores.
    blosc.use_threads = False
    try:
        return gather(references, _Reader().image, channels, dtype, window, of)
    finally:
        blosc.use_threads = threads


class _Reader:
    """Images by path and index, with the array and the chunk of the last one at hand."""

    def __init__(self) -> None:
        self.path: str | None = None
        self.array: ZarrArray | ImageError
        self.number = -1
        self.items: list[bytes | memoryview] | Exception

    def image(self, sources: tuple[str, ...], index: int, pick: Pick) -> NDArray[Any]:
        """Chosen channels of one image; raises for its chunk's fault each time it is asked for."""
        (path,) = sources
        if path != self.path:
            self.path, self.number = path, -1
            try:
                self.array = describe_array(path)
            except ImageError as error:
                self.array = error
        array = self.array
        if isinstance(array, ImageError):
            raise array
        if not 0 <= index < len(array):
            raise ImageError(f"holds {len(array)} images, so none with index {index}")
        number, at = divmod(index, array.chunk)
        if number != self.number:
            self.number = number
            try:
                self.items = read_chunk(array, number)
            except Exception as error:  # kept, so that a broken chunk is decoded once as well
                self.items = error
        if isinstance(self.items, Exception):
            raise self.items
        shape = tuple(int(n) for n in array.shapes[index])
        item = self.items[at]
        if len(item) != int(np.prod(shape)) * array.dtype.itemsize:
            raise ImageError(
                f"image {index} has {len(item) // array.dtype.itemsize} pixels, its shape {shape} "
                "in .zattrs has another number"
            )
        pixels = np.frombuffer(item, array.dtype).reshape(shape)
        return pixels[pick(shape[0])]


def _described(path: str) -> ZarrArray:
    try:
        return describe_array(path)
    except ImageError as error:
        raise UserError(f"{shown(path)}: {error}") from None
