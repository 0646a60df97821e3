"""Statistics of pixel values in and around the masks (family ``intensity``)."""

from __future__ import annotations

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.edge import rim
from scip_mpi.features.family import Family
from scip_mpi.features.intensity_columns import PER_CHANNEL, features
from scip_mpi.features.intensity_selected import joined, select
from scip_mpi.features.order_statistics import N_STATISTICS, shifted, statistics
from scip_mpi.features.shared import Shared


def compute(
    batch: ImageBatch, masks: SetMasks, shared: Shared, out: FloatArray, scratch: Scratch
) -> None:
    """Fill the rows of the objects that the mask set kept.

    A view without a pixel is 0, as in SCIP. The background is what ``masks.background`` says; where
    that is NaN the mean of the channel's pixels outside the mask, 0 where the mask fills the crop.
    """
    if not len(batch):
        return
    size = int((batch.shapes[:, 1] * batch.shapes[:, 2]).max())
    _intensity(
        batch.pixels, batch.offsets, batch.planes, batch.shapes, shared.order,
        masks.own, masks.combined, masks.kept, masks.background,
        scratch.array("values", size, np.float64),
        scratch.array("edge_values", size, np.float64),
        scratch.array("left", size, np.int64),
        scratch.array("right", size, np.int64),
        scratch.array("own_rim", size, np.uint8),
        scratch.array("combined_rim", size, np.uint8),
        out,
    )  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _intensity(
    pixels,
    offsets,
    planes,
    shapes,
    order,
    own,
    combined,
    kept,
    background,
    values,
    edge_values,
    left,
    right,
    own_rim,
    combined_rim,
    out,
):
    for i in range(len(shapes)):
        if not kept[i]:
            continue
        channels, h, w = shapes[i]
        n = h * w
        union = combined[planes[i] : planes[i] + n]
        to_left = left[:n].reshape(h, w)
        to_right = right[:n].reshape(h, w)
        rim(union.reshape(h, w), to_left, to_right, combined_rim[:n].reshape(h, w))
        for c in range(channels):
            at = offsets[i] + c * n
            mask = own[at : at + n]
            rim(mask.reshape(h, w), to_left, to_right, own_rim[:n].reshape(h, w))
            row = out[i, c * PER_CHANNEL : (c + 1) * PER_CHANNEL]
            half = 4 * N_STATISTICS
            _views(pixels[at : at + n], order[at : at + n], mask, own_rim,
                   background[i, c], values, edge_values, row[:half])  # fmt: skip
            _views(pixels[at : at + n], order[at : at + n], union, combined_rim,
                   background[i, c], values, edge_values, row[half:])  # fmt: skip


@njit(cache=True, nogil=True, error_model="numpy")
def _views(pixels, order, mask, edge, given, values, edge_values, out):
    """The four views of one mask: in it, in its rim, and both less the background."""
    inside = 0
    at_edge = 0
    outside = 0.0
    for k in range(pixels.size):
        position = order[k]
        value = np.float64(pixels[position])
        if mask[position]:
            values[inside] = value
            inside += 1
            if edge[position]:
                edge_values[at_edge] = value
                at_edge += 1
        else:
            outside += value
    around = pixels.size - inside
    background = outside / around if around > 0 else 0.0
    if not np.isnan(given):
        background = given
    s = N_STATISTICS
    out[:] = 0.0
    if inside:
        statistics(values, inside, out[:s])
        shifted(out[:s], inside, background, out[s : 2 * s])
    if at_edge:
        statistics(edge_values, at_edge, out[2 * s : 3 * s])
        shifted(out[2 * s : 3 * s], at_edge, background, out[3 * s :])


FAMILY = Family("intensity", features, compute, frozenset({"sorted"}), select=select, joined=joined)
measure = FAMILY.measure
