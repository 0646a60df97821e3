"""LZW as TIFF and CZI use it, by a decoder that no data can lead out of its buffers.

TIFF 6.0 specification, section 13. The decoder of imagecodecs may crash on broken data.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from scip_mpi.batches import UInt8Array
from scip_mpi.loaders.gather import ImageError

BROKEN = -1
# TIFF's number of this compression, and of bytes whose first bit is the lowest.
LZW, _REVERSED = 5, 2
# A code is a bit and a half of a byte, and stands for no more than there are codes.
_MOST = 4096
_CLEAR, _END, _FIRST = 256, 257, 258
_WIDTH, _WIDEST = 9, 12


def decode(data: UInt8Array, out: UInt8Array) -> int:
    """Decode as much as there is room for.

    Parameters
    ----------
    data : ndarray of uint8
        Packed bytes, the first bit of each its highest; or, as writers before TIFF 5.0 had it, its
        lowest.
    out : ndarray of uint8
        Takes the bytes.

    Returns
    -------
    int
        How many; `BROKEN` if a code is met that cannot be there.
    """
    old = len(data) > 1 and data[0] == 0 and bool(data[1] & 1)
    return int(_decode(data, old, out))


def unpack(data: bytes | memoryview, out: UInt8Array) -> UInt8Array:
    """What of ``out`` the data fill.

    Raises
    ------
    ValueError
        The data are broken.
    """
    n = decode(np.frombuffer(data, np.uint8), out)
    if n == BROKEN:
        raise ValueError("LZW data that are broken")
    return out[:n]


def refuse_broken(page: Any, data: bytes | None) -> None:
    """Keep a strip or tile that is broken from tifffile, whose decoder may crash.

    Parameters
    ----------
    page : tifffile.TiffPage
    data : bytes, optional
        Of the strip or tile, as they are in the file.

    Raises
    ------
    ImageError
    """
    if page.compression != LZW or data is None:
        return
    if page.fillorder == _REVERSED:
        import imagecodecs

        data = bytes(imagecodecs.bitorder_decode(data))
    size = math.prod(page.chunks) * page.dtype.itemsize
    if decode(np.frombuffer(data, np.uint8), np.empty(min(size, _MOST * len(data)), np.uint8)) < 0:
        raise ImageError("is truncated or broken: its LZW data cannot be decoded")


@njit(cache=True, nogil=True, error_model="numpy")
def _decode(data, old, out):
    # A code's bytes are those from a place of what was decoded on: what came before it, and one.
    start = np.empty(1 << _WIDEST, np.int64)
    length = np.empty(1 << _WIDEST, np.int64)
    # Codes grow one early, but for old writers.
    early = 0 if old else 1
    free, width, before, size, n = _FIRST, _WIDTH, 0, 0, 0
    bits, have, at = 0, 0, 0
    while n < out.size:
        while have < width and at < data.size:
            bits = bits | (np.int64(data[at]) << have) if old else (bits << 8) | np.int64(data[at])
            have += 8
            at += 1
        if have < width:
            break
        mask = (1 << width) - 1
        code = bits & mask if old else (bits >> (have - width)) & mask
        have -= width
        bits = bits >> width if old else bits & ((1 << have) - 1)
        if code == _END:
            break
        if code == _CLEAR:
            free, width, size = _FIRST, _WIDTH, 0
            continue
        if code < _CLEAR:
            source, count = -1, 1
        elif size and code < free:
            source, count = start[code], length[code]
        elif size and code == free:
            source, count = before, size + 1
        else:
            return BROKEN
        if size and free < 1 << _WIDEST:
            start[free], length[free] = before, size + 1
            free += 1
            if free + early > mask and width < _WIDEST:
                width += 1
        before, size = n, count
        for k in range(min(count, out.size - n)):
            out[n + k] = code if source < 0 else out[source + k]
        n += min(count, out.size - n)
    return n
