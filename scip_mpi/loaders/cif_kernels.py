"""Compiled: the chain of directories of a CIF file, and the decoders of its images and masks.

A file is a buffer of bytes that may hold anything: no byte is taken before it is known to be there.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.loaders.plain_kernels import unsigned

# Columns of the table of directories; -1 for a tag that is not there.
OFFSET, KIND, OBJECT, WIDTH, HEIGHT, BITS = range(6)
COLUMNS = 6
# What `walk` returns for a chain that leads out of the file, or round in a circle.
BROKEN = -1
# What the decoders return.
WHOLE, SHORT, LONG = range(3)
# Groups of three bits of a number; more are no number of an image.
_MOST_NIBBLES = 12


@njit(cache=True, nogil=True, error_model="numpy")
def walk(data, first, big, table):
    """Follow the chain of directories; how many there are, or `BROKEN`.

    Parameters
    ----------
    data : ndarray of uint8
        The whole file.
    first : int
        Where the first directory is.
    big : bool
        Byte order.
    table : ndarray of int64, shape (n, COLUMNS)
        Filled as far as it goes: call with none first, to learn how many there are.
    """
    count, at = 0, first
    while at:
        # Each directory has bytes of its own, unless the chain is a circle.
        if at + 2 > len(data) or count * 18 > len(data):
            return BROKEN
        tags = unsigned(data, at, 2, big)
        end = at + 2 + 12 * tags
        if end + 4 > len(data):
            return BROKEN
        if count < len(table):
            row = table[count]
            row[:] = -1
            row[OFFSET] = at
            for entry in range(at + 2, end, 12):
                tag = unsigned(data, entry, 2, big)
                column = -1
                if tag == 256:
                    column = WIDTH
                elif tag == 257:
                    column = HEIGHT
                elif tag == 258:
                    column = BITS
                elif tag == 33002:
                    column = KIND
                elif tag == 33003:
                    column = OBJECT
                if column >= 0:
                    # Two bytes, or four; longer ones are elsewhere and not asked for.
                    short = unsigned(data, entry + 2, 2, big) == 3
                    row[column] = unsigned(data, entry + 8, 2 if short else 4, big)
        count += 1
        at = unsigned(data, end, 4, big)
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def decode_image(stream, plane):
    """Undo compression 30817 into a plane of int16; `WHOLE`, `SHORT` or `LONG`.

    Each pixel is stored as what it differs from its upper, left and upper left neighbours' sum, in
    groups of three bits, the low half of a byte first. Sums wrap round in 16 bits.
    """
    height, width = plane.shape
    nibbles, at = 2 * len(stream), 0
    for y in range(height):
        for x in range(width):
            value, shift = np.int64(0), 0
            while True:
                if at == nibbles:
                    return SHORT
                if shift == 3 * _MOST_NIBBLES:
                    return LONG
                nibble = np.int64(stream[at >> 1] >> (4 * (at & 1))) & 15
                at += 1
                value |= (nibble & 7) << shift
                shift += 3
                if not nibble & 8:
                    break
            if nibble & 4:
                value -= np.int64(1) << shift
            if y:
                value += plane[y - 1, x]
            if x:
                value += plane[y, x - 1]
                if y:
                    value -= plane[y - 1, x - 1]
            value &= 0xFFFF
            plane[y, x] = value - 0x10000 if value >= 0x8000 else value
    # A last half byte may be filling.
    return WHOLE if nibbles - at <= 1 else LONG


@njit(cache=True, nogil=True, error_model="numpy")
def decode_mask(stream, plane):
    """Undo compression 30818, runs of (value, length - 1), into a flat plane of uint8."""
    at = 0
    for k in range(0, len(stream) - 1, 2):
        end = at + np.int64(stream[k + 1]) + 1
        if end > len(plane):
            return LONG
        plane[at:end] = stream[k]
        at = end
    return WHOLE if at == len(plane) and len(stream) % 2 == 0 else SHORT
