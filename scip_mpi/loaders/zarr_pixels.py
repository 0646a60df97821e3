"""Parts of zarr arrays of numbers, versions 2 and 3, read chunk by chunk.

Read here rather than with zarr-python, which trusts what compressed data say of their sizes and can
be crashed by them. Of version 3 the codecs are known that the specification names: bytes,
transpose, blosc, gzip, zstd, crc32c and shards.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.loaders.checksums import crc32c
from scip_mpi.loaders.gather import ImageError, describe, pixel_type
from scip_mpi.loaders.zarr_array import COMPRESSORS, decompress, numcodecs_module, read_json

V3, V2 = "zarr.json", ".zarray"
# A chunk is decompressed as a whole; a broken header may promise one of any size.
LARGEST_CHUNK = 256 << 20
# In the index of a shard: there is no such chunk.
_MISSING = 2**64 - 1


@dataclass(frozen=True)
class Array:
    """An array's folder, and what its JSON file says.

    Attributes
    ----------
    path : str
    shape, chunks : tuple of int
        Of the array, and of what is decompressed at once.
    dtype : dtype
    fill : int or float
        What chunks that are not there hold.
    prefix, separator : str
        Of the names of chunks' files.
    codecs : tuple of dict
        Of a chunk, as version 3 lists them.
    shard : dict, optional
        The configuration of the shards, if there are some.
    per_shard : tuple of int
        Chunks of a shard, or of a file without shards, along each axis.
    """

    path: str
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    dtype: np.dtype[Any]
    fill: int | float
    prefix: str
    separator: str
    codecs: tuple[dict[str, Any], ...]
    shard: dict[str, Any] | None
    per_shard: tuple[int, ...]


def open_array(path: str) -> Array:
    """Read what an array's JSON file says.

    Raises
    ------
    ImageError
        It is missing, broken, or says what cannot be read.
    """
    try:
        if os.path.exists(os.path.join(path, V3)):
            array = _version3(path, read_json(path, V3))
        else:
            array = _version2(path, read_json(path, V2))
        pixel_type(array.dtype)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ImageError(f"its array {os.path.basename(path)} is not as zarr's should be "
                         f"({error!r})") from None  # fmt: skip
    sizes = len(array.shape), len(array.chunks), len(array.per_shard)
    nbytes = math.prod(array.chunks) * array.dtype.itemsize
    if len(set(sizes)) > 1 or min(*array.shape, *array.chunks, *array.per_shard, 1) < 1:
        raise ImageError(f"its array has shape {array.shape} in chunks of {array.chunks}")
    if nbytes > LARGEST_CHUNK or math.prod(array.per_shard) * 16 > LARGEST_CHUNK:
        raise ImageError(f"has chunks of {array.chunks}, which cannot be read at once")
    return array


def _whole(numbers: Sequence[Any]) -> tuple[int, ...]:
    return tuple(int(n) for n in numbers)


def _fill(value: Any, dtype: np.dtype[Any]) -> int | float:
    number = {None: 0, "NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}.get(
        value, value
    )
    return np.array(number, dtype).item()


def _version2(path: str, head: Mapping[str, Any]) -> Array:
    dtype = np.dtype(head["dtype"])
    chunks = _whole(head["chunks"])
    codecs: list[dict[str, Any]] = []
    if head.get("order", "C") == "F":
        order = list(range(len(chunks)))[::-1]
        codecs.append({"name": "transpose", "configuration": {"order": order}})
    codecs.append({"name": "bytes"})
    # Filters are codecs as compressors are.
    for codec in [*(head.get("filters") or ()), head.get("compressor")]:
        if codec is not None:
            codecs.append({"name": codec["id"], "configuration": codec})
    return Array(
        path, _whole(head["shape"]), chunks, dtype, _fill(head.get("fill_value"), dtype), "",
        head.get("dimension_separator", "."), tuple(codecs), None, (1,) * len(chunks),
    )  # fmt: skip


def _version3(path: str, head: Mapping[str, Any]) -> Array:
    dtype = np.dtype(str(head["data_type"]))
    chunks = _whole(head["chunk_grid"]["configuration"]["chunk_shape"])
    codecs = list(head["codecs"])
    shard, per_shard = None, (1,) * len(chunks)
    if codecs[0]["name"] == "sharding_indexed":
        if len(codecs) > 1:
            raise ImageError("has shards that are compressed as a whole, which cannot be read")
        shard = dict(codecs[0]["configuration"])
        inner = _whole(shard["chunk_shape"])
        if len(inner) != len(chunks) or any(
            i < 1 or c % i for c, i in zip(chunks, inner, strict=True)
        ):
            raise ImageError(f"has shards of {chunks} that chunks of {inner} do not fill")
        per_shard = tuple(c // i for c, i in zip(chunks, inner, strict=True))
        chunks, codecs = inner, list(shard["codecs"])
    encoding = head.get("chunk_key_encoding", {})
    own = encoding.get("name", "default") == "default"
    given = encoding.get("configuration", {}).get("separator", "/" if own else ".")
    return Array(
        path, _whole(head["shape"]), chunks, dtype, _fill(head.get("fill_value"), dtype),
        f"c{given}" if own else "", given, tuple(codecs), shard, per_shard,
    )  # fmt: skip


class Reader:
    """Reads parts of an array; the index of the last shard is kept."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.shard = ""
        self.index: NDArray[np.uint64] | None = None

    def read(self, wanted: Sequence[Sequence[int]]) -> NDArray[Any]:
        """The pixels at the places ``wanted`` along each axis, which must be in the array.

        Raises
        ------
        ImageError
            A chunk is truncated or corrupt.
        """
        array = self.array
        out = np.full([len(w) for w in wanted], array.fill, array.dtype.newbyteorder("="))
        axes = [_pieces(w, c) for w, c in zip(wanted, array.chunks, strict=True)]
        for pieces in itertools.product(*axes):
            coordinates = [number for number, _, _ in pieces]
            chunk = self._chunk(coordinates)
            if chunk is not None:
                source = tuple(inside for _, inside, _ in pieces)
                out[tuple(target for _, _, target in pieces)] = chunk[source]
        return out

    def _chunk(self, coordinates: Sequence[int]) -> NDArray[Any] | None:
        """A chunk's pixels; None if it is not there."""
        array = self.array
        outer = [k // n for k, n in zip(coordinates, array.per_shard, strict=True)]
        name = array.prefix + array.separator.join(map(str, outer))
        try:
            with open(os.path.join(array.path, name), "rb") as stream:
                if array.shard is None:
                    data: bytes | None = stream.read()
                else:
                    inner = [k % n for k, n in zip(coordinates, array.per_shard, strict=True)]
                    data = self._part(stream, name, inner)
        except FileNotFoundError:
            return None
        if data is None:
            return None
        try:
            return _decoded(data, array.codecs, array.chunks, array.dtype)
        except Exception as error:  # codecs raise whatever they like
            raise ImageError(
                f"its chunk {name} is truncated or corrupt: {describe(error, array.path)}"
            ) from None

    def _part(self, stream: Any, name: str, inner: Sequence[int]) -> bytes | None:
        """A chunk's bytes in an open shard."""
        array = self.array
        assert array.shard is not None
        if name != self.shard:
            self.shard, self.index = name, None
            codecs = list(array.shard["index_codecs"])
            size = 16 * math.prod(array.per_shard) + 4 * (codecs[-1]["name"] == "crc32c")
            end = os.fstat(stream.fileno()).st_size
            if size > end:
                raise ImageError(f"its shard {name} is truncated")
            stream.seek(0 if array.shard.get("index_location") == "start" else end - size)
            shape = (*array.per_shard, 2)
            try:
                self.index = _decoded(stream.read(size), codecs, shape, np.dtype(np.uint64))
            except ImageError as error:
                raise ImageError(f"its shard {name}: {error}") from None
        if self.index is None:
            raise ImageError(f"its shard {name} is truncated or corrupt")
        offset, length = self.index[tuple(inner)].tolist()
        if offset == length == _MISSING:
            return None
        if offset + length > os.fstat(stream.fileno()).st_size:
            raise ImageError(f"its shard {name} is truncated or corrupt")
        stream.seek(offset)
        return bytes(stream.read(length))


def _pieces(wanted: Sequence[int], chunk: int) -> Iterator[tuple[int, Any, Any]]:
    """For each chunk along an axis: its number, what is wanted of it, and where that goes."""
    if isinstance(wanted, range):
        for number in range(wanted[0] // chunk, wanted[-1] // chunk + 1):
            first = number * chunk
            lo, hi = max(wanted[0], first), min(wanted[-1] + 1, first + chunk)
            target = slice(lo - wanted[0], hi - wanted[0])
            yield number, slice(lo - first, hi - first), target
        return
    places = np.asarray(wanted, np.int64)
    for number in np.unique(places // chunk).tolist():
        (own,) = np.nonzero(places // chunk == number)
        yield number, places[own] - number * chunk, own


def _decoded(
    data: bytes, codecs: Sequence[Mapping[str, Any]], shape: Sequence[int], dtype: np.dtype[Any]
) -> NDArray[Any]:
    """A chunk's pixels from its bytes."""
    expected = math.prod(shape) * dtype.itemsize
    orders = [c["configuration"]["order"] for c in codecs if c["name"] == "transpose"]
    buffer: Any = data
    for codec in reversed(codecs):
        name = codec["name"]
        if name == "transpose":
            continue
        if name == "bytes":
            endian = codec.get("configuration", {}).get("endian")
            if endian is not None:
                dtype = dtype.newbyteorder("<" if endian == "little" else ">")
        elif name == "crc32c":
            buffer = memoryview(buffer).cast("B")
            body = np.frombuffer(buffer[:-4], np.uint8)
            if int.from_bytes(buffer[-4:], "little") != crc32c(body):
                raise ImageError("its checksum is wrong")
            buffer = body
        else:
            buffer = _decompressed(name, dict(codec.get("configuration", {})), buffer, expected)
    stored = list(range(len(shape)))
    for order in orders:
        stored = [stored[k] for k in order]
    flat = np.frombuffer(buffer, np.uint8)
    if flat.size != expected:
        raise ImageError(f"it has {flat.size:,} bytes, not {expected:,}")
    block = flat.view(dtype).reshape([shape[k] for k in stored])
    return block.transpose(np.argsort(stored))


def _decompressed(name: str, configuration: dict[str, Any], data: Any, expected: int) -> Any:
    if name in COMPRESSORS:
        # Version 3 spells some of what only matters to compress in other ways.
        return decompress({"id": name}, data, expected)
    if name not in ("delta", "shuffle", "fixedscaleoffset", "bitround"):
        raise ImageError(f"it is made with the codec {name!r}, which is not known")
    return np.ascontiguousarray(
        numcodecs_module().get_codec({**configuration, "id": name}).decode(data)
    ).view(np.uint8)
