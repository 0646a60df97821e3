"""Compiled: a number for each of many texts, by which equal ones are found."""

from __future__ import annotations

import numpy as np
from numba import njit

_START, _PRIME, _MIX = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3), np.uint64(33)


@njit(cache=True, nogil=True, error_model="numpy")
def hash_texts(letters, starts, ends):
    """FNV-1a (64 bits) of each text of a buffer, its upper bits mixed into the lower ones.

    Parameters
    ----------
    letters : ndarray of uint8
    starts, ends : ndarray of int64, shape (n,)

    Returns
    -------
    ndarray of uint64, shape (n,)

    References
    ----------
    Fowler, Noll, Vo: draft-eastlake-fnv, "The FNV Non-Cryptographic Hash Algorithm".
    """
    hashes = np.empty(len(starts), np.uint64)
    for i in range(len(starts)):
        value = _START
        for k in range(starts[i], ends[i]):
            value = (value ^ np.uint64(letters[k])) * _PRIME
        hashes[i] = value ^ (value >> _MIX)
    return hashes
