"""Rows of a mask as bits: a bit per column, 64 to a word, with a word before and after them."""

from __future__ import annotations

import numpy as np
from numba import njit

WORD = 64
NONE = np.uint64(0)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit(cache=True, nogil=True, error_model="numpy")
def set_bits(row, start, stop):
    """Set the bits of columns ``start`` to ``stop``, ``stop`` excluded.

    Parameters
    ----------
    row : uint64
        The first word is that before column 0.
    """
    for j in range(start // WORD, (stop - 1) // WORD + 1):
        low = max(start - j * WORD, 0)
        high = min(stop - j * WORD, WORD)
        row[j + 1] |= (ALL >> np.uint64(WORD - (high - low))) << np.uint64(low)


@njit(cache=True, nogil=True, error_model="numpy")
def bit_at(rows, y, x):
    """Bit of a column of a row, 0 or 1, of rows without a word before column 0."""
    column = np.uint64(x)
    word = rows[y, column >> np.uint64(6)]
    return np.int64((word >> (column & np.uint64(63))) & np.uint64(1))


@njit(cache=True, nogil=True, error_model="numpy")
def to_left(row, j, n):
    """For each bit of word ``j`` of a row, the one ``n`` columns to the left; 0 < n < 64."""
    return (row[j] << np.uint64(n)) | (row[j - 1] >> np.uint64(WORD - n))


@njit(cache=True, nogil=True, error_model="numpy")
def to_right(row, j, n):
    """For each bit of word ``j`` of a row, the one ``n`` columns to the right; 0 < n < 64."""
    return (row[j] >> np.uint64(n)) | (row[j + 1] << np.uint64(WORD - n))


@njit(cache=True, nogil=True, error_model="numpy")
def ones(word):
    """How many bits of a word are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    pairs = np.uint64(0x3333333333333333)
    word = (word & pairs) + ((word >> np.uint64(2)) & pairs)
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))
