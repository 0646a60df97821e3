"""Runs of rows: what a rank computes at once in the second pass, its own or another rank's."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, Int64Array, MaskBatch, UInt8Array, from_buffer, to_buffer
from scip_mpi.checkpoint.spans import Spans
from scip_mpi.chunks import cut
from scip_mpi.holdings import Holdings, Survivors
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.parallel.workers import Run
from scip_mpi.pipeline import Stages
from scip_mpi.rows import ITEM_PIXELS, cut_out
from scip_mpi.tile_objects import crops_of

# Runs of a rank, and the least pixels (all channels) of one.
RUNS = 64
LEAST_PIXELS = 1 << 16


@dataclass(frozen=True)
class OwnRows:
    """Objects of a chunk that this rank holds: the chunk's first image, and which objects."""

    lo: int
    objects: Int64Array


@dataclass(frozen=True)
class Parcel:
    """A run of rows as a message: masks, references and, if the sender had them, the crops.

    Attributes
    ----------
    run : ndarray of int64, shape (4,)
        The chunk's first row, the run's first row and number of rows, and whether there are crops.
    sources, within, index, group
        The chunk's references, as in `scip_mpi.pipeline.Segmented`.
    masks : ndarray of uint8
        The `MaskBatch`.
    pixels, offsets, shapes, places
        The crops as they were read: an `ImageBatch` whose index says which objects they are of.
    """

    run: Int64Array
    sources: UInt8Array
    within: Int64Array
    index: Int64Array
    group: NDArray[np.int32]
    masks: UInt8Array
    pixels: NDArray[np.generic]
    offsets: Int64Array
    shapes: Int64Array
    places: Int64Array


def own_runs(holdings: Holdings, survivors: Survivors, written: Spans | None = None) -> list[Run]:
    """The surviving rows of the chunks a rank holds, cut into runs of like cost.

    So many runs a rank that what is left at the end can be shared out, none longer than what is
    computed in one call, none too short for the work that comes with each.

    Parameters
    ----------
    holdings, survivors
    written : Spans, optional
        Rows that an earlier start has written.
    """
    written = Spans() if written is None else written
    kept = {lo: np.flatnonzero(survivors.rows[lo]) for lo in holdings.chunks()}
    # Of each chunk, what lies between rows that are written.
    parts = [
        (lo, start - survivors.start[lo], objects[start - survivors.start[lo] :][: stop - start])
        for lo, objects in kept.items()
        for start, stop in written.outside(survivors.start[lo], survivors.start[lo] + len(objects))
    ]
    costs = [holdings.records[lo].pixels[objects] for lo, _, objects in parts]
    total = sum(int(c.sum()) for c in costs)
    size = min(max(total // RUNS, LEAST_PIXELS), ITEM_PIXELS)
    runs = []
    for (lo, place, objects), cost in zip(parts, costs, strict=True):
        first = survivors.start[lo]
        for a, b in pairwise(cut(cost, size).tolist()):
            runs.append(Run(first, first + place + a, b - a, OwnRows(lo, objects[a:b])))
    return runs


@dataclass(frozen=True)
class Work:
    """All that it takes to compute a run: the objects, and their crops as they were read."""

    references: References
    masks: MaskBatch
    crops: ImageBatch
    failures: list[Failure]


@dataclass(frozen=True)
class Read:
    """Images that were read for a run: which were tried, what they are, and what failed."""

    tried: Int64Array
    images: ImageBatch
    failures: list[Failure]


class Bench:
    """Where a rank lays out its runs: what was read for one run is at hand for the next.

    Parameters
    ----------
    stages : Stages
    holdings : Holdings
    runs : sequence of Run
        All runs of this rank's own.
    """

    def __init__(self, stages: Stages, holdings: Holdings, runs: list[Run]) -> None:
        self.stages = stages
        self.holdings = holdings
        self.waiting = Counter(run.work.lo for run in runs)
        for lo in set(holdings.chunks()) - set(self.waiting):
            holdings.store.drop(lo)
        self.read = Read(np.empty(0, np.int64), ImageBatch.from_images([]), [])

    def lay_out(self, run: Run) -> Work:
        """The work of a run, this rank's or one that was handed over."""
        if isinstance(run.work, Parcel):
            return self._unpacked(run.work)
        lo, objects = run.work.lo, run.work.objects
        record, store = self.holdings.records[lo], self.holdings.store
        masks = store.masks(lo).take(objects)
        images = store.pixels(lo)
        if images is None:
            crops, failures = self._crops(record.references, masks)
        else:
            crops, failures = cut_out(images, masks), []
        self._done(lo)
        return Work(record.references, masks, crops, failures)

    def pack(self, run: Run) -> UInt8Array:
        """A run of this rank's as a message."""
        lo, objects = run.work.lo, run.work.objects
        record, store = self.holdings.records[lo], self.holdings.store
        masks, images = store.masks(lo).take(objects), store.pixels(lo)
        crops = ImageBatch.from_images([]) if images is None else cut_out(images, masks)
        needed = np.unique(masks.image)
        # A run of few of a chunk's images needs to know of those alone.
        references = record.references.alone().take(needed - record.references.index[0])
        files = "\0".join(file for own in references.sources for file in own)
        parcel = Parcel(
            run=np.array([run.chunk, run.start, run.rows, images is not None], np.int64),
            sources=np.frombuffer(files.encode("utf-8", "surrogateescape"), np.uint8),
            within=references.within,
            index=references.index,
            group=references.group,
            masks=to_buffer(masks),
            pixels=crops.pixels,
            offsets=crops.offsets,
            shapes=crops.shapes,
            places=crops.index,
        )
        self._done(lo)
        return to_buffer(parcel)

    def _unpacked(self, parcel: Parcel) -> Work:
        files = bytes(parcel.sources).decode("utf-8", "surrogateescape").split("\0")
        each = len(files) // len(parcel.within)
        sources = [tuple(files[i : i + each]) for i in range(0, len(files), each)]
        references = References(sources, parcel.within, parcel.index, parcel.group)
        masks = from_buffer(MaskBatch, parcel.masks)
        if parcel.run[3]:
            crops = ImageBatch(parcel.pixels, parcel.offsets, parcel.shapes, parcel.places)
            return Work(references, masks, crops, [])
        return Work(references, masks, *self._crops(references, masks))

    def _crops(self, references: References, masks: MaskBatch) -> tuple[ImageBatch, list[Failure]]:
        """The crops of objects whose images are not here."""
        if self.stages.tiles is not None:
            return crops_of(self.stages.tiles, self.stages, references, masks)
        images, failures = self._images(references, masks)
        return cut_out(images, masks), failures

    def _images(self, references: References, masks: MaskBatch) -> tuple[ImageBatch, list[Failure]]:
        """The images that objects are in: read, but those that the last run was in too."""
        wanted, last = np.unique(masks.image), self.read
        missing = np.setdiff1d(wanted, last.tried)
        if len(missing):
            place = np.searchsorted(references.index, missing)
            images, failures = self.stages.read(references.take(place))
            failures += [f for f in last.failures if f.index in wanted]
            self.read = Read(wanted, joined(last.images, images, wanted), failures)
        return self.read.images, self.read.failures

    def _done(self, lo: int) -> None:
        self.waiting[lo] -= 1
        if not self.waiting[lo]:
            self.holdings.store.drop(lo)


def images_of(run: Run, holdings: Holdings) -> tuple[int, int]:
    """The images that a run is of: the first, and the one behind the last."""
    if isinstance(run.work, Parcel):
        index = run.work.index
    else:
        index = holdings.records[run.work.lo].image[run.work.objects]
    return int(index[0]), int(index[-1]) + 1


def joined(held: ImageBatch, read: ImageBatch, wanted: Int64Array) -> ImageBatch:
    """Images that were held already, as far as they are wanted, and those just read, in order."""
    kept = np.flatnonzero(np.isin(held.index, wanted))
    if not len(kept):
        return read
    images = {int(held.index[i]): held.image(i) for i in kept.tolist()}
    images |= {int(index): image for index, image in zip(read.index, read, strict=True)}
    order = sorted(images)
    return ImageBatch.from_images([images[i] for i in order], order, read.pixels.dtype)


def unpack(body: UInt8Array) -> Run:
    """A run that was handed over, from its message."""
    parcel = from_buffer(Parcel, body)
    chunk, start, rows, _ = parcel.run.tolist()
    return Run(chunk, start, rows, parcel)
