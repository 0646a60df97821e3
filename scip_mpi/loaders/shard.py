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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array
from scip_mpi.loaders.texts import Categorical, Texts

FORMAT, VERSION = "scip_mpi shard", 1
PAGE = 4096
# The part of a key that is kept: it goes with an image's index in 63 bits.
KEY = 0x7FFFFFFF


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
