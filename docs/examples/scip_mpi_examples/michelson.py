"""Contrast of the brightest and the darkest pixel (family ``michelson``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.shared import Shared


def features(channel_names: Sequence[str]) -> list[Feature]:
    """The columns, before ``feat_`` and the mask set's name."""
    about = "Largest less smallest pixel, over their sum."
    return [Feature(f"michelson_{name}", name, "1", about, "own") for name in channel_names]


def compute(
    batch: ImageBatch, masks: SetMasks, shared: Shared, out: FloatArray, scratch: Scratch
) -> None:
    """Fill a row per object and a column per channel; what is not filled is NaN.

    References
    ----------
    Michelson, "Studies in Optics", 1927.
    """
    for i in np.flatnonzero(masks.kept):
        image = batch.image(i).astype(np.float64)
        own = masks.own[batch.offsets[i] : batch.offsets[i + 1]].reshape(image.shape)
        for c in range(batch.channels):
            pixels = image[c][own[c] > 0]
            if pixels.size and pixels.max() + pixels.min() > 0:
                out[i, c] = (pixels.max() - pixels.min()) / (pixels.max() + pixels.min())


FAMILY = Family("michelson", features, compute)
