"""Statistics of pixel values in and around the masks (family ``intensity``)."""

from __future__ import annotations

import numpy as np

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family
from scip_mpi.features.intensity_columns import PER_CHANNEL, features
from scip_mpi.features.intensity_kernel import fill
from scip_mpi.features.intensity_selected import joined, select
from scip_mpi.features.shared import Shared


def compute(
    batch: ImageBatch, masks: SetMasks, shared: Shared, out: FloatArray, scratch: Scratch
) -> None:
    """Fill the rows of the objects that the mask set kept.

    A view without a pixel is 0, as in SCIP. Skewness and kurtosis are NaN where the pixels are
    equal but for rounding. The background is what the config's ``background`` made of it; where
    that is NaN the mean of the channel's pixels outside the mask, 0 where the mask fills the crop.

    References
    ----------
    Lippeveld et al., "SCIP", Cytometry Part A 105, 2024. IBSI: Zwanenburg et al., "The image
    biomarker standardization initiative", Radiology 295(2), 2020.
    """
    fill(batch, masks, shared, np.ones((batch.channels, PER_CHANNEL), bool), out, scratch)


FAMILY = Family(
    "intensity", features, compute, frozenset({"sorted_unless_exact"}), select=select, joined=joined
)
measure = FAMILY.measure
