"""What a loader gives: a catalog of images, their shape without pixels, and batches of pixels.

A loader is a module with three functions; the keyword-only arguments of ``discover`` are the keys
that ``load.kwargs`` accepts.

    discover(paths, *, ...) -> Catalog
    probe(path, index) -> ImageInfo                       shape and type, no pixels
    read(references, channels, dtype, window=None, z=None, t=None, of=None)
        -> (ImageBatch, failures)

``channels`` are indices into the file's channels, None for all. ``dtype`` is the pixel type of the
run: an image whose type fits into it is converted, another is a failure.

``discover`` and ``probe`` raise `UserError` for what the user must mend, ``probe`` for an image
that cannot be read too. Nothing raises through a batch: an image that cannot be read is a
`Failure`, and the batch holds the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array

# (min row, min column, max row, max column) of a part of an image, ends exclusive.
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class ImageInfo:
    """Shape (all channels of the file, H, W) and pixel type of an image."""

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Failure:
    """An image that could not be processed: its place in the catalog, the stage and the reason."""

    index: int
    stage: str
    error: str


@dataclass(frozen=True)
class References:
    """The part of a catalog that travels with a chunk.

    Attributes
    ----------
    paths : list of str
        Path of each image's file.
    within : ndarray of int64
        Its index within the file.
    index : ndarray of int64
        Its place in the catalog.
    group : ndarray of int32
        Code of its group.
    """

    paths: list[str]
    within: Int64Array
    index: Int64Array
    group: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.paths)

    def slice(self, lo: int, hi: int) -> References:
        """The references ``lo`` to ``hi``, by place in this object."""
        return References(
            self.paths[lo:hi], self.within[lo:hi], self.index[lo:hi], self.group[lo:hi]
        )


@dataclass(frozen=True)
class Catalog:
    """All images, as columns of arrays, in row order (rule: path given, path, index in file).

    Attributes
    ----------
    files : list of str
        Paths of the files that hold images, as opened; ``names`` are their ids (relative paths).
    names : list of str
        Id of each file, unique; the image's id is the name, and ``name#index`` where a file holds
        several.
    file : ndarray of int64, shape (n,)
        Which file each image is in.
    within : ndarray of int64, shape (n,)
        Index within the file.
    group : ndarray of int32, shape (n,)
        Code into ``groups``.
    groups : list of str
        Names of the groups, sorted.
    metadata : dict of str to (codes, categories)
        A categorical per metadata column (named groups of the regex); -1 is missing.
    numbers : dict of str to ndarray of int64, shape (n,)
        Metadata columns of numbers; -1 is missing.
    unit : ndarray of int64, shape (n,)
        Ascending numbers of what can only be read whole (a file, a chunk of an array): images of
        one unit are best read together.
    sizes, mtimes : ndarray of int64, shape (files,)
        Bytes and modification time (ns) of each file, for the run's fingerprint.
    skipped : int
        Files seen that are no images by the pattern given.
    """

    files: list[str]
    names: list[str]
    file: Int64Array
    within: Int64Array
    unit: Int64Array
    group: NDArray[np.int32]
    groups: list[str]
    metadata: dict[str, tuple[NDArray[np.int32], list[str]]]
    sizes: Int64Array
    mtimes: Int64Array
    skipped: int = 0
    notes: list[str] = field(default_factory=list)
    numbers: dict[str, Int64Array] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.file)

    def references(self, lo: int, hi: int) -> References:
        """What a rank needs to read the images ``lo`` to ``hi``."""
        return References(
            [self.files[f] for f in self.file[lo:hi]],
            self.within[lo:hi],
            np.arange(lo, hi, dtype=np.int64),
            self.group[lo:hi],
        )

    def image_names(self, images: Sequence[int] | Int64Array) -> list[str]:
        """Ids of images by their place in the catalog."""
        several = np.bincount(self.file, minlength=len(self.files)) > 1
        return [
            f"{self.names[f]}#{self.within[i]}" if several[f] else self.names[f]
            for i, f in zip(images, self.file[np.asarray(images, np.int64)], strict=True)
        ]
