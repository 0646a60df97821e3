"""Crops of cells and their masks, read and made again as in the run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.again import Source
from scip_mpi.batches import BoolArray, ImageBatch, Int64Array, MaskBatch
from scip_mpi.pipeline import Stages
from scip_mpi.rows import cut_out
from scip_mpi.segmentation.bits import unpack_bits
from scip_mpi.segmenting import segment
from scip_mpi.timers import Timers

# Cells of an image that are taken at random: a field may hold thousands.
CELLS = 20


@dataclass(frozen=True)
class Crop:
    """A cell as the features saw it.

    Attributes
    ----------
    pixels : ndarray, shape (C, H, W)
        Corrected.
    masks : ndarray of integers, shape (S, C, H, W)
        0 where there is none.
    kept : ndarray of bool, shape (S,)
        Mask sets that did not drop it.
    at_border : ndarray of bool, shape (S,)
        Whether any mask of a set touches the border of the image.
    """

    pixels: NDArray[Any]
    masks: NDArray[Any]
    kept: BoolArray
    at_border: BoolArray


class Reader:
    """Reads images again, each once, until its time is up.

    Parameters
    ----------
    source : Source
    wanted : mapping of int to set of int
        By image, the labels of the cells that will be asked for.
    seconds : float
        Once so much has passed no further image is begun.
    timers : Timers
    """

    def __init__(
        self, source: Source, wanted: Mapping[int, Set[int]], seconds: float, timers: Timers
    ) -> None:
        self.source = source
        self.wanted = wanted
        self.timers = timers
        self.until = time.monotonic() + seconds
        self.known: dict[int, dict[int, Crop]] = {}
        self.problems: list[str] = []

    @property
    def over(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() > self.until

    def cell(self, image: int, label: int) -> Crop | None:
        """A cell that was to be asked for; None if it cannot be read, or time is up."""
        if image not in self.known and not self.over:
            self.known[image] = {}
            self._read(image)
        return self.known.get(image, {}).get(label)

    def random(self, image: int) -> list[Crop]:
        """Some cells of an image at random, of one that was not read yet."""
        if image in self.known or self.over:
            return []
        self.known[image] = {}
        return self._read(image)

    def _read(self, image: int) -> list[Crop]:
        """Read an image; cells that will be asked for are kept, random ones returned."""
        stages = self.source.stages
        references = self.source.catalog.references(image, image + 1)
        record, raw = segment(stages, references, self.timers)
        assert raw is not None
        self.problems += [f.error for f in record.failed()]
        masks = record.objects()
        chosen = np.random.default_rng(image).permutation(len(masks))[:CELLS]
        asked = np.flatnonzero(np.isin(masks.label, list(self.wanted.get(image, ()))))
        masks = masks.take(np.concatenate([chosen, asked]))
        crops = cut_out(raw, masks)
        found = cut(stages, crops, masks.take(crops.index), raw.shapes[0, 1:]) if len(raw) else []
        self.known[image] |= dict(
            zip(masks.label[len(chosen) :].tolist(), found[len(chosen) :], strict=True)
        )
        return found[: len(chosen)]


def cut(stages: Stages, crops: ImageBatch, masks: MaskBatch, ends: Int64Array) -> list[Crop]:
    """Crops and masks of cells of one image, whose rows and columns are ``ends``."""
    pixels = stages.corrected_crops(crops, masks)
    sets = [unpack_bits(masks, s) for s in range(masks.sets)]
    found = []
    for k in range(len(masks)):
        lo, hi = pixels.offsets[k : k + 2]
        shape = tuple(pixels.shapes[k].tolist())
        box = masks.set_bbox[k] + np.tile(masks.bbox[k, :2], 2)
        at_border = (box[:, :2] <= 0).any(axis=1) | (box[:, 2:] >= ends).any(axis=1)
        found.append(
            Crop(
                pixels.image(k),
                np.stack([own[lo:hi].reshape(shape) for own in sets]),
                masks.kept[k],
                at_border & (masks.set_bbox[k, :, 0] >= 0),
            )
        )
    return found
