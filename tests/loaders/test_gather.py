from __future__ import annotations

import numpy as np
import pytest

from scip_mpi.loaders.gather import ImageError, convert


def test_an_image_too_large_for_32_bits_is_told_to_be_cut() -> None:
    # All pixels are the same one: no memory is needed.
    image = np.broadcast_to(np.uint8(1), (2, 50_000, 50_000))
    with pytest.raises(ImageError, match=r"2,500,000,000 pixels .* at most 2,147,483,647"):
        convert(image, np.dtype(np.uint8))
