"""The mask stage: from a batch of crops to the masks of all sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Int64Array, MaskBatch, UInt8Array
from scip_mpi.segmentation.bits import interleave, pack_bits, unpack_set
from scip_mpi.segmentation.border import bounding_boxes, count_regions, remove_border_regions
from scip_mpi.segmentation.cleaning import Cleaning, clean, keep_largest


@dataclass(frozen=True)
class PackedMasks:
    """What a device makes of a mask set and a batch of n images with C channels.

    Attributes
    ----------
    bits : ndarray of uint8
        The masks, packed: those of one set, as of `bits.pack_bits`.
    regions, boxes : ndarrays of int64, shapes (n, C), (n, 4)
        As `make_masks` has them.
    measured : ndarray of float64, shape (n, C, k), optional
        What was to be measured of every channel; numbers not asked for have no meaning.
    """

    bits: UInt8Array
    regions: Int64Array
    boxes: Int64Array
    measured: FloatArray | None


@dataclass(frozen=True)
class MaskSet:
    """A named mask method, its settings, and what is done to its masks.

    Attributes
    ----------
    name : str
    method : callable
    kwargs : mapping
    border : bool
        Whether regions on the image's border are removed.
    cleaning : Cleaning
    companions : bool
        Whether the method has a parameter of that name: the images beside the images.
    device : callable, optional
        Does it all in place of the CPU: from the batch and the channels enabled to `PackedMasks`.
    """

    name: str
    method: Callable[..., UInt8Array]
    kwargs: Mapping[str, Any]
    border: bool = True
    cleaning: Cleaning = field(default_factory=Cleaning)
    companions: bool = False
    device: Callable[[ImageBatch, BoolArray], PackedMasks] | None = None


@dataclass(frozen=True)
class PreFilter:
    """A filter on the pixels of channels, before any mask, and its settings."""

    method: Callable[..., BoolArray]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True)
class Objects:
    """The table of objects, apart from their masks.

    Attributes
    ----------
    image, label : ndarray of int64, shape (m,)
        The image's place in the catalog, and the object's label in it.
    bbox : ndarray of int64, shape (m, 4)
        (min row, min column, max row, max column) in the image, ends exclusive.
    """

    image: Int64Array
    label: Int64Array
    bbox: Int64Array

    def take(self, rows: slice) -> Objects:
        """Some of them."""
        return Objects(self.image[rows], self.label[rows], self.bbox[rows])


@dataclass(frozen=True)
class FoundMasks:
    """The masks of all sets, a byte per pixel or packed, and what is known of them.

    Attributes
    ----------
    shapes : ndarray of int64, shape (m, 3)
        Of the crops.
    dense : dict of int to ndarray of uint8
        Masks of sets, 0 or 1, in the layout of the crops' pixels; one that is missing is unpacked
        when it is asked for.
    bits : dict of int to ndarray of uint8
        Sets whose masks came packed.
    kept, regions, boxes : ndarrays of shapes (m, S), (m, S, C), (m, S, 4)
        ``kept``, ``regions`` and ``set_bbox`` of a `MaskBatch`.
    measured : dict of int to ndarray of float64
        What was measured of sets where their masks were made, as of `PackedMasks`.
    """

    shapes: Int64Array
    dense: dict[int, UInt8Array]
    bits: dict[int, UInt8Array]
    kept: BoolArray
    regions: Int64Array
    boxes: Int64Array
    measured: dict[int, FloatArray]

    def own(self, mask_set: int) -> UInt8Array:
        """Masks of one set, a byte per pixel."""
        if mask_set not in self.dense:
            self.dense[mask_set] = unpack_set(self.bits[mask_set], self.shapes)
        return self.dense[mask_set]

    def packed(self, objects: Objects) -> MaskBatch:
        """As they travel and are kept; neither background nor statistics are measured yet."""
        sets = range(self.kept.shape[1])
        if self.bits:
            alone = {
                s: pack_bits([self.dense[s]], self.shapes)[0] for s in sets if s not in self.bits
            }
            bits, offsets = interleave([(self.bits | alone)[s] for s in sets], self.shapes)
        else:
            bits, offsets = pack_bits([self.dense[s] for s in sets], self.shapes)
        return MaskBatch(
            objects.image, objects.label, objects.bbox, self.shapes, self.kept, self.regions,
            self.boxes, np.full(self.regions.shape, np.nan), np.empty((len(self.shapes), 0)),
            np.empty((len(self.shapes), 0)), offsets, bits,
        )  # fmt: skip


Relabel = Callable[[Objects], Objects]


def same_labels(objects: Objects) -> Objects:
    """Leave labels as they are: what stitching will replace."""
    return objects


def whole_images(batch: ImageBatch, relabel: Relabel = same_labels) -> Objects:
    """One object per image, label 1: what there is where nothing was segmented."""
    bbox = np.column_stack([np.zeros((len(batch), 2), np.int64), batch.shapes[:, 1:]])
    return relabel(Objects(batch.index, np.ones(len(batch), np.int64), bbox))


def mask_sets(
    crops: ImageBatch,
    objects: Objects,
    sets: Sequence[MaskSet],
    prefilters: Sequence[PreFilter],
    main_channel: int,
    xp: ModuleType,
    companions: Mapping[str, ImageBatch] | None = None,
) -> MaskBatch:
    """Mask every object by every method, and pack the masks; see `find_masks`."""
    return find_masks(crops, sets, prefilters, main_channel, xp, companions).packed(objects)


def find_masks(
    crops: ImageBatch,
    sets: Sequence[MaskSet],
    prefilters: Sequence[PreFilter],
    main_channel: int,
    xp: ModuleType,
    companions: Mapping[str, ImageBatch] | None = None,
) -> FoundMasks:
    """Mask every object by every method.

    A channel that a pre-filter fails gets an empty mask. A set drops an object (``kept`` False)
    whose main channel fails, or has no region left after those on the border were removed. Its
    regions and bounding box stay as counted: SCIP wrote the regions of dropped objects too, but
    NaN for their boxes.

    Parameters
    ----------
    crops : ImageBatch
        The objects' crops.
    sets : sequence of MaskSet
        The methods, in the order of the config.
    prefilters : sequence of PreFilter
        All must be passed.
    main_channel : int
        The channel without which there is no object.
    xp : module
        The array module that the methods work with.
    companions : mapping of str to ImageBatch, optional
        The crops' counterparts in the images beside the images, by name, in the crops' order.
    """
    m, channels = len(crops), crops.channels
    enabled = np.ones((m, channels), bool)
    for prefilter in prefilters:
        enabled &= prefilter.method(crops, xp, **prefilter.kwargs)
    kept = np.empty((m, len(sets)), bool)
    regions = np.empty((m, len(sets), channels), np.int64)
    boxes = np.empty((m, len(sets), 4), np.int64)
    dense: dict[int, UInt8Array] = {}
    bits: dict[int, UInt8Array] = {}
    measured: dict[int, FloatArray] = {}
    for s, mask_set in enumerate(sets):
        if mask_set.device is None:
            made = make_masks(mask_set, crops, enabled, xp, companions)
            dense[s], regions[:, s], boxes[:, s] = made
        else:
            found = mask_set.device(crops, enabled)
            bits[s], regions[:, s], boxes[:, s] = found.bits, found.regions, found.boxes
            if found.measured is not None and m:
                measured[s] = found.measured
        if m:
            kept[:, s] = enabled[:, main_channel] & (regions[:, s, main_channel] > 0)
    return FoundMasks(crops.shapes, dense, bits, kept, regions, boxes, measured)


def make_masks(
    mask_set: MaskSet,
    crops: ImageBatch,
    enabled: BoolArray,
    xp: ModuleType,
    companions: Mapping[str, ImageBatch] | None = None,
) -> tuple[UInt8Array, Int64Array, Int64Array]:
    """The masks of one set, cleaned; their regions (n, C), and bounding boxes (n, 4)."""
    beside = {"companions": companions or {}} if mask_set.companions else {}
    masks = mask_set.method(crops, enabled, xp, **mask_set.kwargs, **beside)
    clean(crops, masks, mask_set.cleaning)
    settle = remove_border_regions if mask_set.border else count_regions
    regions = settle(crops, masks)
    if mask_set.cleaning.largest_component:
        keep_largest(crops, masks)
        regions = np.minimum(regions, 1)
    return masks, regions, bounding_boxes(crops, masks)
