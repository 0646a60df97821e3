"""Shards: many images in one HDF5 file, their pixels in one contiguous dataset.

    /                    attributes: format, version, key, parts
    /pixels              1-D, all pixels, each image in C order (channel, row, column)
    /images/offset       int64 (n,): where in pixels each image starts; images may share pixels
    /images/shape        int64 (n, 3): (C, H, W)
    /images/name         texts: the images' ids
    /images/group        texts, a code per image
    /metadata/<column>   texts, a code per image, -1 for a missing one
    /numbers/<column>    int64 or float64 (n,)
    /channels/number     int64, and /channels/name, texts: as far as they are known
    /companions/name     texts: what pictures each image has beside it
    /companions/<k>      a plane of int64 per image, deflated: ``bytes``, and where each ``ends``

Texts are a group of two datasets, ``bytes`` (UTF-8, undecodable bytes of file names kept) and
``ends`` (where in it each text ends); those with a code per image have ``codes`` beside them.
The ``key`` is a checksum of pixels and index, by which a shard that was replaced is noticed.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.loaders.gather import ImageError, describe
from scip_mpi.loaders.texts import Texts

FORMAT, VERSION = "scip_mpi shard", 1
PAGE = 4096
# The part of a key that is kept: it goes with an image's index in 63 bits.
KEY = 0x7FFFFFFF
Categorical = tuple[NDArray[np.int32], Sequence[str]]


@dataclass(frozen=True)
class Columns:
    """What is known of the images of a shard beside their pixels.

    Attributes
    ----------
    names : Texts
        Ids.
    group : (codes, values)
    metadata : dict of str to (codes, values)
        -1 is missing.
    numbers : dict of str to ndarray
    """

    names: Texts
    group: Categorical
    metadata: Mapping[str, Categorical] = field(default_factory=dict)
    numbers: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: Int64Array) -> Columns:
        """The images ``rows``, with the values that they have."""
        return Columns(
            self.names.take(rows),
            used(self.group, rows),
            {name: used(column, rows) for name, column in self.metadata.items()},
            {name: values[rows] for name, values in self.numbers.items()},
        )


def used(column: Categorical, rows: Int64Array) -> Categorical:
    """A column's rows; the values that none of them has are left out."""
    codes = column[0][rows]
    found, places = np.unique(codes, return_inverse=True)
    missing = int(np.searchsorted(found, 0))
    return (places - missing).astype(np.int32), [column[1][k] for k in found[missing:]]


@dataclass(frozen=True)
class Channels:
    """What ``load.channels`` calls the channels, and their names, as far as they are known.

    ``companions`` are the names of the pictures that each image has beside it.
    """

    numbers: list[int] | None = None
    names: list[str] | None = None
    companions: list[str] = field(default_factory=list)


def put_texts(group: Any, texts: Sequence[str]) -> None:
    """Write texts into an empty HDF5 group."""
    held = Texts.of(texts).dense()
    group["bytes"], group["ends"] = np.frombuffer(held.blob, np.uint8), held.ends


def get_texts(group: Any) -> Texts:
    """Read them back."""
    ends = group["ends"][()]
    starts = np.concatenate([np.zeros(1, np.int64), ends])[:-1]
    return Texts(group["bytes"][()].tobytes(), starts, ends)


def put_column(group: Any, column: Categorical) -> None:
    """Write a column of texts."""
    group["codes"] = column[0]
    put_texts(group, column[1])


def get_column(group: Any) -> Categorical:
    """Read it back."""
    return group["codes"][()], list(get_texts(group))


def read_columns(file: Any) -> Columns:
    """All but pixels and index of an open shard."""
    return Columns(
        get_texts(file["images/name"]),
        get_column(file["images/group"]),
        {name: get_column(group) for name, group in file.get("metadata", {}).items()},
        {name: values[()] for name, values in file.get("numbers", {}).items()},
    )


def read_channels(file: Any) -> Channels:
    """What an open shard's channels are called."""
    known = file["channels"]
    return Channels(
        known["number"][()].tolist() if "number" in known else None,
        list(get_texts(known["name"])) if "name" in known else None,
        list(get_texts(file["companions/name"])),
    )


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
        return self.shape.prod(axis=1)


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
def open_hdf5(path: str) -> Iterator[Any]:
    """A shard's HDF5 file, open; whatever HDF5 complains of is an `ImageError`.

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
            raise ImageError(f"is a broken shard: {describe(error, path)}") from None


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
