"""What feature families share, made once per batch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch


@dataclass(frozen=True)
class Shared:
    """Pixels of every channel in ascending order.

    Attributes
    ----------
    order : ndarray of int32, shape (batch.pixels.size,)
        In the layout of ``batch.pixels``: for each object and channel, the positions (row * W +
        column) of its pixels in ascending order of value, ties in raster order. Empty unless a
        family needs ``sorted``.
    """

    order: NDArray[np.int32]


def prepare(needs: Iterable[str], batch: ImageBatch) -> Shared:
    """Make what the families of a run need, for one batch."""
    raise NotImplementedError
