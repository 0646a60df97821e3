"""Grey-level co-occurrence and gradient within the masks (family ``texture``)."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.cooccurrence import LEVELS, OFFSETS, count_pairs, properties, quantise
from scip_mpi.features.family import Family
from scip_mpi.features.gradient import SOBEL, gradient_statistics, sobel
from scip_mpi.features.shared import Shared
from scip_mpi.features.texture_columns import PER_MASK, features
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
    if not len(batch):
        return
    size = int((batch.shapes[:, 1] * batch.shapes[:, 2]).max())
    _texture(
        batch.pixels, batch.offsets, batch.planes, batch.shapes, shared.order,
        masks.own, masks.combined, masks.kept,
        scratch.array("levels", size, np.uint8),
        scratch.array("gradient", size, np.float64),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _texture(pixels, offsets, planes, shapes, order, own, combined, kept, levels, gradient, out):
    counts = np.empty((len(OFFSETS), LEVELS, LEVELS), np.int64)
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        n = h * w
        union = combined[planes[i] : planes[i] + n].reshape(h, w)
        for c in range(channels):
            at = offsets[i] + c * n
            plane = pixels[at : at + n].reshape(h, w)
            ascending = order[at : at + n]
            sobel(plane, gradient[:n].reshape(h, w))
            row = out[i, 2 * c * PER_MASK : 2 * (c + 1) * PER_MASK]
            for which in range(2):
                mask = union if which else own[at : at + n].reshape(h, w)
                values = row[which * PER_MASK : (which + 1) * PER_MASK]
                if not quantise(plane, ascending, mask, levels[:n].reshape(h, w)):
                    values[:] = np.nan
                    continue
                count_pairs(levels[:n].reshape(h, w), counts)
                properties(counts, values)
                gradient_statistics(
                    gradient[:n].reshape(h, w), mask, values[PER_MASK - len(SOBEL) :]
                )


FAMILY = Family("texture", features, compute, frozenset({"sorted"}), select=select, joined=joined)
measure = FAMILY.measure
