"""Shape of the masks: means over their components (family ``shape``)."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.component import (
    N_SHAPE,
    WORK,
    ZERO_IF_EMPTY,
    add_component,
    group_runs,
)
from scip_mpi.features.family import Family
from scip_mpi.features.hull import hull_scratch
from scip_mpi.features.shape_columns import features
from scip_mpi.features.shape_selected import joined, select
from scip_mpi.features.shared import Shared
from scip_mpi.segmentation.components import label_runs, run_scratch


def compute(
    batch: ImageBatch, masks: SetMasks, shared: Shared, out: FloatArray, scratch: Scratch
) -> None:
    """Fill the rows of the objects that the mask set kept.

    Every property is scikit-image's ``regionprops`` of the 8-connected components and the plain
    mean over them. Moments are exact integers about the pixel nearest to the centroid, hence the
    orientation of isotropic components is too: -pi/4 or pi/4 by the sign of the mixed moment.

    References
    ----------
    Hu, "Visual pattern recognition by moment invariants", IRE Trans. Information Theory 8(2),
    1962; Burger and Burge, "Principles of Digital Image Processing", 2009.
    """
    if not len(batch):
        return
    height, width = (int(n) for n in batch.shapes[:, 1:].max(axis=0))
    _shape(
        batch.offsets, batch.planes, batch.shapes, masks.own, masks.combined, masks.kept,
        height, width, out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _shape(offsets, planes, shapes, own, combined, kept, height, width, out):
    runs, row_start, parent, order = run_scratch(height, width)
    first = np.empty(order.size + 1, np.int64)
    image = np.zeros((height + 4, width + 4), np.uint8)
    seen = np.empty((height + 2, width + 2), np.uint8)
    stack = np.empty((height + 2) * (width + 2), np.int64)
    extents = np.empty((2, height), np.int64)
    hull = hull_scratch(height)
    work = np.ones(len(WORK), np.uint8)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        for k in range(channels + 1):
            if k == 0:
                mask = combined[planes[i] : planes[i] + h * w].reshape(h, w)
            else:
                at = offsets[i] + (k - 1) * h * w
                mask = own[at : at + h * w].reshape(h, w)
            values = out[i, k * N_SHAPE : (k + 1) * N_SHAPE]
            n = label_runs(mask, 1, 1, runs, row_start, parent)
            count = group_runs(parent, n, order, first)
            values[:] = 0.0
            if count == 0:
                values[ZERO_IF_EMPTY:] = np.nan
                continue
            for component in range(count):
                members = order[first[component] : first[component + 1]]
                add_component(runs, members, image, seen, stack, extents, hull, work, values)
            for j in range(N_SHAPE):
                values[j] /= count


FAMILY = Family("shape", features, compute, select=select, joined=joined)
measure = FAMILY.measure
