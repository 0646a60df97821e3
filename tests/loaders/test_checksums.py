"""The checksum of RFC 3720."""

from __future__ import annotations

import numpy as np

from scip_mpi.loaders.checksums import crc32c


def test_examples_of_the_standard() -> None:
    """RFC 3720, appendix B.4, and the usual check value."""
    assert crc32c(np.frombuffer(b"123456789", np.uint8)) == 0xE3069283
    assert crc32c(np.zeros(32, np.uint8)) == 0x8A9136AA
    assert crc32c(np.full(32, 255, np.uint8)) == 0x62A8AB43
    assert crc32c(np.arange(32, dtype=np.uint8)) == 0x46DD794E
