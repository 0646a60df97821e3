"""A device that is none: the CPU's functions behind a device's face, for tests without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.devices import DeviceLost, OutOfMemory
from scip_mpi.segmentation.li import li
from scip_mpi.segmentation.otsu import otsu
from scip_mpi.segmentation.spot import spot

CPU: Mapping[str, Callable[..., UInt8Array]] = {"li": li, "otsu": otsu, "spot": spot}


@dataclass
class FakeDevice:
    """Makes masks as the CPU does, as long as nothing is wrong with it.

    Attributes
    ----------
    name : str
    capacity : int or None
        Bytes of pixels that it holds.
    calls_left : int or None
        Batches before it fails for good.
    """

    name: str
    capacity: int | None = None
    calls_left: int | None = None

    def masks(
        self, method: str, batch: ImageBatch, enabled: BoolArray, settings: Mapping[str, Any]
    ) -> tuple[UInt8Array, BoolArray]:
        """Masks of a batch by the CPU's function; no channel is left over."""
        if self.capacity is not None and batch.pixels.nbytes > self.capacity:
            raise OutOfMemory(f"{batch.pixels.nbytes:,} bytes asked for")
        if self.calls_left is not None:
            if self.calls_left == 0:
                raise DeviceLost("made to fail")
            self.calls_left -= 1
        return CPU[method](batch, enabled, np, **settings), np.zeros(enabled.shape, bool)

    def close(self) -> None:
        """Nothing to give back."""
