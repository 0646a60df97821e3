"""A device that is none: the CPU's functions behind a device's face, for tests without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scip_mpi.batches import BoolArray, ImageBatch
from scip_mpi.devices import DeviceLost, OutOfMemory
from scip_mpi.segmentation.chain import MaskSet
from scip_mpi.segmentation.field_watershed import watershed
from scip_mpi.segmentation.gpu.recipes import Wanted
from scip_mpi.segmentation.gpu.use import Labelled, Made, packed_masks


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

    def make(
        self,
        mask_set: MaskSet,
        method: str,
        batch: ImageBatch,
        enabled: BoolArray,
        wanted: Wanted | None,
    ) -> Made:
        """Masks of a batch by the CPU's functions; no channel is left over."""
        self._work(batch)
        return packed_masks(mask_set, batch, enabled, wanted)

    def label(self, batch: ImageBatch, settings: Mapping[str, Any]) -> Labelled:
        """Labels of a batch of fields by the CPU's functions; no field is left over."""
        self._work(batch)
        labels = watershed(batch, np, **settings)
        return Labelled(labels.astype(np.int32), np.zeros(len(batch), bool))

    def _work(self, batch: ImageBatch) -> None:
        if self.capacity is not None and batch.pixels.nbytes > self.capacity:
            raise OutOfMemory(f"{batch.pixels.nbytes:,} bytes asked for")
        if self.calls_left is not None:
            if self.calls_left == 0:
                raise DeviceLost("made to fail")
            self.calls_left -= 1

    def close(self) -> None:
        """Nothing to give back."""
