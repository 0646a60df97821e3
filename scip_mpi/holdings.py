"""What a feature rank knows between the passes: a record per chunk, each added once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import (
    BoolArray,
    FloatArray,
    ImageBatch,
    Int64Array,
    UInt8Array,
    from_buffer,
    offsets_of,
    places_in,
    to_buffer,
)
from scip_mpi.checkpoint.records import Record
from scip_mpi.loaders.contract import References
from scip_mpi.pipeline import Segmented, references_of
from scip_mpi.store import MaskStore, Place, Saved
from scip_mpi.verdict import Verdict

Allreduce = Callable[[Int64Array], Int64Array]


@dataclass(frozen=True)
class ChunkRecord:
    """What is kept in memory of a chunk, whatever becomes of its masks and pixels.

    The arguments of `scip_mpi.pipeline.references_of`, then of each object its image, label, pixels
    in the crop (all channels) and statistics.
    """

    span: Int64Array
    sources: UInt8Array
    within: Int64Array
    group: NDArray[np.int32]
    readable: int
    image: Int64Array
    label: Int64Array
    pixels: Int64Array
    statistics: FloatArray

    @property
    def references(self) -> References:
        """The part of the catalog that the chunk is."""
        return references_of(self.span, self.sources, self.within, self.group)


@dataclass(frozen=True)
class Notes:
    """What the first pass found in a chunk that only the tables of images and objects need.

    As in `scip_mpi.pipeline.Segmented`.
    """

    found: Int64Array
    saturated: FloatArray
    background: FloatArray
    focus: FloatArray
    centroid: FloatArray
    failures: UInt8Array


@dataclass
class Holdings:
    """The chunks that a rank holds, by the place of their first image."""

    store: MaskStore
    records: dict[int, ChunkRecord] = field(default_factory=dict)

    def add(
        self, segmented: Segmented, pixels: ImageBatch | None, saved: Saved | None = None
    ) -> bool:
        """Take in a chunk; False if it was here already, which changes nothing."""
        lo = int(segmented.span[0])
        if lo in self.records:
            return False
        notes = Notes(**{f.name: getattr(segmented, f.name) for f in fields(Notes)})
        self.store.put(lo, segmented.masks, to_buffer(notes), pixels, saved)
        self.records[lo] = _record(segmented)
        return True

    def adopt(self, body: UInt8Array, record: Record) -> None:
        """Take in a chunk from a journal, in which it stays."""
        segmented = from_buffer(Segmented, body)
        lo = int(segmented.span[0])
        self.store.adopt(lo, saved_in(record, body))
        self.records[lo] = _record(segmented)

    def notes(self, lo: int) -> Notes:
        """The notes on the chunk at ``lo``."""
        return from_buffer(Notes, self.store.notes(lo))

    def chunks(self) -> list[int]:
        """The chunks held, in the order of the catalog."""
        return sorted(self.records)

    def statistics(self, columns: int) -> tuple[FloatArray, NDArray[np.int32]]:
        """The filter's statistics of all objects held, and the code of each one's group."""
        records = [self.records[lo] for lo in self.chunks()]
        values = [r.statistics for r in records]
        groups = [r.group[r.image - r.span[0]] for r in records]
        return (
            np.concatenate([np.empty((0, columns)), *values]),
            np.concatenate([np.empty(0, np.int32), *groups]),
        )


def _record(segmented: Segmented) -> ChunkRecord:
    masks = segmented.objects()
    return ChunkRecord(
        span=segmented.span.copy(),
        sources=segmented.sources.copy(),
        within=segmented.within.copy(),
        group=segmented.group.copy(),
        readable=int((segmented.found >= 0).sum()),
        image=masks.image.copy(),
        label=masks.label.copy(),
        pixels=masks.shapes.prod(axis=1),
        statistics=masks.statistics.copy(),
    )


def saved_in(record: Record, body: UInt8Array) -> Saved:
    """Where in a journal the masks and notes of a `Segmented` stand, which is all of a record."""
    places = places_in(Segmented, body)
    _, masks, end = places["masks"]
    first, after = places["found"][0], places["masks"][0]
    return Saved(
        masks=Place(record.path, record.offset + masks, end - masks),
        # The fields of `Notes` stand together, between the references and the masks.
        notes=Place(record.path, record.offset + first, after - first),
    )


@dataclass(frozen=True)
class Survivors:
    """Which objects have a row, and which rows.

    Attributes
    ----------
    keep : dict of int to ndarray of bool
        Per chunk held, the objects that the filter kept.
    rows : dict of int to ndarray of bool
        Per chunk held, the objects that have a row in the table.
    start : dict of int to int
        Per chunk held, the row of its first object that has one.
    bounds : ndarray of int64
        Rows of all chunks of the run: chunk k has ``bounds[k]`` to ``bounds[k + 1]``.
    image_bounds : ndarray of int64
        The same for the images that have a row.
    readable : int
        Images that could be read.
    broken : dict of int to ndarray of bool
        Per chunk held, which of the filter's rules each object does not meet.
    verdict : Verdict, optional
        What the filter decided.
    """

    keep: dict[int, BoolArray]
    rows: dict[int, BoolArray]
    start: dict[int, int]
    bounds: Int64Array
    image_bounds: Int64Array
    readable: int
    broken: dict[int, BoolArray]
    verdict: Verdict | None

    @property
    def total(self) -> int:
        """Rows of the table."""
        return int(self.bounds[-1])


def number_rows(
    holdings: Holdings,
    bounds: Int64Array,
    verdict: Verdict | None,
    drop: bool,
    allreduce: Allreduce,
) -> Survivors:
    """Give every surviving object its row: one reduction over chunks, then a prefix sum.

    Parameters
    ----------
    bounds : ndarray of int64
        Bounds of all chunks of the run.
    verdict : Verdict, optional
        What the filter decided of this rank's objects, in the order of `Holdings.statistics`.
    drop : bool
        False if objects that the filter rejects keep their row (``action: flag``).
    """
    keep: dict[int, BoolArray] = {}
    rows: dict[int, BoolArray] = {}
    broken: dict[int, BoolArray] = {}
    chunks = len(bounds) - 1
    # Rows and images with a row of each chunk, and the images that could be read.
    counts = np.zeros(2 * chunks + 1, np.int64)
    at = 0
    for lo in holdings.chunks():
        m = len(holdings.records[lo].image)
        if verdict is None:
            keep[lo], broken[lo] = np.ones(m, bool), np.empty((m, 0), bool)
        else:
            keep[lo], broken[lo] = verdict.keep[at : at + m], verdict.broken[at : at + m]
        rows[lo] = keep[lo] if drop else np.ones(m, bool)
        k = np.searchsorted(bounds, lo)
        counts[k] = rows[lo].sum()
        counts[chunks + k] = len(np.unique(holdings.records[lo].image[rows[lo]]))
        counts[-1] += holdings.records[lo].readable
        at += m
    counts = allreduce(counts)
    row_bounds = offsets_of(counts[:chunks])
    image_bounds = offsets_of(counts[chunks:-1])
    start = {lo: int(row_bounds[np.searchsorted(bounds, lo)]) for lo in keep}
    return Survivors(keep, rows, start, row_bounds, image_bounds, int(counts[-1]), broken, verdict)
