"""One CZI file of ZEN: its scenes, and their pixels by tile.

Made from Zeiss' description of the format (ZISRAW, schema DV). Compressions: none, JPEG, JPEG XR,
LZW and both kinds of Zstandard. Only full resolution is read, not the pyramid's upper levels.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from scip_mpi.loaders import lzw
from scip_mpi.loaders.contract import Window
from scip_mpi.loaders.gather import ImageError, Pick, checked_window, refuse_beyond_memory
from scip_mpi.loaders.series import Place, checked, image_at
from scip_mpi.loaders.tiff_file import believable

# Codes of pixel types: type, samples of a pixel.
_TYPES = {
    0: ("u1", 1), 1: ("<u2", 1), 2: ("<f4", 1), 3: ("u1", 3), 4: ("<u2", 3), 8: ("<f4", 3),
    9: ("u1", 4), 12: ("<i4", 1), 13: ("<f8", 1),
}  # fmt: skip
_RAW, _JPEG, _LZW, _JPEGXR, _ZSTD, _ZSTD_PACKED = 0, 1, 2, 4, 5, 6
_DECODERS = {_JPEG: "jpeg8_decode", _JPEGXR: "jpegxr_decode"}
_ENTRY, _DIMENSION = struct.Struct("<2siqiiBB4si"), struct.Struct("<4siifi")
# A directory of more is of no file that is read here.
_MOST_ENTRIES = 1 << 24


@dataclass(frozen=True)
class Block:
    """A tile of one plane: where in the file it is, where in the scene, and how it is stored."""

    position: int
    compression: int
    kind: int
    start: dict[str, int]
    height: int
    width: int


class Scene:
    """The blocks of one scene, by time, channel and plane.

    Raises
    ------
    ImageError
        They cannot be put together.
    """

    def __init__(self, blocks: list[Block]) -> None:
        self.blocks = blocks
        self.first = {a: min(b.start.get(a, 0) for b in blocks) for a in "TCZYX"}
        sizes = {a: max(b.start.get(a, 0) for b in blocks) - self.first[a] + 1 for a in "TCZ"}
        self.times, self.channels, self.planes = sizes["T"], sizes["C"], sizes["Z"]
        self.samples = {_TYPES[b.kind][1] for b in blocks}
        for axis in {a for b in blocks for a in b.start} - set("TCZYXSM"):
            if len({b.start.get(axis, 0) for b in blocks}) > 1:
                raise ImageError(f"has a dimension {axis} of several, which cannot be read")
        if len(self.samples) > 1:
            raise ImageError("has channels in colours beside others, which cannot be read")
        (samples,) = self.samples
        # Of four samples the last is no colour.
        self.colours = min(samples, 3)
        self.tiles = sorted({b.start.get("M", 0) for b in blocks})
        self.dtype = np.result_type(*(np.dtype(_TYPES[b.kind][0]) for b in blocks))

    def box(self, part: int) -> Window:
        """Rows and columns of the whole (0), or of a tile (1, 2, ...)."""
        own = self._of(part)
        if not own:
            raise ImageError(f"has {len(self.tiles)} tiles, so none with index {part - 1}")
        return (
            min(b.start["Y"] for b in own),
            min(b.start["X"] for b in own),
            max(b.start["Y"] + b.height for b in own),
            max(b.start["X"] + b.width for b in own),
        )

    def shape(self, part: int) -> tuple[int, int, int]:
        """(C, H, W) of the whole or of a tile."""
        r0, c0, r1, c1 = self.box(part)
        return self.channels * self.colours, r1 - r0, c1 - c0

    def _of(self, part: int) -> list[Block]:
        if part == 0:
            return self.blocks
        if part > len(self.tiles):
            return []
        return [b for b in self.blocks if b.start.get("M", 0) == self.tiles[part - 1]]

    def at(self, place: Place, channel: int) -> list[Block]:
        """The blocks of one plane, those that lie on top of others last."""
        wanted = {"T": place.t, "Z": place.z, "C": channel}
        found = [
            b
            for b in self._of(place.part)
            if all(b.start.get(a, 0) - self.first[a] == k for a, k in wanted.items())
        ]
        return sorted(found, key=lambda b: b.start.get("M", 0))


class CziFile:
    """An open file.

    Raises
    ------
    ImageError
        It is no CZI file, or broken.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.size = os.fstat(stream.fileno()).st_size
        if not self.size:
            raise ImageError("is empty (0 bytes)")
        if self._bytes(0, 10) != b"ZISRAWFILE":
            raise ImageError("is no CZI file")
        part, directory, self.metadata = struct.unpack("<iqq", self._bytes(80, 20))
        if part:
            raise ImageError("is a part of a CZI file that was written in several")
        scenes: dict[int, list[Block]] = {}
        for block in self._directory(directory):
            scenes.setdefault(block.start.get("S", 0), []).append(block)
        if not scenes:
            raise ImageError("holds no pictures")
        self.scenes = {number: scenes[number] for number in sorted(scenes)}

    def scene(self, number: int) -> Scene:
        """A scene by its number in the file."""
        if number not in self.scenes:
            raise ImageError(f"has no scene {number}")
        return Scene(self.scenes[number])

    def read(self, place: Place, pick: Pick, window: Window | None) -> NDArray[Any]:
        """Chosen channels, and part, of an image, shape (C, H, W); 0 where no tile lies."""
        scene = self.scene(place.number)
        checked(place, scene.times, scene.planes)
        channels, height, width = scene.shape(place.part)
        nbytes = len(pick(channels)) * height * width * scene.dtype.itemsize

        def plane(at: Place, part: Window | None) -> NDArray[Any]:
            return self._plane(scene, at, pick, part)

        return image_at(place, scene.planes, nbytes, plane, window)

    def _plane(self, scene: Scene, place: Place, pick: Pick, window: Window | None) -> NDArray[Any]:
        channels, height, width = scene.shape(place.part)
        top, left, _, _ = scene.box(place.part)
        r0, c0, r1, c1 = checked_window(window, height, width)
        chosen = pick(channels)
        refuse_beyond_memory(len(chosen) * (r1 - r0) * (c1 - c0) * scene.dtype.itemsize)
        planned = []
        for channel in dict.fromkeys(k // scene.colours for k in chosen):
            blocks = scene.at(place, channel)
            if not blocks:
                raise ImageError(f"lacks channel {channel} at t {place.t}, z {place.z}")
            planned += [(channel, b) for b in blocks]
        stored = sum(b.height * b.width for _, b in planned) * scene.colours * scene.dtype.itemsize
        nbytes = len(chosen) * (r1 - r0) * (c1 - c0) * scene.dtype.itemsize
        if not believable(nbytes, max(stored, 1), True) or not believable(stored, self.size, True):
            raise ImageError(f"is truncated or broken: {nbytes:,} bytes of pixels are not in it")
        image = np.zeros((len(chosen), r1 - r0, c1 - c0), scene.dtype)
        for channel, block in planned:
            row, column = block.start["Y"] - top, block.start["X"] - left
            lo, hi = max(row, r0), min(row + block.height, r1)
            start, end = max(column, c0), min(column + block.width, c1)
            if lo >= hi or start >= end:
                continue
            pixels = self._pixels(block)
            for k, wanted in enumerate(chosen):
                if wanted // scene.colours == channel:
                    target = image[k, lo - r0 : hi - r0, start - c0 : end - c0]
                    sample = pixels[:, :, wanted % scene.colours]
                    target[:] = sample[lo - row : hi - row, start - column : end - column]
        return image

    def told(self) -> ElementTree.Element:
        """What the file's XML says; nothing if it has none that can be read."""
        try:
            if self._bytes(self.metadata, 14) == b"ZISRAWMETADATA":
                (size,) = struct.unpack("<i", self._bytes(self.metadata + 32, 4))
                text = self._bytes(self.metadata + 288, size)
                return ElementTree.fromstring(text.rstrip(b"\0").decode("utf-8", "replace"))
        except (ImageError, ElementTree.ParseError, ValueError):
            pass
        return ElementTree.Element("none")

    def _directory(self, position: int) -> Iterator[Block]:
        """All blocks of full resolution."""
        if self._bytes(position, 15) != b"ZISRAWDIRECTORY":
            raise ImageError("is truncated or broken: it has no directory of its pictures")
        (count,) = struct.unpack("<i", self._bytes(position + 32, 4))
        (used,) = struct.unpack("<q", self._bytes(position + 24, 8))
        if not 0 <= count < _MOST_ENTRIES or used > self.size:
            raise ImageError("is broken: its directory cannot be read")
        data = self._bytes(position + 160, max(used - 128, 0))
        at = 0
        for _ in range(count):
            block, at = _entry(data, at)
            if block is not None:
                yield block

    def _pixels(self, block: Block) -> NDArray[Any]:
        """A block's pixels, shape (H, W, samples), red first."""
        if self._bytes(block.position, 14) != b"ZISRAWSUBBLOCK":
            raise ImageError("is truncated or broken: a tile is not where it should be")
        metadata, _, size = struct.unpack("<iiq", self._bytes(block.position + 32, 16))
        (dimensions,) = struct.unpack("<i", self._bytes(block.position + 76, 4))
        if not 0 <= dimensions < 100 or metadata < 0:
            raise ImageError("is broken: a tile has no header that can be read")
        offset = block.position + 48 + max(240, 32 + 20 * dimensions) + metadata
        kind, samples = _TYPES[block.kind]
        shape = (block.height, block.width, samples)
        expected = math.prod(shape) * np.dtype(kind).itemsize
        data = self._bytes(offset, size)
        if not believable(expected, size, block.compression != _RAW):
            raise ImageError("is truncated or broken: a tile cannot be in its bytes")
        pixels = np.asarray(_decoded(data, block, expected))
        if pixels.nbytes != expected:
            raise ImageError(
                f"is truncated or broken: a tile has {pixels.nbytes:,} bytes, not {expected:,}"
            )
        if pixels.dtype == np.uint8 or pixels.ndim == 1:
            pixels = np.ascontiguousarray(pixels).reshape(-1).view(kind)
        pixels = pixels.reshape(shape)
        # Blue is stored first; JPEG XR gives red first.
        return pixels if samples == 1 or block.compression == _JPEGXR else pixels[:, :, 2::-1]

    def _bytes(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise ImageError("is truncated or broken: a part of it lies beyond its end")
        return os.pread(self.stream.fileno(), size, offset)


def _entry(data: bytes, at: int) -> tuple[Block | None, int]:
    """An entry of the directory, None for one of the pyramid; and where the next one is."""
    try:
        schema, kind, position, _, compression, _, _, _, count = _ENTRY.unpack_from(data, at)
        dimensions = [_DIMENSION.unpack_from(data, at + 32 + 20 * k) for k in range(max(count, 0))]
    except struct.error:
        raise ImageError("is truncated or broken: its directory breaks off") from None
    at += 32 + 20 * len(dimensions)
    if schema != b"DV":
        raise ImageError("is broken: its directory cannot be read")
    if kind not in _TYPES:
        raise ImageError(f"has pixels of the kind {kind}, which is not known")
    named = {d[0].split(b"\0")[0].decode("latin-1"): d for d in dimensions}
    if not {"X", "Y"} <= named.keys():
        raise ImageError("is broken: a tile has no height or width")
    if any(named[a][2] != named[a][4] for a in "XY"):
        return None, at
    height, width = named["Y"][2], named["X"][2]
    if height < 1 or width < 1:
        raise ImageError(f"is broken: a tile has {height} x {width} pixels")
    start = {name: d[1] for name, d in named.items()}
    return Block(position, compression, kind, start, height, width), at


def _decoded(data: bytes, block: Block, expected: int) -> Any:
    """A block's bytes or pixels, decompressed."""
    import imagecodecs

    if block.compression == _RAW:
        return np.frombuffer(data[:expected], np.uint8)
    if block.compression in _DECODERS:
        return _array(getattr(imagecodecs, _DECODERS[block.compression])(data))
    if block.compression == _LZW:
        return lzw.unpack(data, np.empty(expected, np.uint8))
    if block.compression not in (_ZSTD, _ZSTD_PACKED):
        raise ImageError(f"has a tile of compression {block.compression}, which is not known")
    packed = False
    if block.compression == _ZSTD_PACKED:
        size = data[0] if data else 0
        packed = size == 3 and bool(data[2] & 1)
        data = data[size:]
    flat = _array(imagecodecs.zstd_decode(data, out=expected))
    # Of numbers of two bytes all the low ones may come first.
    return np.ascontiguousarray(flat.reshape(2, -1).T).reshape(-1) if packed else flat


def _array(decoded: Any) -> NDArray[Any]:
    return decoded if isinstance(decoded, np.ndarray) else np.frombuffer(decoded, np.uint8)


@contextmanager
def opened(path: str) -> Iterator[CziFile]:
    """A file, open.

    Raises
    ------
    ImageError
        It is no CZI file, or broken.
    """
    with open(path, "rb", buffering=0) as stream:
        yield CziFile(stream)
