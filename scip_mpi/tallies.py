"""What every rank tells rank 0 of its images and objects, for the tables that rank 0 writes."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, FloatArray, Int64Array, UInt8Array, offsets_of
from scip_mpi.holdings import Holdings, Survivors
from scip_mpi.loaders.contract import Failure
from scip_mpi.pipeline import failures_of
from scip_mpi.results.writers import canonical

# Numbers before a tally's tables: rows and columns of each, and the bytes of the failures.
HEAD = 7


@dataclass(frozen=True)
class Tally:
    """A rank's images of a block and their objects, in the order of the catalog.

    Three tables of eight bytes a value, of which some are floats: rank 0 takes in those of a
    thousand ranks without a Python object for each.

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

    def to_message(self) -> bytes:
        """The tables behind a head that tells their shapes, then the failures, if there are any.

        All of it is whole int64.
        """
        tables = [np.ascontiguousarray(t) for t in (self.images, self.objects, self.gone)]
        failures = pickle.dumps(self.failures) if self.failures else b""
        failures += bytes(-len(failures) % 8)
        head = np.array([n for t in tables for n in t.shape] + [len(failures)], np.int64)
        return b"".join([head.data, *(t.data for t in tables), failures])

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


def merge(bodies: Sequence[UInt8Array], lo: int, hi: int) -> Tally:
    """The tallies of several ranks as one, in the order of the catalog.

    Parameters
    ----------
    bodies : sequence of ndarray of uint8
        Their messages.
    lo, hi : int
        The images that they are of.
    """
    starts = offsets_of(np.array([len(body) // 8 for body in bodies]))[:-1]
    words = np.concatenate(bodies).view(np.int64)
    heads = words[starts[:, np.newaxis] + np.arange(HEAD)]
    at, tables = starts + HEAD, []
    for rows, columns in zip(heads[0, :-1:2].tolist(), heads.T[1:-1:2], strict=True):
        tables.append(_in_order(words, at, columns, rows, lo, hi))
        at = at + rows * columns
    failures = [
        failure
        for first, size in zip(at.tolist(), heads[:, -1].tolist(), strict=True)
        if size
        for failure in pickle.loads(words[first : first + size // 8].data)
    ]
    failures.sort(key=lambda f: (f.index, f.stage))
    return Tally(tables[0], tables[1], tables[2], failures)


@njit(cache=True, nogil=True, error_model="numpy")
def _in_order(words, starts, columns, rows, lo, hi):
    """Columns of several tables in one, by the images in their first row: those of one in order.

    Parameters
    ----------
    words : ndarray of int64
        Holds the tables, row after row each.
    starts, columns : ndarray of int64
        Where each begins, and how many columns it has.
    rows : int
    lo, hi : int
        Range of the images.
    """
    place = np.zeros(hi - lo + 1, np.int64)
    for k in range(len(starts)):
        for j in range(starts[k], starts[k] + columns[k]):
            place[words[j] - lo + 1] += 1
    place = np.cumsum(place)
    out = np.empty((rows, place[-1]), np.int64)
    to = np.empty(columns.max(), np.int64)
    for k in range(len(starts)):
        for j in range(columns[k]):
            image = words[starts[k] + j] - lo
            to[j] = place[image]
            place[image] += 1
        for row in range(rows):
            first = starts[k] + row * columns[k]
            for j in range(columns[k]):
                out[row, to[j]] = words[first + j]
    return out


def _table(*columns: NDArray[Any]) -> Int64Array:
    """Columns, or arrays of columns, below each other; the floats as they are to be written."""
    return np.vstack([canonical(c).view(np.int64) if c.dtype == np.float64 else c for c in columns])


def warm_up() -> None:
    """Have all kernels compiled, and cached, by a rank that others wait for."""
    none, one = np.zeros(1, np.int64), np.ones(1, np.int64)
    _in_order(none, none, one, 1, 0, 1)
