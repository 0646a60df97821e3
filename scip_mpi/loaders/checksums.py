"""Compiled: the checksum that files carry."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import UInt8Array

# Castagnoli's polynomial, reflected (RFC 3720, appendix B.4).
_POLYNOMIAL = 0x82F63B78


def crc32c(data: UInt8Array) -> int:
    """The CRC-32C of some bytes."""
    return int(_crc32c(data))


@njit(cache=True, nogil=True, error_model="numpy")
def _crc32c(data):
    table = np.empty(256, np.uint32)
    for i in range(256):
        value = np.uint32(i)
        for _ in range(8):
            odd = value & np.uint32(1)
            value >>= np.uint32(1)
            if odd:
                value ^= np.uint32(_POLYNOMIAL)
        table[i] = value
    crc = np.uint32(0xFFFFFFFF)
    for byte in data:
        crc = table[(crc ^ byte) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)
