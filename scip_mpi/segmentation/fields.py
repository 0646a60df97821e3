"""Fields of view: from label images to the table of objects, their crops and their masks.

One channel's labels are the parents, an object each. Other channels take the parents' labels, or
labels of their own which are given to the parent that they cover most of.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, Int64Array
from scip_mpi.segmentation.chain import Objects, Relabel, same_labels
from scip_mpi.segmentation.crops import label_facts

Labels = NDArray[np.int32] | NDArray[np.int64]
# A child belongs to a parent of which it covers more than this part, as in SCIP.
LEAST_OVERLAP = 0.1


@dataclass(frozen=True)
class Segmenter:
    """A method that labels one channel of every field of a batch, and its settings."""

    method: Callable[..., Labels]
    kwargs: Mapping[str, Any]
    companions: bool = False

    def __call__(
        self, batch: ImageBatch, channel: int, companions: Mapping[str, ImageBatch], xp: ModuleType
    ) -> Labels:
        """Labels of the channel, a plane per field."""
        extra = {"companions": companions} if self.companions else {}
        return self.method(batch, xp, channel=channel, **extra, **self.kwargs)


@dataclass(frozen=True)
class FieldPlan:
    """How fields become objects.

    Attributes
    ----------
    parent : int
        The channel whose labels are the objects.
    segmenter : Segmenter
        Labels the parent channel.
    children : mapping of int to Segmenter
        Channels with labels of their own.
    subtract : sequence of (left, right, target)
        The mask of channel ``target`` becomes that of ``left`` without that of ``right``.
    expansion : mapping of int to float
        Pixels by which a channel's labels are grown, as far as there is room.
    min_size, max_size : int, optional
        Limits of a parent's area in pixels.
    drop_border : bool
        Whether objects whose parent touches the edge of the field are left out.
    """

    parent: int
    segmenter: Segmenter
    children: Mapping[int, Segmenter] = field(default_factory=dict)
    subtract: Sequence[tuple[int, int, int]] = ()
    expansion: Mapping[int, float] = field(default_factory=dict)
    min_size: int = 0
    max_size: int | None = None
    drop_border: bool = False

    @property
    def own(self) -> list[int]:
        """Channels whose labels may differ from the parents'."""
        grown = set(self.expansion) - {self.parent}
        return sorted({*self.children, *grown, *(target for _, _, target in self.subtract)})

    def plane_of(self, channel: int) -> int:
        """Which plane of labels is a channel's, as in `Fields`."""
        own = self.own
        return own.index(channel) + 1 if channel in own else 0

    def grown(self, labels: NDArray[np.int32], channel: int) -> NDArray[np.int32]:
        """Labels of a channel, grown as far as they are to be."""
        return _grown(labels, self.expansion.get(channel, 0.0))

    def subtracted(self, planes: NDArray[np.int32]) -> None:
        """Take masks away from others in the planes of a field, or of a part of it, in place."""
        before = planes.copy() if self.subtract else planes
        for left, right, target in self.subtract:
            whole, part = before[self.plane_of(left)], before[self.plane_of(right)]
            planes[self.plane_of(target)] = np.where(whole == part, 0, whole)


@dataclass(frozen=True)
class Fields:
    """Objects of the fields of a batch.

    Attributes
    ----------
    objects : Objects
        By image, then label.
    row : ndarray of int64, shape (m,)
        Which image of the batch each object is in.
    number : ndarray of int64, shape (m,)
        Its label in ``labels``.
    labels : ImageBatch
        Planes of labels (int32), numbered from 1 in each field: the parents', and one for each
        channel with labels of its own.
    of_channel : ndarray of int64, shape (C,)
        Which of the planes holds each channel's labels.
    corner : (int, int)
        First row and column of the images in their fields: not (0, 0) where they are parts of them.
    """

    objects: Objects
    row: Int64Array
    number: Int64Array
    labels: ImageBatch
    of_channel: Int64Array
    corner: tuple[int, int] = (0, 0)

    @property
    def bbox(self) -> Int64Array:
        """Bounding boxes of the objects in the images of the batch."""
        return self.objects.bbox - np.array([*self.corner, *self.corner])


def segment_fields(
    batch: ImageBatch,
    plan: FieldPlan,
    companions: Mapping[str, ImageBatch],
    xp: ModuleType,
    relabel: Relabel = same_labels,
) -> Fields:
    """Find the objects of every field of a batch.

    Parameters
    ----------
    batch : ImageBatch
        Fields.
    plan : FieldPlan
    companions : mapping of str to ImageBatch
        Planes that came with the fields.
    xp : module
        The array module that the segmenters work with.
    """
    parents = plan.segmenter(batch, plan.parent, companions, xp)
    children = {c: s(batch, c, companions, xp) for c, s in plan.children.items()}
    of_channel = [plan.plane_of(c) for c in range(batch.channels)]
    count = len(plan.own) + 1
    shapes = batch.shapes.copy()
    shapes[:, 0] = count
    offsets = batch.planes * count
    labels = ImageBatch(np.empty(offsets[-1], np.int32), offsets, shapes, batch.index)
    facts = []
    for i in range(len(batch)):
        _, h, w = batch.shapes[i]
        part = slice(batch.planes[i], batch.planes[i + 1])
        found = {c: plane[part].reshape(h, w) for c, plane in children.items()}
        facts.append(
            _one_field(plan, parents[part].reshape(h, w), found, of_channel, labels.image(i))
        )
    row = np.repeat(np.arange(len(facts)), [len(f[0]) for f in facts]).astype(np.int64)
    none = np.empty(0, np.int64)
    number = np.concatenate([none, *(f[0] for f in facts)])
    original = np.concatenate([none, *(f[1] for f in facts)])
    bbox = np.concatenate([none.reshape(0, 4), *(f[2] for f in facts)])
    return Fields(
        objects=relabel(Objects(batch.index[row], original, bbox)),
        row=row,
        number=number,
        labels=labels,
        of_channel=np.array(of_channel, np.int64),
    )


def _one_field(
    plan: FieldPlan,
    parents: Labels,
    children: Mapping[int, Labels],
    of_channel: Sequence[int],
    out: NDArray[np.int32],
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Fill the planes of labels of one field; its objects' numbers, labels and boxes."""
    ids, dense = numbered(parents)
    dense = plan.grown(dense, plan.parent)
    count = len(ids)
    boxes = np.empty((count + 1, 4), np.int64)
    areas, edges = np.empty(count + 1, np.int64), np.empty(count + 1, np.int64)
    label_facts(dense, count, boxes, areas, edges)
    good = (areas > 0) & (areas >= plan.min_size)
    if plan.max_size is not None:
        good &= areas <= plan.max_size
    if plan.drop_border:
        good &= edges == 0
    good[0] = False
    if not good[1:].all():
        dense = np.where(good[dense], dense, np.int32(0))
    out[:] = dense
    for c, labels in children.items():
        out[of_channel[c]] = _assigned(numbered(labels)[1], dense, count, areas)
    for c in plan.expansion:
        if c != plan.parent:
            out[of_channel[c]] = plan.grown(out[of_channel[c]], c)
    plan.subtracted(out)
    number = np.flatnonzero(good)
    return number, ids[number - 1], boxes[number]


def parent_planes(fields: Fields, parent: int) -> ImageBatch:
    """The labels of the parents' channel alone, a plane per field."""
    labels = fields.labels
    if not len(labels) or labels.channels == 1:
        return labels
    planes = [image[fields.of_channel[parent]] for image in labels]
    return ImageBatch.from_images(planes, labels.index, np.int32)


def numbered(labels: Labels) -> tuple[Int64Array, NDArray[np.int32]]:
    """Labels in ascending order, and the plane with 1, 2, ... in their place."""
    top = int(labels.max(initial=0))
    if top < labels.size:
        # Counted rather than sorted.
        there = np.zeros(top + 1, bool)
        there[labels] = True
        there[0] = False
        number = np.where(there, np.cumsum(there, dtype=np.int32), 0).astype(np.int32)
        return np.flatnonzero(there), number[labels]
    ids, places = np.unique(labels.astype(np.int64), return_inverse=True)
    dense: NDArray[np.int32] = places.reshape(labels.shape).astype(np.int32)
    if ids[0] == 0:
        return ids[1:], dense
    return ids, dense + np.int32(1)


def _grown(labels: NDArray[np.int32], pixels: float) -> NDArray[np.int32]:
    if not pixels:
        return labels
    from skimage.segmentation import expand_labels

    return expand_labels(labels, pixels).astype(np.int32)


def _assigned(
    children: NDArray[np.int32],
    parents: NDArray[np.int32],
    count: int,
    areas: Int64Array,
) -> NDArray[np.int32]:
    """Every child with its parent's label; children of no parent are gone.

    The parent is the one of which the child covers the largest part, if that is more than
    `LEAST_OVERLAP`; of equal parts the lower label's.
    """
    pairs = children.astype(np.int64) * (count + 1) + parents
    both, shared = np.unique(pairs[(children > 0) & (parents > 0)], return_counts=True)
    of = chosen_parents(both, shared, areas, int(children.max(initial=0)))
    return of.astype(np.int32)[children]


def chosen_parents(
    both: Int64Array, shared: Int64Array, areas: Int64Array, children: int
) -> Int64Array:
    """The parent of every child, 0 for none, as in `segment_fields`.

    Parameters
    ----------
    both : ndarray of int64, shape (n,)
        Pairs that have pixels in common: child times the number of ``areas``, plus parent.
    shared : ndarray of int64, shape (n,)
        How many pixels.
    areas : ndarray of int64
        Of the parents, from 0 on.
    children : int
        The highest child.
    """
    child, parent = np.divmod(both, len(areas))
    covered = shared / areas[parent]
    order = np.lexsort((parent, -covered, child))
    child, parent, covered = child[order], parent[order], covered[order]
    first = np.flatnonzero(np.diff(child, prepend=-1))
    of = np.zeros(children + 1, np.int64)
    chosen = first[covered[first] > LEAST_OVERLAP]
    of[child[chosen]] = parent[chosen]
    return of
