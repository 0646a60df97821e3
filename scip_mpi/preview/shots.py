"""Images of a sample: segmented as in a run, and held as small as the page shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, FloatArray, Int64Array, MaskBatch
from scip_mpi.loaders.contract import References, Window
from scip_mpi.pipeline import Stages
from scip_mpi.report.crops import Crop
from scip_mpi.report.outlines import shrink_by, smaller
from scip_mpi.segmentation.bits import unpack_bits
from scip_mpi.segmentation.fields import Fields
from scip_mpi.segmenting import segment
from scip_mpi.tile_store import Tiles
from scip_mpi.timers import Timers

# Pixels of all pictures: what is held, and what is in the page.
PIXELS = 8_000_000
# How the outlines of fields' labels are called beside those of mask sets.
OBJECTS = "labels of objects"


@dataclass(frozen=True)
class Shot:
    """An image of the sample.

    Attributes
    ----------
    image : int
        Its place in the catalog.
    picture : Crop
        All of it, squares of pixels made one; its masks are labels, of each mask set and, if
        there are any and it is a field, of its objects.
    factor : int
        The side of these squares.
    group : int
    statistics : ndarray of float64, shape (m, K)
        Of its objects.
    dropped : ndarray of int64, shape (S,)
        Objects that each mask set has dropped.
    bare : ndarray of int64, shape (S, C)
        Objects without a mask.
    touching, masked : ndarray of int64, shape (S,)
        Objects with a mask at the image's border, and with any.
    saturated : ndarray of float64, shape (C,)
        Share of the pixels.
    flat : ndarray of bool, shape (C,)
        Whether all pixels are equal.
    part : str
        What part of the image it is, if it is not all.
    """

    image: int
    picture: Crop
    factor: int
    group: int
    statistics: FloatArray
    dropped: Int64Array
    bare: Int64Array
    touching: Int64Array
    masked: Int64Array
    saturated: FloatArray
    flat: BoolArray
    part: str

    @property
    def objects(self) -> int:
        """How many were found."""
        return len(self.statistics)


def sampled(total: int, count: int) -> Int64Array:
    """One image at random of each of so many stretches of the catalog, always the same ones."""
    count = min(count, total)
    bounds = np.arange(count + 1) * total // count
    steps = np.random.default_rng(0).random(count) * np.diff(bounds)
    return bounds[:-1] + steps.astype(np.int64)


def take(
    stages: Stages, references: References, tiles: Tiles | None, most: int, timers: Timers
) -> Shot | str:
    """Segment the only image of some references, as a run would.

    Parameters
    ----------
    stages : Stages
    references : References
    tiles : Tiles, optional
        How fields are cut: of a larger one, the tile in its middle is taken.
    most : int
        Pixels of its picture.
    timers : Timers

    Returns
    -------
    Shot or str
        Or why there is none.
    """
    part, grid = "", None if tiles is None else tiles.grid(references)
    if grid is not None:
        window = grid.core(grid.down // 2 * grid.across + grid.across // 2)
        stages = only(stages, window, (grid.height, grid.width))
        part = "the tile in its middle, with a threshold of its own"
    held: list[Fields] = []
    try:
        record, raw = segment(
            replace(stages, export=lambda _, fields: held.append(fields)), references, timers
        )
    except MemoryError:
        return "not enough memory to segment and measure it"
    failed = record.failed()
    if failed or raw is None or not len(raw):
        return failed[0].error if failed else "it cannot be read"
    masks, pixels = record.objects(), stages.corrected(raw).image(0)
    factor = shrink_by(pixels.shape, most)
    layers = [layer(masks, s, pixels.shape, factor) for s in range(masks.sets)]
    shown = [bool(masks.kept[:, s].any()) for s in range(masks.sets)]
    if held and stages.sets:
        layers.append(labels_of(held[0], factor))
        shown.append(len(masks) > 0)
    box = masks.set_bbox + np.tile(masks.bbox[:, np.newaxis, :2], 2)
    at_border = (box[..., :2] <= 0).any(axis=2) | (box[..., 2:] >= pixels.shape[1:]).any(axis=2)
    there = masks.kept & (masks.set_bbox[..., 0] >= 0)
    return Shot(
        image=int(references.index[0]),
        picture=Crop(
            np.stack([smaller(plane, factor) for plane in pixels]).astype(np.float32),
            np.stack(layers),
            np.array(shown),
            np.zeros(len(shown), bool),
        ),
        factor=factor,
        group=int(references.group[0]),
        statistics=masks.statistics,
        dropped=(~masks.kept).sum(axis=0),
        bare=(masks.regions <= 0).sum(axis=0),
        touching=(at_border & there).sum(axis=0),
        masked=there.sum(axis=0),
        saturated=record.saturated[0],
        flat=np.array([plane.min() == plane.max() for plane in raw.image(0)]),
        part=part,
    )


def only(stages: Stages, window: Window, size: tuple[int, int]) -> Stages:
    """The same stages on a part of each image, which is of that size."""
    beside = stages.beside
    if beside is not None:
        beside = partial(beside, window=window, size=size)
    return replace(stages, read=lambda references, _=None: stages.read(references, window),
                   beside=beside)  # fmt: skip


def layer(masks: MaskBatch, mask_set: int, shape: Sequence[int], factor: int) -> NDArray[np.int32]:
    """The masks of a set in a small picture of their image, each with its object's number.

    Parameters
    ----------
    masks : MaskBatch
        Objects of one image.
    mask_set : int
    shape : (int, int, int)
        Of the image.
    factor : int

    Returns
    -------
    ndarray of int32, shape (C, H, W)
        0 where there is none, and where the set has dropped the object.
    """
    out = np.zeros((shape[0], *(-(-n // factor) for n in shape[1:])), np.int32)
    rows, columns = middles(shape[1], factor), middles(shape[2], factor)
    # Object by object: a field's crops may be many times as large as it.
    for k in np.flatnonzero(masks.kept[:, mask_set]).tolist():
        one = masks.take(slice(k, k + 1))
        own = unpack_bits(one, mask_set).reshape(tuple(one.shapes[0].tolist()))
        r0, c0, r1, c1 = one.bbox[0].tolist()
        i, j = (np.searchsorted(at, ends) for at, ends in ((rows, (r0, r1)), (columns, (c0, c1))))
        seen = own[:, rows[i[0] : i[1]] - r0][:, :, columns[j[0] : j[1]] - c0]
        out[:, i[0] : i[1], j[0] : j[1]][seen != 0] = k + 1
    return out


def labels_of(fields: Fields, factor: int) -> NDArray[np.int32]:
    """The labels of a field in a small picture of it, as each channel has them."""
    planes = fields.labels.image(0)
    rows, columns = middles(planes.shape[1], factor), middles(planes.shape[2], factor)
    small = planes[:, rows][:, :, columns].astype(np.int32)
    return small[fields.of_channel]


def middles(count: int, factor: int) -> Int64Array:
    """The middle row, or column, of each square; the last one may be cut."""
    starts = np.arange(0, count, factor)
    return np.minimum(starts + factor // 2, count - 1)
