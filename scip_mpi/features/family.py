"""What a feature family is: names and one compute function over a whole batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.features.selection import Part
from scip_mpi.features.shared import Shared, prepare


@dataclass(frozen=True)
class Feature:
    """One column of a family, before the mask set's prefix.

    Attributes
    ----------
    name : str
        SCIP's name without ``feat_`` and mask set, e.g. ``bgcorr_mean_DAPI``.
    channel : str
        Channel name, or ``combined`` for a feature of the combined mask alone; of a pair of
        channels both names, joined by ``_``.
    unit : str
        ``pixel``, ``pixel^2``, ``intensity``, ``1`` or ``radian``; pixels with their power are
        turned into micrometres where that is asked for.
    definition : str
        One sentence.
    mask : str
        The mask that it is measured in, ``own`` or ``combined``. By default what the family's
        setting ``mask`` says, or, of a family that is not masked, none.
    source : str
        Where the definition is from, if that is not what the references of the family's `compute`
        say.
    """

    name: str
    channel: str
    unit: str
    definition: str
    mask: str = ""
    source: str = ""


class InField(Protocol):
    """What a family must know of an object among the others of its field, in the first pass.

    Equal ones of several mask sets are asked once.
    """

    @property
    def columns(self) -> int:
        """How many numbers it gives for each object."""

    def __call__(
        self, labels: NDArray[np.int32], numbers: Int64Array, boxes: Int64Array
    ) -> FloatArray:
        """Measure the objects of one field.

        Parameters
        ----------
        labels : ndarray of int32, shape (H, W)
            Whose pixels: 0 for nobody's.
        numbers : ndarray of int64, shape (m,)
            The objects' labels, ascending; there are no others.
        boxes : ndarray of int64, shape (m, 4)
            Their bounding boxes, ends exclusive.

        Returns
        -------
        ndarray of float64, shape (m, columns)
        """


class Compute(Protocol):
    """The kernel contract.

    Fills ``out[rows, columns]``, float64, a row per object of the batch in its order and a column
    per feature in the order of the family's `Feature` list. Rows of objects that the mask set did
    not keep are left as they are (NaN).
    """

    def __call__(
        self,
        batch: ImageBatch,
        masks: SetMasks,
        shared: Shared,
        out: FloatArray,
        scratch: Scratch,
    ) -> None:
        """Compute the family for a batch."""


@dataclass(frozen=True)
class Family:
    """A feature family: found by name in the registry, computed batch by batch.

    Attributes
    ----------
    name : str
        The word in ``feature_extraction``.
    features : callable
        ``features(channel_names)`` lists the columns.
    compute : Compute
        The kernel.
    needs : frozenset of str
        What it shares with other families, made once per batch (`scip_mpi.features.shared`):
        ``sorted``, the pixels of every channel in ascending order; ``sorted_unless_exact``, the
        same, but for pixel types whose sums are exact in any order not at all.
    masked : bool
        False for families of the bare image (``raw``), computed once and not per mask set.
    select : callable, optional
        ``select(**settings)``, keyword-only settings with defaults, gives a family of the same name
        with fewer columns, of the same names and values and in the same order, that does only the
        work which these need.
    parts : tuple of Part
        What a selected family was selected by.
    joined : callable, optional
        ``joined(parts)`` gives the family with the columns of several selections, each once.
    in_field : InField, optional
        What it must know of whole fields; it is in ``masks.in_field`` then.
    """

    name: str
    features: Callable[[Sequence[str]], list[Feature]]
    compute: Compute
    needs: frozenset[str] = frozenset()
    masked: bool = True
    select: Callable[..., Family] | None = None
    parts: tuple[Part, ...] = ()
    joined: Callable[[tuple[Part, ...]], Family] | None = None
    in_field: InField | None = None

    def measure(
        self,
        images: Sequence[NDArray[Any]],
        masks: Sequence[NDArray[Any]] | None = None,
        channel_names: Sequence[str] | None = None,
        combined: Sequence[int] | None = None,
    ) -> dict[str, FloatArray]:
        """Compute the family for a list of images, without a config, files or MPI.

        Parameters
        ----------
        images : sequence of ndarray, shape (C, H, W) or (H, W)
            Images of any sizes, all with C channels and of one type.
        masks : sequence of ndarray of bool, shape (C, H, W) or (H, W), optional
            One mask per channel, or one for all; whole images by default.
        channel_names : sequence of str, optional
            ``0``, ``1``, ... by default.
        combined : sequence of int, optional
            Channels whose masks make up the combined mask; all by default.

        Returns
        -------
        dict of str to ndarray, shape (n,)
            A column per feature.

        Examples
        --------
        >>> import numpy as np
        >>> from scip_mpi.features import shape
        >>> disc = np.hypot(*np.mgrid[-8:9, -8:9]) < 6
        >>> float(shape.FAMILY.measure([disc.astype("u2")], [disc])["area_combined"][0])
        113.0
        """
        batch = ImageBatch.from_images(images)
        names = channel_names or [str(c) for c in range(batch.channels)]
        if masks is None:
            own = np.ones(batch.pixels.size, np.uint8)
        else:
            full = [
                np.broadcast_to(np.asarray(m, bool), im.shape)
                for m, im in zip(masks, batch, strict=True)
            ]
            own = ImageBatch.from_images(full, dtype=np.uint8).pixels
        set_masks = whole_sets(batch, own, combined)
        table = np.full((len(batch), len(self.features(names))), np.nan)
        self.compute(batch, set_masks, prepare(self.needs, batch), table, Scratch())
        return {f.name: table[:, j] for j, f in enumerate(self.features(names))}


def whole_sets(
    batch: ImageBatch, own: NDArray[np.uint8], combined: Sequence[int] | None = None
) -> SetMasks:
    """Masks that were not cleaned or filtered, every object kept, as a `SetMasks`."""
    n, channels = len(batch), batch.channels
    chosen = list(range(channels)) if combined is None else list(combined)
    planes = np.zeros(int(batch.planes[-1]), np.uint8)
    for i in range(n):
        mask = own[batch.offsets[i] : batch.offsets[i + 1]].reshape(tuple(batch.shapes[i]))
        planes[batch.planes[i] : batch.planes[i + 1]] = mask[chosen].max(axis=0).reshape(-1)
    regions = np.ones((n, channels), np.int64)
    bbox = np.column_stack([np.zeros((n, 2), np.int64), batch.shapes[:, 1:]])
    outside = np.full((n, channels), np.nan)
    return SetMasks(own, planes, regions, bbox, np.ones(n, bool), outside, np.empty((n, 0)))
