"""Shape of the masks: means over their components (family ``shape``)."""

from __future__ import annotations

import numpy as np

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.component import N_SHAPE
from scip_mpi.features.family import Family
from scip_mpi.features.shape_columns import features
from scip_mpi.features.shape_kernel import fill
from scip_mpi.features.shape_selected import joined, select
from scip_mpi.features.shared import Shared


def compute(
    batch: ImageBatch, masks: SetMasks, shared: Shared, out: FloatArray, scratch: Scratch
) -> None:
    """Fill the rows of the objects that the mask set kept.

    Every property is scikit-image's ``regionprops`` of the 8-connected components and the plain
    mean over them. Moments are exact integers about the pixel nearest to the centroid, hence the
    orientation of isotropic components is too: -pi/4 or pi/4 by the sign of the mixed moment.
    Of an empty mask the first eleven, from the area to the perimeter, are 0, as in SCIP, and all
    others NaN.

    With ``component: largest`` the columns are called ``largest_...`` and are of the component
    with the most pixels.

    References
    ----------
    Hu, "Visual pattern recognition by moment invariants", IRE Trans. Information Theory 8(2),
    1962; Burger and Burge, "Principles of Digital Image Processing", 2009.
    """
    chosen = np.zeros((2, 1 + batch.channels, N_SHAPE), bool)
    chosen[0] = True
    fill(batch, masks, chosen, out)


FAMILY = Family("shape", features, compute, select=select, joined=joined)
measure = FAMILY.measure
