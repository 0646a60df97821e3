"""Small facts about the planes of a batch that all mask methods need."""

from __future__ import annotations

from typing import Any

import numpy as np

from scip_mpi.batches import ImageBatch


def largest(batch: ImageBatch) -> tuple[int, int]:
    """Height and width that hold every image of a batch."""
    height, width = batch.shapes[:, 1:].max(axis=0)
    return int(height), int(width)


def scale_of(dtype: np.dtype[Any]) -> float:
    """Factor that brings integer pixels to at most 1; floating point stays as it is."""
    return 1.0 / np.iinfo(dtype).max if dtype.kind in "iu" else 1.0
