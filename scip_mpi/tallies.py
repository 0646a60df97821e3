"""What every rank tells rank 0 of its images and objects, for the tables that rank 0 writes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, FloatArray, Int64Array, UInt8Array
from scip_mpi.holdings import Holdings, Survivors
from scip_mpi.loaders.contract import Failure
from scip_mpi.pipeline import failures_of
from scip_mpi.results.writers import canonical


@dataclass(frozen=True)
class Tally:
    """A rank's images of a block and their objects, in the order of the catalog.

    Three tables of eight bytes a value, column after column, of which some are floats: rank 0
    takes in those of a thousand ranks, and each array would cost it a microsecond or two.

    Attributes
    ----------
    images : ndarray of int64, shape (3 + 3 C, n)
        Place in the catalog, objects found (-1 for an image that failed), objects kept; then of
        each channel the fraction of saturated pixels, the background and the focus.
    objects : ndarray of int64, shape (5, m)
        Image, label, whether the filter kept it, and (x, y) of the centroid.
    gone : ndarray of int64, shape (2 + K + R, g)
        Image and label of the objects that the filter left out, the K statistics that it measured
        and which of its R rules are not met.
    failures : list of Failure
    """

    images: Int64Array
    objects: Int64Array
    gone: Int64Array
    failures: list[Failure]

    @property
    def image(self) -> Int64Array:
        """Place in the catalog of each image."""
        return self.images[0]

    @property
    def found(self) -> Int64Array:
        """Objects found in each image; -1 for one that failed."""
        return self.images[1]

    @property
    def kept(self) -> Int64Array:
        """Objects of each image that the filter kept."""
        return self.images[2]

    @property
    def measured(self) -> FloatArray:
        """What was measured of each image, shape (3 C, n)."""
        return self.images[3:].view(np.float64)

    @property
    def object_image(self) -> Int64Array:
        """Image of each object."""
        return self.objects[0]

    @property
    def object_label(self) -> Int64Array:
        """Label of each object."""
        return self.objects[1]

    @property
    def object_keep(self) -> BoolArray:
        """Which objects the filter kept."""
        return self.objects[2] != 0

    @property
    def centroid(self) -> FloatArray:
        """(x, y) of each object, shape (m, 2)."""
        return self.objects[3:].view(np.float64).T

    def runs(self) -> Iterator[tuple[int, Int64Array, Int64Array, Int64Array]]:
        """The three tables cut where images are missing: the first image of each part before it.

        Whatever is missing is another rank's. Nothing within a part has to be sorted.
        """
        cuts = np.flatnonzero(np.diff(self.image, prepend=-2) != 1)
        first = self.image[cuts]
        tables = (self.images, self.objects, self.gone)
        edges = [[*np.searchsorted(t[0], first).tolist(), t.shape[1]] for t in tables]
        for k, image in enumerate(first.tolist()):
            a, b, c = (t[:, e[k] : e[k + 1]] for t, e in zip(tables, edges, strict=True))
            yield image, a, b, c

    def to_message(self) -> bytes:
        """The tables, behind their shapes, and the failures."""
        tables = [np.ascontiguousarray(t) for t in (self.images, self.objects, self.gone)]
        head = np.array([t.shape for t in tables], np.int64)
        return b"".join([head.data, *(t.data for t in tables), pickle.dumps(self.failures)])

    @classmethod
    def from_message(cls, body: UInt8Array) -> Tally:
        """The tally that a message holds; its tables are views of it."""
        shapes = body[:48].view(np.int64).tolist()
        at, tables = 48, []
        for rows, columns in zip(shapes[::2], shapes[1::2], strict=True):
            end = at + 8 * rows * columns
            tables.append(body[at:end].view(np.int64).reshape(rows, columns))
            at = end
        return cls(tables[0], tables[1], tables[2], pickle.loads(body[at:].data))

    def why(self, statistics: int) -> tuple[FloatArray, BoolArray]:
        """Why objects were left out: so many ``statistics`` and then the rules, rows of objects."""
        return self.gone[2 : 2 + statistics].view(np.float64), self.gone[2 + statistics :] != 0


def tally(holdings: Holdings, survivors: Survivors, chunks: Sequence[int]) -> Tally | None:
    """What a rank knows of those of the ``chunks`` that it holds; None if it has none of them."""
    held = [lo for lo in chunks if lo in holdings.records]
    if not held:
        return None
    images: list[Int64Array] = []
    objects: list[Int64Array] = []
    gone: list[Int64Array] = []
    failures: list[Failure] = []
    for lo in held:
        record, note = holdings.records[lo], holdings.notes(lo)
        keep = survivors.keep[lo]
        n = len(note.found)
        kept = np.bincount(record.image[keep] - lo, minlength=n)
        measured = (note.saturated, note.background, note.focus)
        images.append(_table(np.arange(lo, lo + n), note.found, kept, *(m.T for m in measured)))
        objects.append(_table(record.image, record.label, keep, note.centroid.T))
        left = ~keep
        gone.append(
            _table(
                record.image[left],
                record.label[left],
                record.statistics[left].T,
                survivors.broken[lo][left].T,
            )
        )
        failures += failures_of(note.failures)
    tables = [np.concatenate(t, axis=1) for t in (images, objects, gone)]
    return Tally(tables[0], tables[1], tables[2], failures)


def merge(tallies: Sequence[Tally]) -> Tally:
    """Tallies of several ranks as one, in the order of the catalog."""
    runs = sorted((r for t in tallies for r in t.runs()), key=lambda run: run[0])
    failures = sorted((f for t in tallies for f in t.failures), key=lambda f: (f.index, f.stage))
    images, objects, gone = (np.concatenate([run[k] for run in runs], axis=1) for k in (1, 2, 3))
    return Tally(images, objects, gone, failures)


def _table(*columns: NDArray[Any]) -> Int64Array:
    """Columns, or arrays of columns, below each other; the floats as they are to be written."""
    return np.vstack([canonical(c).view(np.int64) if c.dtype == np.float64 else c for c in columns])
