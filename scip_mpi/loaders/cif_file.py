"""One CIF file: its objects, and the pixels and masks of each.

Made from public descriptions of the format, and never run on a file of an instrument.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array
from scip_mpi.loaders import cif_kernels as kernels
from scip_mpi.loaders.gather import ImageError, refuse_beyond_memory

IMAGE, MASK = 2, 3
# Compressions.
PLAIN, NIBBLES, RUNS = 1, 30817, 30818
# The cameras' 12 bits.
SATURATION = 4095.0
# Tags of the first directory and of the others.
_COUNT, _NAMES, _XML, _OBJECTS = 33000, 33007, 33027, 33018
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _OFFSETS, _LENGTHS = 256, 257, 258, 259, 273, 279
_IN_USE = "ChannelInUseIndicators_0_11"
# struct's letters for the types of tags.
_LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 11: "f", 12: "d"}


@dataclass(frozen=True)
class Contents:
    """What a file says of its objects.

    Attributes
    ----------
    channels : int
    names : list of str
        Of the channels in use; empty if they are not told.
    announced : int
        How many objects there should be; -1 if that is not told.
    number : ndarray of int64, shape (n,)
        The objects' numbers, ascending.
    image, mask : ndarray of int64, shape (n,)
        Where the directories of their images and masks are; 0 for no mask.
    shape : ndarray of int64, shape (n, 2)
        Height, and width of all channels together.
    """

    channels: int
    names: list[str]
    announced: int
    number: Int64Array
    image: Int64Array
    mask: Int64Array
    shape: Int64Array


class CifFile:
    """A file that is open for reading objects.

    Raises
    ------
    ImageError
        It is no CIF file.
    """

    def __init__(self, path: str) -> None:
        # Closed when nothing refers to this any more.
        self.stream = open(path, "rb", buffering=0)
        self.size = os.fstat(self.stream.fileno()).st_size
        if not self.size:
            raise ImageError("is empty (0 bytes)")
        head = self._bytes(0, 8)
        if head[:4] not in (b"II*\0", b"MM\0*"):
            raise ImageError("is no CIF file: it does not begin as a TIFF does")
        self.order = "<" if head[:2] == b"II" else ">"
        (self.first,) = struct.unpack(self.order + "I", head[4:])
        tags = self._tags(self.first)
        if _XML not in tags:
            raise ImageError("is no CIF file: it lacks the tag 33027 of the instrument")
        in_use = _channels_in_use(_text(tags[_XML]))
        self.channels = sum(in_use) or int(tags.get(_COUNT, [0])[0])
        self.announced = int(tags.get(_OBJECTS, [-1])[0])
        if not 0 < self.channels < 1000:
            raise ImageError(f"is broken: it is said to have {self.channels} channels")
        names = _text(tags.get(_NAMES, ())).split(b"\0")[0].decode("utf-8", "replace").split("|")
        if len(names) == len(in_use) and sum(in_use):
            names = [n for n, used in zip(names, in_use, strict=True) if used]
        self.names = names if len(names) == self.channels and all(names) else []

    def contents(self) -> Contents:
        """The objects, by the chain of directories.

        Raises
        ------
        ImageError
            The chain is broken, or an object has two images.
        """
        big = self.order == ">"
        with mmap.mmap(self.stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            data = np.frombuffer(mapped, np.uint8)
            table = np.empty((0, kernels.COLUMNS), np.int64)
            count = kernels.walk(data, self.first, big, table)
            if count != kernels.BROKEN:
                table = np.empty((count, kernels.COLUMNS), np.int64)
                kernels.walk(data, self.first, big, table)
            # The mapping cannot be closed while something refers to it.
            del data
        if count == kernels.BROKEN:
            raise ImageError("is truncated or broken: its chain of directories leads nowhere")
        table = table[1:]
        # Files of another program lack the kind: masks have eight bits.
        kind = table[:, kernels.KIND]
        kind = np.where(kind >= 0, kind, np.where(table[:, kernels.BITS] == 8, MASK, IMAGE))
        images, masks = table[kind == IMAGE], table[kind == MASK]
        if (images[:, kernels.OBJECT] < 0).all():
            # Without numbers there is only the order to go by.
            images[:, kernels.OBJECT] = np.arange(len(images))
            masks[:, kernels.OBJECT] = np.arange(len(masks))
        images, masks = (
            t[np.argsort(t[:, kernels.OBJECT], kind="stable")] for t in (images, masks)
        )
        for t in (images, masks):
            numbers = t[:, kernels.OBJECT]
            if (numbers < 0).any() or (np.diff(numbers) == 0).any():
                raise ImageError("is broken: an object has two images or masks, or no number")
        if not len(images):
            raise ImageError("holds no images")
        number = images[:, kernels.OBJECT]
        mask = np.zeros(len(images), np.int64)
        place = np.searchsorted(number, masks[:, kernels.OBJECT])
        known = place < len(number)
        known[known] = number[place[known]] == masks[known, kernels.OBJECT]
        mask[place[known]] = masks[known, kernels.OFFSET]
        return Contents(
            self.channels, self.names, self.announced, number, images[:, kernels.OFFSET], mask,
            images[:, [kernels.HEIGHT, kernels.WIDTH]],
        )  # fmt: skip

    def shape(self, offset: int) -> tuple[int, int, int]:
        """(C, H, W) of the image of a directory."""
        return self._shape(self._tags(offset))

    def image(self, offset: int) -> NDArray[np.int16]:
        """The image of a directory, shape (C, H, W)."""
        tags = self._tags(offset)
        shape, stream = self._shape(tags), self._stream(tags)
        plane = _room(stream, shape, np.int16, 2)
        compression = _number(tags, _COMPRESSION, PLAIN)
        if compression == PLAIN:
            plane[:] = self._plain(tags, stream, plane.shape)
        elif compression == NIBBLES:
            _complete(kernels.decode_image(stream, plane), "image")
        else:
            raise ImageError(f"has an image of compression {compression}, which is not known")
        return _split(plane, shape)

    def mask(self, offset: int) -> NDArray[np.uint8]:
        """The mask of a directory, shape (C, H, W)."""
        tags = self._tags(offset)
        shape, stream = self._shape(tags), self._stream(tags)
        plane = _room(stream, shape, np.uint8, 256)
        compression = _number(tags, _COMPRESSION, PLAIN)
        if compression == PLAIN:
            plane[:] = self._plain(tags, stream, plane.shape)
        elif compression == RUNS:
            _complete(kernels.decode_mask(stream, plane.reshape(-1)), "mask")
        else:
            raise ImageError(f"has a mask of compression {compression}, which is not known")
        return _split(plane, shape)

    def _plain(
        self, tags: dict[int, Any], stream: NDArray[np.uint8], shape: tuple[int, ...]
    ) -> NDArray[Any]:
        """Samples that are stored as such: of 16 bits with a sign, or of 8."""
        bits = _number(tags, _BITS, 0)
        if bits not in (8, 16) or stream.size * 8 != bits * shape[0] * shape[1]:
            raise ImageError(f"is truncated or broken: {stream.size:,} bytes for samples of {bits} "
                             f"bits, {shape[0]} x {shape[1]}")  # fmt: skip
        return stream.view("u1" if bits == 8 else "<i2").reshape(shape)

    def _shape(self, tags: dict[int, Any]) -> tuple[int, int, int]:
        height, width = _number(tags, _HEIGHT, 0), _number(tags, _WIDTH, 0)
        if height < 1 or width < 1 or width % self.channels:
            raise ImageError(
                f"has a picture of {height} x {width} pixels, which are not {self.channels} "
                "channels side by side"
            )
        return self.channels, height, width // self.channels

    def _stream(self, tags: dict[int, Any]) -> NDArray[np.uint8]:
        """All strips, one after the other."""
        offsets, lengths = tags.get(_OFFSETS, ()), tags.get(_LENGTHS, ())
        if len(offsets) != len(lengths) or sum(lengths) > self.size:
            raise ImageError("is truncated or broken: its strips are not in the file")
        parts = [self._bytes(int(o), int(n)) for o, n in zip(offsets, lengths, strict=True)]
        return np.frombuffer(b"".join(parts), np.uint8)

    def _tags(self, offset: int) -> dict[int, Any]:
        """Values of a directory's tags, as far as their types are known."""
        (count,) = struct.unpack(self.order + "H", self._bytes(offset, 2))
        found: dict[int, Any] = {}
        for tag, kind, n, inline in struct.iter_unpack(
            self.order + "HHI4s", self._bytes(offset + 2, 12 * count)
        ):
            letter = _LETTERS.get(kind)
            if letter is None:
                continue
            size = n * struct.calcsize(letter)
            data = inline
            if size > 4:
                # Tables of features may be large, and nothing here needs them.
                if tag not in (_NAMES, _XML, _OFFSETS, _LENGTHS):
                    continue
                (at,) = struct.unpack(self.order + "I", inline)
                data = self._bytes(at, size)
            found[tag] = struct.unpack(f"{self.order}{n}{letter}", data[:size])
        return found

    def _bytes(self, offset: int, size: int) -> bytes:
        if offset + size > self.size:
            raise ImageError("is truncated or broken: a part of it lies beyond its end")
        data = os.pread(self.stream.fileno(), size, offset)
        if len(data) != size:
            raise ImageError("is truncated: it became shorter while it was read")
        return data


def _text(values: Sequence[float]) -> bytes:
    """A tag's text; of what is none, nothing."""
    if all(isinstance(v, int) and 0 <= v < 256 for v in values):
        return bytes(map(int, values))
    return b""


def _number(tags: dict[int, Any], tag: int, default: int) -> int:
    values = tags.get(tag) or (default,)
    return int(values[0])


def _room(
    stream: NDArray[np.uint8], shape: tuple[int, int, int], dtype: type, each: int
) -> NDArray[Any]:
    """An empty plane of all channels, if its pixels can come of so few bytes."""
    c, h, w = shape
    if c * h * w > each * stream.size:
        raise ImageError(
            f"is truncated or broken: {h} x {c * w} pixels are not in {stream.size:,} bytes"
        )
    refuse_beyond_memory(c * h * w * np.dtype(dtype).itemsize)
    return np.empty((h, c * w), dtype)


def _split(plane: NDArray[Any], shape: tuple[int, int, int]) -> NDArray[Any]:
    """Channels that lie side by side, as (C, H, W)."""
    c, h, w = shape
    return plane.reshape(h, c, w).transpose(1, 0, 2)


def _complete(code: int, what: str) -> None:
    if code != kernels.WHOLE:
        how = "ends too early" if code == kernels.SHORT else "has too much in it"
        raise ImageError(f"is truncated or broken: the data of its {what} {how}")


def _channels_in_use(xml: bytes) -> list[bool]:
    """Whether each channel that there may be is; empty if the text does not tell."""
    try:
        root = ElementTree.fromstring(xml.split(b"\0")[0].strip())
    except (ElementTree.ParseError, ValueError, LookupError):
        raise ImageError("is no CIF file: the text of its tag 33027 is no XML") from None
    for element in root.iter():
        if element.tag.rpartition("}")[2] == _IN_USE:
            words = (element.text or "").split()
            return [word == "1" for word in words]
    return []
