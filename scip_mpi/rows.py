"""The second pass over a run of objects: from their pixels to the columns of the table.

Knows nothing of ranks, messages or files of the table: crops and masks in, arrays out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from scip_mpi.batches import (
    BoolArray,
    FloatArray,
    ImageBatch,
    Int64Array,
    MaskBatch,
    Scratch,
    SetMasks,
    offsets_of,
)
from scip_mpi.chunks import cut
from scip_mpi.features.shared import prepare
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.normalization import MaskedPixels, scaled, width_of
from scip_mpi.objects import statistics_of
from scip_mpi.pipeline import Stages
from scip_mpi.segmentation.bits import unpack_bits
from scip_mpi.segmentation.combine import set_masks
from scip_mpi.segmentation.crops import cut_crops
from scip_mpi.timers import Timers

# Pixels (all channels) whose features are computed in one call: some 4 MB stay near the caches.
ITEM_PIXELS = 1 << 20


@dataclass(frozen=True)
class Rows:
    """Rows of the table: features, and the numeric columns of obs that come with them."""

    X: FloatArray
    gates: FloatArray
    failed: BoolArray
    failures: list[Failure]


def cut_out(batch: ImageBatch, masks: MaskBatch) -> ImageBatch:
    """The crops of objects from the images that hold them, in the objects' order.

    Objects whose image is not there, or no longer of its size, are left out; ``index`` is the
    place of the others in ``masks``.
    """
    if not len(batch) or not len(masks):
        return replace(batch, pixels=batch.pixels[:0], offsets=np.zeros(1, np.int64),
                       shapes=batch.shapes[:0], index=batch.index[:0])  # fmt: skip
    place = np.minimum(np.searchsorted(batch.index, masks.image), len(batch) - 1)
    shapes = batch.shapes[place]
    there = (batch.index[place] == masks.image) & (shapes[:, 0] == masks.shapes[:, 0])
    there &= (masks.bbox[:, 2:] <= shapes[:, 1:]).all(axis=1)
    rows = np.flatnonzero(there)
    if len(rows) == len(batch) == len(masks) and np.array_equal(batch.shapes, masks.shapes):
        return replace(batch, index=rows)
    return replace(cut_crops(batch, place[rows], masks.bbox[rows]), index=rows)


def compute(
    stages: Stages,
    references: References,
    masks: MaskBatch,
    crops: ImageBatch,
    noted: Sequence[Failure],
    timers: Timers,
    scratch: Scratch,
) -> Rows:
    """Second pass over objects of a chunk: every column of X, a row per object.

    An object whose image can no longer be read as it was keeps its row, all NaN, marked failed.

    Parameters
    ----------
    references : References
        The images that the objects are in.
    masks : MaskBatch
        The objects.
    crops : ImageBatch
        Their pixels as they were read, ``index`` saying which objects they are of.
    noted : sequence of Failure
        Images that could not be read.
    """
    X = np.full((len(masks), len(stages.columns)), np.nan)
    gates = np.full((len(masks), len(stages.gates)), np.nan)
    failed = np.ones(len(masks), bool)
    failed[crops.index] = False
    lost = set(np.unique(masks.image[failed]).tolist())
    failures = [f for f in noted if f.index in lost]
    for image in sorted(lost - {f.index for f in noted}):
        failures.append(Failure(image, "features", "the image changed during the run"))
    with timers.stage("features"):
        bounds = cut(crops.shapes.prod(axis=1), ITEM_PIXELS)
        for lo, hi in pairwise(bounds):
            raw = _slice(crops, int(lo), int(hi))
            own = masks.take(raw.index)
            part = stages.corrected_crops(raw, own)
            X[part.index] = features_of(stages, part, own, groups_of(references, own), scratch)
            gates[part.index] = statistics_of(
                stages, stages.gates, raw, part, own, partial(unpack_bits, own)
            )
    return Rows(X, gates, failed, failures)


def features_of(
    stages: Stages, batch: ImageBatch, masks: MaskBatch, groups: Int64Array, scratch: Scratch
) -> FloatArray:
    """All columns for a batch of crops, their masks and their groups."""
    plan = stages.columns
    out = np.full((len(batch), len(plan)), np.nan)
    needs = frozenset().union(*(f.needs for f in stages.families))
    shared = prepare(needs, batch)
    views = {}
    unpacked: dict[int, SetMasks] = {}
    for s in sorted({b.mask_set for b in plan.blocks}):
        # Families of the bare image are given the first set's masks.
        if max(s, 0) not in unpacked:
            unpacked[max(s, 0)] = set_masks(masks, max(s, 0), list(stages.combined))
        own = unpacked[max(s, 0)]
        if stages.bounds is None or s < 0:
            views[s] = batch, own, shared
        else:
            low, high = np.moveaxis(stages.bounds[s, groups], -1, 0)
            part = scaled(batch, low, high)
            level = (own.background - low) / width_of(low, high)
            views[s] = part, replace(own, background=level), prepare(needs, part)
    for block, family in zip(plan.blocks, stages.families, strict=True):
        columns = np.full((len(batch), block.stop - block.start), np.nan)
        part, own, sorted_pixels = views[block.mask_set]
        if family.in_field is not None:
            own = replace(own, in_field=stages.known_in_field(family, masks))
        family.compute(part, own, sorted_pixels, columns, scratch)
        out[:, block.start : block.stop] = columns
    if stages.scale is not None:
        out *= stages.scale
    return out


def groups_of(references: References, masks: MaskBatch) -> Int64Array:
    """Code of each object's group."""
    place = np.searchsorted(references.index, masks.image)
    return references.group[place].astype(np.int64)


def masked_pixels(
    stages: Stages, references: References, masks: MaskBatch, crops: ImageBatch
) -> Iterator[MaskedPixels]:
    """The pixels of a chunk's objects that normalization goes by, set by set."""
    there = masks.take(crops.index)
    batch = stages.corrected_crops(crops, there)
    groups = groups_of(references, there)
    for s in range(masks.sets):
        own = unpack_bits(there, s)
        kept = np.repeat(there.kept[:, s], np.diff(batch.offsets))
        yield MaskedPixels(batch, own * kept, s, groups)


def _slice(batch: ImageBatch, lo: int, hi: int) -> ImageBatch:
    start, stop = batch.offsets[lo], batch.offsets[hi]
    return ImageBatch(
        batch.pixels[start:stop],
        offsets_of(np.diff(batch.offsets[lo : hi + 1])),
        batch.shapes[lo:hi],
        batch.index[lo:hi],
    )
