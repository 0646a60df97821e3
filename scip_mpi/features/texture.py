"""Grey-level co-occurrence and gradient within the masks (family ``texture``)."""

from __future__ import annotations

import numpy as np

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family
from scip_mpi.features.shared import Shared
from scip_mpi.features.texture_columns import PER_MASK, features
from scip_mpi.features.texture_kernel import fill
from scip_mpi.features.texture_selected import joined, select


def compute(
    batch: ImageBatch, masks: SetMasks, shared: Shared, out: FloatArray, scratch: Scratch
) -> None:
    """Fill the rows of the objects that the mask set kept.

    Pixels of the mask are put into 15 bins of equal width between the smallest and the largest of
    them, the smallest being a level of its own; pairs with a pixel outside the mask do not count.
    The gradient is taken where all eight neighbours (the image's edge pixels repeated) are in the
    mask. NaN where the mask is empty, or no gradient is left; where there is no pair, the
    correlation is 1 and everything else 0.

    References
    ----------
    Haralick, Shanmugam and Dinstein, "Textural features for image classification", IEEE Trans.
    Systems, Man and Cybernetics 3(6), 1973.
    """
    fill(batch, masks, np.ones((batch.channels, 2, PER_MASK), bool), out, scratch)


FAMILY = Family("texture", features, compute, select=select, joined=joined)
measure = FAMILY.measure
