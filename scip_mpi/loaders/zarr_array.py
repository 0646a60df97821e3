"""An array in SCIP's zarr layout on disk: what its two JSON files say, and the bytes of its images.

A version 2 array of one dimension whose items are flat arrays of pixels (numcodecs' VLenArray);
``.zattrs`` holds ``shape``, the (C, H, W) of each image, and ``object_number``. zarr-python 3 does
not open such arrays, so the chunk files are read here, with numcodecs to decompress them.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError
from scip_mpi.loaders.gather import ImageError, describe, pixel_type

# Codecs whose data cannot make this program run anything, unlike those that unpickle.
COMPRESSORS = frozenset(["blosc", "zlib", "gzip", "bz2", "lzma", "lz4", "zstd"])


@dataclass(frozen=True)
class ZarrArray:
    """What the two JSON files of an array say.

    Attributes
    ----------
    path : str
        The folder.
    chunk : int
        Images of a chunk.
    dtype : dtype
        Pixel type, in the file's byte order.
    compressor : dict or None
        Configuration of the codec.
    shapes : ndarray of int64, shape (n, 3)
        (C, H, W) of each image.
    object_number : ndarray of int64, shape (n,)
        -1 where there is none.
    """

    path: str
    chunk: int
    dtype: np.dtype[Any]
    compressor: dict[str, Any] | None
    shapes: Int64Array
    object_number: Int64Array

    def __len__(self) -> int:
        return len(self.shapes)


def describe_array(path: str) -> ZarrArray:
    """Read ``.zarray`` and ``.zattrs`` of a folder.

    Raises
    ------
    ImageError
        They are missing, broken, or describe something else than SCIP's layout.
    """
    if os.path.exists(os.path.join(path, "zarr.json")):
        raise ImageError("is a zarr version 3 store; this format reads SCIP's version 2 arrays")
    if os.path.exists(os.path.join(path, ".zgroup")):
        raise ImageError("is a zarr group (OME-Zarr perhaps); this format reads SCIP's arrays")
    head = read_json(path, ".zarray")
    filters = head.get("filters") or []
    kinds = [f.get("id") for f in filters]
    if head.get("dtype") != "|O" or len(head.get("shape", ())) != 1 or kinds != ["vlen-array"]:
        raise ImageError(
            "is not SCIP's layout, an array of one dimension whose items are flat arrays "
            f"(dtype |O, filter vlen-array): dtype {head.get('dtype')}, shape {head.get('shape')}, "
            f"filters {kinds}"
        )
    compressor = head.get("compressor")
    if compressor is not None and compressor.get("id") not in COMPRESSORS:
        raise ImageError(
            f"has compressor {compressor.get('id')!r}; known are {', '.join(sorted(COMPRESSORS))}"
        )
    n = int(head["shape"][0])
    attributes = read_json(path, ".zattrs")
    try:
        dtype = np.dtype(filters[0]["dtype"])
        pixel_type(dtype)
        chunk = int(head["chunks"][0])
        shapes = np.array(attributes["shape"], np.int64).reshape(-1, 3)
        known = attributes.get("object_number")
        numbers = np.full(len(shapes), -1) if known is None else np.array(known, np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ImageError(f".zarray or .zattrs are not as SCIP writes them ({error!r})") from None
    if len(shapes) != n or numbers.shape != (n,) or chunk < 1 or (n and shapes.min() < 1):
        raise ImageError(
            f".zarray has {n} images in chunks of {chunk}, .zattrs has {len(shapes)} shapes and "
            f"{numbers.size} object numbers"
        )
    return ZarrArray(path, chunk, dtype, compressor, shapes, numbers)


def read_json(path: str, name: str) -> dict[str, Any]:
    """One of the JSON files in a folder.

    Raises
    ------
    ImageError
        It cannot be read, or holds something else than a JSON object.
    """
    try:
        with open(os.path.join(path, name), "rb") as stream:
            value = json.load(stream)
    except OSError as error:
        raise ImageError(f"its {name} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ImageError(f"its {name} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ImageError(f"its {name} is no JSON object")
    return value


def read_chunk(array: ZarrArray, number: int) -> list[bytes | memoryview]:
    """Bytes of each image of a chunk.

    Raises
    ------
    ImageError
        The chunk is missing, truncated or corrupt.
    """
    where = f"chunk {number}"
    try:
        with open(os.path.join(array.path, str(number)), "rb") as stream:
            data = stream.read()
    except FileNotFoundError:
        raise ImageError(f"{where} is missing") from None
    first = number * array.chunk
    shapes = array.shapes[first : first + array.chunk]
    pixels = int(shapes.prod(axis=1).sum())
    expected = pixels * array.dtype.itemsize + 4 * (array.chunk + 1)
    try:
        return split_items(decompress(array.compressor, data, expected))[: len(shapes)]
    except Exception as error:  # codecs raise whatever they like
        raise ImageError(
            f"{where} is truncated or corrupt: {describe(error, array.path)}"
        ) from None


def decompress(compressor: dict[str, Any] | None, data: bytes, expected: int) -> memoryview:
    """Bytes of a chunk, of which there may be as many as ``expected``.

    Raises
    ------
    ImageError
        Its header is broken. Codecs raise what they like beside.
    """
    if compressor is None:
        return memoryview(data)
    if compressor["id"] == "blosc":
        # blosc trusts its header: lengths that do not agree would be read beyond the data.
        if len(data) < 16:
            raise ImageError(f"it has {len(data)} bytes")
        nbytes, _, cbytes = struct.unpack_from("<3I", data, 4)
        if cbytes != len(data) or nbytes > expected:
            raise ImageError(
                f"it has {len(data)} bytes for {nbytes}, its header and .zattrs say {cbytes} for "
                f"{expected}"
            )
    codec = numcodecs_module().get_codec(dict(compressor))
    return memoryview(codec.decode(data)).cast("B")


def split_items(buffer: memoryview) -> list[bytes | memoryview]:
    """Items of a VLenArray chunk: their number, then each item's length and bytes (all uint32)."""
    (count,) = struct.unpack_from("<I", buffer, 0)
    items: list[bytes | memoryview] = []
    at = 4
    for _ in range(count):
        (size,) = struct.unpack_from("<I", buffer, at)
        at += 4
        if at + size > len(buffer):
            raise ImageError("an item ends beyond the data")
        items.append(buffer[at : at + size])
        at += size
    return items


def numcodecs_module() -> Any:
    """The package numcodecs, which only this format needs.

    Raises
    ------
    UserError
        It is not installed.
    """
    try:
        import numcodecs
        import numcodecs.blosc
    except ImportError:
        raise UserError(
            "zarr and OME-Zarr need the package numcodecs: pip install scip_mpi[zarr]"
        ) from None
    return numcodecs
