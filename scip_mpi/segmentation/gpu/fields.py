"""Objects of fields on a CUDA device: the steps of `field_watershed.watershed` that it has.

The host adds the typical diameter, the weights of Gaussians by it, and the expansion of labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, Int64Array, offsets_of
from scip_mpi.segmentation.field_watershed import (
    SEED_SMOOTHING,
    check_settings,
    expanded,
    first_sigma,
    least_size,
    seed_distance,
    typical_diameter,
)
from scip_mpi.segmentation.gpu.lane import MOST_SCRATCH, Lane, threads_for
from scip_mpi.segmentation.gpu.recipes import HISTOGRAM
from scip_mpi.segmentation.gpu.use import Labelled
from scip_mpi.segmentation.smoothing import gaussian_kernels
from scip_mpi.segmentation.threshold import METHODS
from scip_mpi.segmentation.thresholds import BINS

# The kernels, in their order.
STEPS = ("find_parts", "place_seeds", "flood_parts")
# Numbers that they write of each field.
FACTS = 6
# Of a field's sides together: squares of distances are kept in 32 bits.
MOST_SIDES = 30_000
# Threads of a block that floods: each has a component, and all wait for the slowest.
FLOODING = 32


def label_fields(
    lane: Lane,
    kernels: Mapping[str, Any],
    most_blocks: int,
    batch: ImageBatch,
    *,
    channel: int,
    cell_diameter: float | None = None,
    smoothing: float | None = None,
    threshold: str | float = "li",
    expansion_factor: float = 0.0,
) -> Labelled:
    """Label the objects of one channel of fields, as many at once as there is scratch for.

    Parameters
    ----------
    lane : Lane
    kernels : mapping of str to cupy.RawKernel
        `STEPS`.
    most_blocks : int
        Of threads, side by side.
    batch : ImageBatch
        Fields.
    channel, cell_diameter, smoothing, threshold, expansion_factor
        As of `field_watershed.watershed`.

    Raises
    ------
    UserError
        A setting is out of its range.
    """
    check_settings(cell_diameter, smoothing, expansion_factor)
    sigma = first_sigma(cell_diameter, smoothing)
    kind, value = (threshold, 0.0) if isinstance(threshold, str) else ("fixed", float(threshold))
    first = [
        np.array([METHODS.index(kind), value], np.float64),
        *reversed(gaussian_kernels([sigma])),
    ]
    done = unlabelled(batch)
    able = np.flatnonzero(batch.shapes[:, 1:].sum(axis=1) <= MOST_SIDES)
    largest = int(batch.shapes[:, 1:].prod(axis=1).max())
    at_once = max(1, MOST_SCRATCH // scratch_for(largest))
    for lo in range(0, len(able), at_once):
        chosen = able[lo : lo + at_once].tolist()
        fields = [batch.image(i)[channel] for i in chosen]
        found = _label(lane, kernels, most_blocks, fields, first, cell_diameter)
        for i, (labels, diameter) in zip(chosen, found, strict=True):
            done.left[i] = labels is None
            if labels is not None:
                grown = expanded(labels, diameter, expansion_factor)
                done.labels[batch.planes[i] : batch.planes[i + 1]] = grown.reshape(-1)
    return done


def unlabelled(batch: ImageBatch) -> Labelled:
    """No labels, and all fields left to the CPU."""
    return Labelled(np.zeros(batch.planes[-1], np.int32), np.ones(len(batch), bool))


def scratch_for(pixels: int) -> int:
    """Bytes of scratch of a field: of `Field` in ``fields.cu``, and a histogram."""
    size = 8 * (2 * pixels + pixels // 4 + 64) + (24 + 4 * 4 + 1) * pixels + HISTOGRAM * BINS
    return -(-size // 64) * 64


def _label(
    lane: Lane,
    kernels: Mapping[str, Any],
    most_blocks: int,
    fields: Sequence[NDArray[Any]],
    first: Sequence[NDArray[Any]],
    diameter: float | None,
) -> list[tuple[NDArray[np.int32] | None, float]]:
    """Labels of some fields at once, None for those left over, and their typical diameters.

    ``first`` has the tables of the first kernel: numbers, starts, weights.
    """
    count = len(fields)
    shapes = np.array([field.shape for field in fields], np.int64)
    ends = offsets_of(shapes.prod(axis=1))
    planes = np.column_stack([ends[:-1], shapes, np.zeros(count, np.int64), ends[:-1]])
    largest = int(np.diff(ends).max())
    sizes = (np.int64(scratch_for(largest)), np.int64(largest))
    shape = ((count,), (threads_for(largest),))
    with lane.stream:
        given = lane.upload("pixels", np.concatenate([field.reshape(-1) for field in fields]))
        table, *tables = lane.upload_tables(planes.reshape(-1), *first)
        labels = lane.room("labels", 4 * int(ends[-1]))
        facts = lane.room("facts", 8 * FACTS * count)
        out = (labels, facts, lane.room("scratch", count * int(sizes[0])), *sizes)
        labels.data.memset_async(0, 4 * int(ends[-1]), lane.stream)
        kernels["find_parts"](*shape, (given, table, np.int64(count), *tables, *out))
        lane.download("facts", 8 * FACTS * count)
    lane.stream.synchronize()
    told = lane.home("facts", np.int64, FACTS * count).reshape(-1, FACTS).copy()
    diameters = [typical(own) if diameter is None else diameter for own in told]
    weights, starts = gaussian_kernels([SEED_SMOOTHING * d for d in diameters])
    numbers = np.array([(least_size(d), seed_distance(d)) for d in diameters], np.float64)
    with lane.stream:
        table, *tables = lane.upload_tables(
            planes.reshape(-1), numbers.reshape(-1), starts, weights
        )
        arguments = (given, table, np.int64(count), *tables, *out)
        kernels["place_seeds"](*shape, arguments)
        kernels["flood_parts"]((most_blocks,), (FLOODING,), arguments)
        lane.download("labels", 4 * int(ends[-1]))
    lane.stream.synchronize()
    made = lane.home("labels", np.int32, int(ends[-1]))
    return [
        (
            None if told[k, 0] else made[ends[k] : ends[k + 1]].reshape(shapes[k]).copy(),
            diameters[k],
        )
        for k in range(count)
    ]


def typical(facts: Int64Array) -> float:
    """The typical diameter by what `find_parts` writes of a field."""
    return typical_diameter(np.sqrt(facts[2:4]) if facts[1] and not facts[0] else np.empty(0))
