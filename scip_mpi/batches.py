"""The one data structure between two stages: a ragged batch of contiguous buffers with offsets.

Cell images differ in size, so a batch is one 1-D buffer, the offsets of its images and their
shapes. A compiled kernel loops over it in one call, a message carries it without pickling, and a
spill file holds it as it stands.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]
UInt8Array = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class ImageBatch:
    """Images of differing sizes, or crops of objects, in one buffer.

    Attributes
    ----------
    pixels : ndarray, shape (offsets[-1],)
        All pixels, image after image, each in C order (channel, row, column), native byte order.
    offsets : ndarray of int64, shape (n + 1,)
        Where each image starts in ``pixels``.
    shapes : ndarray of int64, shape (n, 3)
        (C, H, W) of each image; C is the same for all.
    index : ndarray of int64, shape (n,)
        The images' places in the catalog.
    """

    pixels: NDArray[Any]
    offsets: Int64Array
    shapes: Int64Array
    index: Int64Array

    def __len__(self) -> int:
        return len(self.index)

    @property
    def channels(self) -> int:
        """Number of channels (0 for an empty batch)."""
        return int(self.shapes[0, 0]) if len(self) else 0

    @cached_property
    def planes(self) -> Int64Array:
        """Where each image starts in a buffer of one plane per image: offsets without channels."""
        return offsets_of(self.shapes[:, 1] * self.shapes[:, 2])

    def image(self, i: int) -> NDArray[Any]:
        """View of image ``i``, shape (C, H, W)."""
        return self.pixels[self.offsets[i] : self.offsets[i + 1]].reshape(tuple(self.shapes[i]))

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self.image(i) for i in range(len(self)))

    @classmethod
    def from_images(
        cls,
        images: Sequence[NDArray[Any]],
        index: Sequence[int] | Int64Array | None = None,
        dtype: np.dtype[Any] | type | str | None = None,
    ) -> Self:
        """Copy images of shape (C, H, W), or (H, W) for one channel, into a batch.

        Parameters
        ----------
        images : sequence of ndarray
            Two- or three-dimensional; all with the same number of channels and, unless ``dtype``
            is given, of the same type.
        index : sequence of int, optional
            Places in the catalog; 0, 1, 2, ... by default.
        dtype : dtype, optional
            Type of the buffer; that of the first image by default.
        """
        arrays = [a[np.newaxis] if a.ndim == 2 else a for a in map(np.asarray, images)]
        if len({a.shape[0] for a in arrays}) > 1:
            raise ValueError("the images of a batch must have the same number of channels")
        shapes = np.array([a.shape for a in arrays], np.int64).reshape(-1, 3)
        offsets = offsets_of(shapes.prod(axis=1))
        if dtype is None:
            dtype = arrays[0].dtype if arrays else np.dtype(np.uint16)
        pixels = np.empty(offsets[-1], np.dtype(dtype).newbyteorder("="))
        for a, lo, hi in zip(arrays, offsets[:-1], offsets[1:], strict=True):
            pixels[lo:hi] = a.reshape(-1)
        if index is None:
            index = np.arange(len(arrays))
        return cls(pixels, offsets, shapes, np.asarray(index, np.int64))


@dataclass(frozen=True)
class MaskBatch:
    """Objects and their masks, bit-packed: what a segmenting rank sends to a feature rank.

    The table of objects (``image``, ``label``, ``bbox``, ``shapes``) stands apart from the bits, of
    which an object has one plane of ``ceil(H * W / 8)`` bytes per mask set and channel.

    Attributes
    ----------
    image, label : ndarray of int64, shape (m,)
        The image's place in the catalog, and the object's label in it.
    bbox : ndarray of int64, shape (m, 4)
        (min row, min column, max row, max column) of the crop in the image, ends exclusive.
    shapes : ndarray of int64, shape (m, 3)
        (C, H, W) of the crop.
    kept : ndarray of bool, shape (m, S)
        False where a mask set dropped the object: its columns are NaN.
    regions : ndarray of int64, shape (m, S, C)
        Connected components of each mask after border removal.
    set_bbox : ndarray of int64, shape (m, S, 4)
        Bounding box of the union of a set's masks in the crop, ends exclusive; -1 without a mask.
    background : ndarray of float64, shape (m, S, C)
        What ``bgcorr_`` features subtract; NaN for the mean outside the mask.
    statistics : ndarray of float64, shape (m, K)
        What the filter measured.
    in_field : ndarray of float64, shape (m, N)
        What families know of each object among the others of its field, family by family.
    offsets : ndarray of int64, shape (m + 1,)
        Where each object's bits start.
    bits : ndarray of uint8
        Little-endian bits, C order (set, channel, row-major pixels).
    """

    image: Int64Array
    label: Int64Array
    bbox: Int64Array
    shapes: Int64Array
    kept: BoolArray
    regions: Int64Array
    set_bbox: Int64Array
    background: FloatArray
    statistics: FloatArray
    in_field: FloatArray
    offsets: Int64Array
    bits: UInt8Array

    def __len__(self) -> int:
        return len(self.image)

    @property
    def sets(self) -> int:
        """Number of mask sets."""
        return int(self.kept.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes held in all arrays."""
        return sum(getattr(self, f.name).nbytes for f in fields(self))

    @classmethod
    def empty(cls, sets: int, channels: int, statistics: int = 0) -> Self:
        """No objects."""
        none = np.empty(0, np.int64)
        return cls(
            image=none,
            label=none,
            bbox=none.reshape(0, 4),
            shapes=none.reshape(0, 3),
            kept=np.empty((0, sets), bool),
            regions=np.empty((0, sets, channels), np.int64),
            set_bbox=np.empty((0, sets, 4), np.int64),
            background=np.empty((0, sets, channels)),
            statistics=np.empty((0, statistics)),
            in_field=np.empty((0, 0)),
            offsets=np.zeros(1, np.int64),
            bits=np.empty(0, np.uint8),
        )

    def take(self, rows: Int64Array | slice) -> Self:
        """The objects ``rows``, bits copied."""
        rows = np.arange(len(self))[rows]
        pieces = [self.bits[self.offsets[i] : self.offsets[i + 1]] for i in rows]
        table = {f.name: getattr(self, f.name)[rows] for f in fields(self)[:10]}
        return type(self)(
            **table,
            offsets=offsets_of(np.diff(self.offsets)[rows]),
            bits=np.concatenate(pieces) if pieces else np.empty(0, np.uint8),
        )

    @classmethod
    def joined(cls, pieces: Sequence[MaskBatch]) -> Self:
        """The objects of several batches of the same sets and channels, one batch at least."""
        sizes = [np.diff(piece.offsets) for piece in pieces]
        names = [f.name for f in fields(cls) if f.name != "offsets"]
        table = {n: np.concatenate([getattr(piece, n) for piece in pieces]) for n in names}
        return cls(**table, offsets=offsets_of(np.concatenate(sizes)))


@dataclass(frozen=True)
class SetMasks:
    """The masks of one mask set, unpacked, beside the batch of crops they belong to.

    Attributes
    ----------
    own : ndarray of uint8, shape (batch.pixels.size,)
        Each channel's own mask, 0 or 1, in the layout of ``batch.pixels``.
    combined : ndarray of uint8, shape (batch.planes[-1],)
        The combined mask: union of the masks of the combined channels, a plane per object.
    regions : ndarray of int64, shape (m, C)
        Components of each channel's mask.
    bbox : ndarray of int64, shape (m, 4)
        Bounding box of the union of all channels' masks.
    kept : ndarray of bool, shape (m,)
        Objects that the set kept; the rows of others stay NaN.
    background : ndarray of float64, shape (m, C)
        What ``bgcorr_`` features subtract; NaN for the mean outside the mask.
    in_field : ndarray of float64, shape (m, N)
        What the family knows of each object among the others of its field; no columns where it asks
        for nothing, or where crops are measured by themselves.
    """

    own: UInt8Array
    combined: UInt8Array
    regions: Int64Array
    bbox: Int64Array
    kept: BoolArray
    background: FloatArray
    in_field: FloatArray


@dataclass
class Scratch:
    """Buffers that outlive a batch, so that kernels do not allocate."""

    buffers: dict[str, NDArray[Any]] = field(default_factory=dict)

    def array(self, name: str, size: int, dtype: type | np.dtype[Any]) -> NDArray[Any]:
        """A 1-D buffer of at least ``size`` items; its contents are those of its last use."""
        held = self.buffers.get(name)
        if held is None or held.size < size or held.dtype != np.dtype(dtype):
            held = np.empty(max(size, 1), dtype)
            self.buffers[name] = held
        return held


def offsets_of(sizes: NDArray[Any]) -> Int64Array:
    """Offsets (n + 1) of consecutive pieces of the given sizes."""
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return offsets


T = TypeVar("T")
_HEAD = struct.Struct("<q")


def to_buffer(record: Any) -> UInt8Array:
    """One contiguous buffer holding a dataclass of arrays, for a message or a spill file."""
    parts: list[bytes | memoryview] = []
    for f in fields(record):
        array = np.ascontiguousarray(getattr(record, f.name))
        head = f"{array.dtype.str};{','.join(map(str, array.shape))}".encode()
        head += b" " * (-(len(head) + _HEAD.size) % 8)
        parts += [_HEAD.pack(len(head)), head, array.reshape(-1).view(np.uint8).data]
        parts.append(b"\0" * (-array.nbytes % 8))
    return np.frombuffer(b"".join(parts), np.uint8)


def from_buffer(cls: type[T], buffer: UInt8Array) -> T:
    """The dataclass of arrays that ``to_buffer`` laid out; its arrays are views of the buffer."""
    return cls(**{name: array for name, (_, _, array) in _laid_out(cls, buffer)})


def places_in(cls: type, buffer: UInt8Array) -> dict[str, tuple[int, int, int]]:
    """Where in a buffer of ``to_buffer`` each array lies: its head, its first byte, its end.

    From one head to another is a buffer of the arrays in between.
    """
    return {
        name: (head, at, at + array.nbytes) for name, (head, at, array) in _laid_out(cls, buffer)
    }


def _laid_out(cls: type, buffer: UInt8Array) -> Iterator[tuple[str, tuple[int, int, NDArray[Any]]]]:
    """Each array's name, the place of its head, its own, and itself."""
    view = memoryview(np.ascontiguousarray(buffer))
    at = 0
    for f in fields(cls):
        head = at
        (length,) = _HEAD.unpack_from(view, at)
        at += _HEAD.size
        dtype, _, shape_text = bytes(view[at : at + length]).decode().strip().partition(";")
        at += length
        shape = tuple(int(s) for s in shape_text.split(",") if s)
        array = np.frombuffer(view, np.dtype(dtype), math.prod(shape), at).reshape(shape)
        yield f.name, (head, at, array)
        at += array.nbytes + (-array.nbytes % 8)
