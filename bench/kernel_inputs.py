"""Cells for the kernel benchmarks: as single crops, and as one labelled field of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, Int64Array, SetMasks, UInt8Array
from scip_mpi.features.family import whole_sets
from scip_mpi.segmentation.li import li
from scip_mpi.simulation import LARGEST, cell

# Channels whose masks make the combined one: bright fields and side scatter.
COMBINED = (0, 5, 8)
SMOOTH = 0.5


@dataclass(frozen=True)
class Cells:
    """Simulated cells with their masks, twice.

    Attributes
    ----------
    batch : ImageBatch
        A crop per cell, 12 channels.
    own : list of ndarray of bool, shape (C, H, W)
        Each channel's own mask, by Li's threshold.
    union : list of ndarray of bool, shape (H, W)
        The combined mask; no cell is without.
    sets : SetMasks
        The same masks as kernels take them.
    field : ndarray, shape (C, rows, columns)
        The crops side by side.
    labels : ndarray of int32, shape (rows, columns)
        Label k + 1 where cell k has its combined mask.
    bbox : ndarray of int64, shape (n, 4)
        Where each crop lies in the field.
    """

    batch: ImageBatch
    own: list[NDArray[np.bool_]]
    union: list[NDArray[np.bool_]]
    sets: SetMasks
    field: NDArray[Any]
    labels: NDArray[np.int32]
    bbox: Int64Array

    def __len__(self) -> int:
        return len(self.batch)

    def own_field(self) -> UInt8Array:
        """The own masks side by side, as `field`."""
        placed = np.zeros(self.field.shape, np.uint8)
        for mask, (top, left, bottom, right) in zip(self.own, self.bbox, strict=True):
            placed[:, top:bottom, left:right] = mask
        return placed


def make(number: int, seed: int = 0) -> Cells:
    """So many cells, those without a combined mask left out."""
    images: list[NDArray[Any]] = []
    masks: list[NDArray[np.bool_]] = []
    count = 0
    while len(images) < number:
        image = cell(seed, count)[0]
        count += 1
        mask = own_masks(image)
        if mask[list(COMBINED)].any():
            images.append(image)
            masks.append(mask)
    batch = ImageBatch.from_images(images)
    flat = ImageBatch.from_images(masks, dtype=np.uint8).pixels
    union = [m[list(COMBINED)].any(axis=0) for m in masks]
    across = int(np.ceil(np.sqrt(number)))
    down = -(-number // across)
    field = np.full((batch.channels, down * LARGEST, across * LARGEST), 30, np.uint16)
    labels = np.zeros(field.shape[1:], np.int32)
    bbox = np.empty((number, 4), np.int64)
    for k, (image, mask) in enumerate(zip(images, union, strict=True)):
        top, left = k // across * LARGEST, k % across * LARGEST
        bottom, right = top + image.shape[1], left + image.shape[2]
        field[:, top:bottom, left:right] = image
        labels[top:bottom, left:right][mask] = k + 1
        bbox[k] = top, left, bottom, right
    return Cells(batch, masks, union, whole_sets(batch, flat, COMBINED), field, labels, bbox)


def own_masks(image: NDArray[Any]) -> NDArray[np.bool_]:
    """Li's masks of one image."""
    batch = ImageBatch.from_images([image])
    everywhere = np.ones((1, batch.channels), bool)
    flat = li(batch, everywhere, np, smooth=[SMOOTH] * batch.channels)
    return flat.reshape(image.shape).astype(bool)
