"""What a loader gives: a catalog of images, their shape without pixels, and batches of pixels.

A loader is a module with three functions, and perhaps ``warm_up()``, which has its kernels
compiled; the keyword-only arguments of ``discover`` are the keys
that ``load.kwargs`` accepts.

    discover(paths, *, ...) -> Catalog
    probe(sources, index) -> ImageInfo                    shape and type, no pixels
    read(references, channels, dtype, window=None, z=None, t=None, of=None)
        -> (ImageBatch, failures)

``sources`` are the files of one image, its companions left out. ``channels`` are indices into the
image's channels, None for all. ``dtype`` is the pixel type of the
run: an image whose type fits into it is converted, another is a failure. ``window`` is the part of
each image that is wanted: fields larger than memory are read by parts, if the loader reads no more.

``discover`` and ``probe`` raise `UserError` for what the user must mend, ``probe`` for an image
that cannot be read too. Nothing raises through a batch: an image that cannot be read is a
`Failure`, and the batch holds the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, Int64Array
from scip_mpi.loaders.texts import Texts, compact

# (min row, min column, max row, max column) of a part of an image, ends exclusive.
Window = tuple[int, int, int, int]


@dataclass(frozen=True)
class ImageInfo:
    """Shape (all channels of the file, H, W) and pixel type of an image.

    ``saturation`` is the largest value that its camera gives, where that is not the type's.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    saturation: float | None = None


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
    sources : list of tuple of str
        Files of each image: one, or one per channel, then its companions; "" where there is none.
    within : ndarray of int64
        Its index within the file.
    index : ndarray of int64
        Its place in the catalog.
    group : ndarray of int32
        Code of its group.
    companions : int
        How many of each image's files, the last ones, are companions.
    """

    sources: list[tuple[str, ...]]
    within: Int64Array
    index: Int64Array
    group: NDArray[np.int32]
    companions: int = 0

    def __len__(self) -> int:
        return len(self.sources)

    def take(self, rows: Int64Array | Sequence[int]) -> References:
        """The references ``rows``, by place in this object."""
        at = np.asarray(rows, np.int64)
        return References(
            [self.sources[i] for i in at],
            self.within[at],
            self.index[at],
            self.group[at],
            self.companions,
        )

    def alone(self) -> References:
        """The same images without their companions."""
        if not self.companions:
            return self
        own = [s[: -self.companions] for s in self.sources]
        return References(own, self.within, self.index, self.group)


@dataclass(frozen=True)
class Catalog:
    """All images, as columns of arrays, in row order (rule: path given, path, index in file).

    There may be a hundred million images: texts are `Texts`, columns may share memory, and nothing
    holds a Python object for each image.

    Attributes
    ----------
    files : sequence of str
        Paths of all files, as opened.
    sources : ndarray of int64, shape (n, K)
        Which files each image is in: one, or one per channel, then its companions; -1 where there
        is none.
    names : sequence of str
        Ids (relative paths, or what the regex calls id); the image's id is the name, and
        ``name#index`` where several images have one name.
    named : ndarray of int64, shape (n,)
        Which of ``names`` each image has.
    within : ndarray of int64, shape (n,)
        Index within the file; -1 for a picture that is the whole file.
    group : ndarray of int32, shape (n,)
        Code into ``groups``.
    groups : list of str
        Names of the groups, sorted.
    metadata : dict of str to (codes, categories)
        A categorical per metadata column (named groups of the regex); -1 is missing.
    numbers : dict of str to ndarray of int64 or float64, shape (n,)
        Metadata columns of numbers; -1, or NaN, is missing.
    unit : ndarray of int64, shape (n,)
        Ascending numbers of what can only be read whole (a file, a chunk of an array): images of
        one unit are best read together.
    sizes, mtimes : ndarray of int64, shape (files,)
        Bytes and modification time (ns) of each file, for the run's fingerprint.
    skipped : int
        Files seen that are no images by the pattern given.
    channels : list of int, optional
        What ``load.channels`` calls the channels, where it does not count them from 0.
    channel_names : list of str, optional
        Names of all channels, as far as the files tell.
    companions : list of str
        Names of the companions: the last columns of ``sources``.
    nbytes : ndarray of int64, shape (n,), optional
        Bytes of each image's pixels, where they are known without reading it.
    """

    files: Sequence[str]
    sources: Int64Array
    names: Sequence[str]
    named: Int64Array
    within: Int64Array
    unit: Int64Array
    group: NDArray[np.int32]
    groups: list[str]
    metadata: dict[str, tuple[NDArray[np.int32], Sequence[str]]]
    sizes: Int64Array
    mtimes: Int64Array
    skipped: int = 0
    notes: list[str] = field(default_factory=list)
    numbers: dict[str, NDArray[Any]] = field(default_factory=dict)
    channels: list[int] | None = None
    channel_names: list[str] | None = None
    companions: list[str] = field(default_factory=list)
    nbytes: Int64Array | None = None

    def __len__(self) -> int:
        return len(self.sources)

    def references(self, lo: int, hi: int) -> References:
        """What a rank needs to read the images ``lo`` to ``hi``."""
        columns = (self._files_at(column) for column in self.sources[lo:hi].T)
        return References(
            list(zip(*columns, strict=True)),
            self.within[lo:hi],
            np.arange(lo, hi, dtype=np.int64),
            self.group[lo:hi],
            len(self.companions),
        )

    def _files_at(self, places: Int64Array) -> list[str]:
        """The files at some places; "" for -1."""
        if isinstance(self.files, Texts):
            found = list(self.files.take(np.maximum(places, 0))) if len(self.files) else [""]
            return [f if k >= 0 else "" for f, k in zip(found, places.tolist(), strict=True)]
        return [self.files[k] if k >= 0 else "" for k in places.tolist()]

    @cached_property
    def several(self) -> BoolArray:
        """Which of ``names`` several images have."""
        if len(self.names) == len(self):
            return np.broadcast_to(np.False_, len(self))
        return np.bincount(self.named, minlength=len(self.names)) > 1

    def image_names(self, images: Sequence[int] | Int64Array) -> Sequence[str]:
        """Ids of images by their place in the catalog."""
        at = np.asarray(images, np.int64)
        named = self.named[at]
        several = self.several[named]
        if not several.any() and isinstance(self.names, Texts):
            return self.names.take(named)
        return compact([
            f"{self.names[k]}#{within}" if one_of_several else self.names[k]
            for k, within, one_of_several in zip(named, self.within[at], several, strict=True)
        ])  # fmt: skip

    def costs(self) -> Int64Array:
        """Bytes of each image, or of its files, shared by the images of a file; 1 at least."""
        if self.nbytes is not None:
            return np.maximum(self.nbytes, 1)
        present = self.sources >= 0
        sharing = np.bincount(self.sources[present], minlength=len(self.files))
        parts = self.sizes // np.maximum(sharing, 1)
        costs = np.zeros(len(self), np.int64)
        for k in range(self.sources.shape[1]):
            costs += np.where(present[:, k], parts[self.sources[:, k]], 0)
        return np.maximum(costs, 1, out=costs)
