"""Statistics of all pixels of an object's crop, mask or not (family ``raw``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.order_statistics import N_STATISTICS, STATISTICS, statistics
from scip_mpi.features.shared import Shared


def features(channel_names: Sequence[str]) -> list[Feature]:
    """Eleven columns per channel."""
    return [
        Feature(f"{name}_{channel}", channel, unit, f"{text} All pixels of the crop.")
        for channel in channel_names
        for name, unit, text in STATISTICS
    ]


def compute(
    batch: ImageBatch, masks: SetMasks, shared: Shared, out: FloatArray, scratch: Scratch
) -> None:
    """Fill a row per object, those included that a mask set dropped.

    Skewness and kurtosis are NaN where the pixels are equal but for rounding.
    """
    if len(batch):
        size = int((batch.shapes[:, 1] * batch.shapes[:, 2]).max())
        values = scratch.array("values", size, np.float64)
        _raw(batch.pixels, batch.offsets, batch.shapes, shared.order, values, out)


@njit(cache=True, nogil=True, error_model="numpy")
def _raw(pixels, offsets, shapes, order, values, out):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        for c in range(channels):
            at = offsets[i] + c * n
            for k in range(n):
                values[k] = pixels[at + order[at + k]]
            statistics(values, n, out[i, c * N_STATISTICS : (c + 1) * N_STATISTICS])


FAMILY = Family("raw", features, compute, frozenset({"sorted"}), masked=False)
measure = FAMILY.measure
