"""Reading the index and the pixels of shards (`scip_mpi.loaders.shard` says what they hold)."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.loaders.gather import ImageError, describe
from scip_mpi.loaders.shard import FORMAT, VERSION, get_texts


@dataclass(frozen=True)
class Index:
    """What a shard says of its images' pixels.

    Attributes
    ----------
    start : int
        Byte of the file at which the pixels begin.
    length : int
        Pixels in the dataset.
    dtype : dtype
    offset : ndarray of int64, shape (n,)
    shape : ndarray of int64, shape (n, 3)
    key : int
    companions : dict of str to (int, ndarray of int64)
        Byte of the file at which a companion's planes begin, and where from there each ends.
    """

    start: int
    length: int
    dtype: np.dtype[Any]
    offset: Int64Array
    shape: Int64Array
    key: int
    companions: dict[str, tuple[int, Int64Array]]

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def sizes(self) -> Int64Array:
        """Pixels of each image."""
        channels, rows, columns = self.shape.T
        return channels * rows * columns


class Shard:
    """A shard that is open for reading pixels.

    Raises
    ------
    ImageError
        The file is no shard, or is truncated or broken.
    """

    def __init__(self, path: str) -> None:
        with open_hdf5(path) as file:
            self.index = read_index(file)
        self.file = open(path, "rb", buffering=0)  # closed when nothing refers to the shard

    def pixels(self, lo: int, hi: int) -> NDArray[Any]:
        """The pixels ``lo`` to ``hi``, by one read.

        Raises
        ------
        ImageError
            They are not in the file.
        """
        out = np.empty(hi - lo, self.index.dtype)
        self._fill(out.view(np.uint8), self.index.start + lo * out.itemsize)
        return out

    def companion(self, name: str, place: int) -> Int64Array:
        """One image's companion, shape (H, W).

        Raises
        ------
        ImageError
            It is not in the file, or not whole.
        """
        start, ends = self.index.companions[name]
        lo = int(ends[place - 1]) if place else 0
        data = np.empty(int(ends[place]) - lo, np.uint8)
        self._fill(data, start + lo)
        shape = self.index.shape[place, 1:]
        size = int(shape.prod()) * 8
        try:
            plane = zlib.decompressobj().decompress(data, size + 1)
        except zlib.error:
            plane = b""
        if len(plane) != size:
            raise ImageError(f"is a broken shard: the companion {name} is not whole")
        return np.frombuffer(plane, np.int64).reshape(shape)

    def _fill(self, buffer: UInt8Array, at: int) -> None:
        view = memoryview(buffer)
        while view:
            got = os.preadv(self.file.fileno(), [view], at)
            if not got:
                raise ImageError("is truncated: pixels are missing")
            view, at = view[got:], at + got


@contextmanager
def open_hdf5(path: str, what: str = "shard") -> Iterator[Any]:
    """An HDF5 file, open; whatever HDF5 complains of in this ``what`` is an `ImageError`.

    It is not locked, as some parallel file systems know no locks.
    """
    import h5py

    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        # HDF5's own words are about its insides.
        known = os.strerror(error.errno) if error.errno else "is truncated, broken or no HDF5 file"
        raise ImageError(known) from None
    with file:
        try:
            yield file
        except ImageError:
            raise
        except Exception as error:  # whatever a broken file makes the reader raise
            raise ImageError(f"is a broken {what}: {describe(error, path)}") from None


def read_index(file: Any) -> Index:
    """The index of an open shard, checked: each image lies among the pixels.

    Raises
    ------
    ImageError
        It is no shard of this version, or its parts do not fit together.
    """
    if file.attrs.get("format") != FORMAT:
        raise ImageError("is no file that `scip_mpi pack` made")
    if file.attrs["version"] != VERSION:
        raise ImageError(
            f"is of version {file.attrs['version']} of the format, this program reads {VERSION}"
        )
    pixels = file["pixels"]
    index = Index(
        start=pixels.id.get_offset(),
        length=int(pixels.shape[0]),
        dtype=pixels.dtype,
        offset=file["images/offset"][()],
        shape=file["images/shape"][()].reshape(-1, 3),
        key=int(file.attrs["key"]),
        companions={
            name: (int(group["bytes"].id.get_offset() or 0), group["ends"][()])
            for name, group in (
                (name, file[f"companions/{k}"])
                for k, name in enumerate(get_texts(file["companions/name"]))
            )
        },
    )
    n = len(index)
    fits = index.shape.shape == (n, 3) and index.start is not None
    if fits and n:
        ends = index.offset + index.sizes
        fits = index.offset.min() >= 0 and index.shape.min() > 0 and ends.max() <= index.length
    if not fits or any(len(ends) != n for _, ends in index.companions.values()):
        raise ImageError("is a broken shard: its index does not fit its pixels")
    return index
