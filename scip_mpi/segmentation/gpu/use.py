"""A rank's device and what becomes of it: smaller batches, single images, at last the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, ImageBatch, Int64Array
from scip_mpi.devices import DeviceLost, OutOfMemory
from scip_mpi.segmentation.bits import bit_offsets, pack_bits
from scip_mpi.segmentation.chain import MaskSet, PackedMasks, make_masks
from scip_mpi.segmentation.fields import Labels, Segmenter
from scip_mpi.segmentation.gpu import FIELD_METHODS, has_kernel
from scip_mpi.segmentation.gpu.recipes import MEASURED, Wanted


@dataclass(frozen=True)
class Made(PackedMasks):
    """What a device made of a batch.

    Attributes
    ----------
    left : ndarray of bool, shape (n, C)
        Channels that are left to the CPU: nothing here of their images has a meaning.
    """

    left: BoolArray

    def put(self, lo: int, hi: int, offsets: Int64Array, part: Made) -> None:
        """Take in what was made of images ``lo`` to ``hi``, whose bits start at ``offsets``."""
        self.bits[offsets[lo] : offsets[hi]] = part.bits
        self.regions[lo:hi], self.boxes[lo:hi] = part.regions, part.boxes
        if self.measured is not None:
            self.measured[lo:hi] = part.measured


@dataclass(frozen=True)
class Labelled:
    """What a device found in a batch of n fields.

    Attributes
    ----------
    labels : ndarray of int32
        Of one channel, a plane per field.
    left : ndarray of bool, shape (n,)
        Fields that are left to the CPU.
    """

    labels: NDArray[np.int32]
    left: BoolArray


class Device(Protocol):
    """Something that makes masks in place of the CPU."""

    name: str

    def make(
        self,
        mask_set: MaskSet,
        method: str,
        batch: ImageBatch,
        enabled: BoolArray,
        wanted: Wanted | None,
    ) -> Made:
        """Masks of a batch that is not empty, as `make_masks` has them on the CPU.

        Parameters
        ----------
        mask_set : MaskSet
            The method's settings, and what is done to its masks.
        method : str
            One of `gpu.METHODS`.
        wanted : Wanted, optional
            What is to be measured.

        Raises
        ------
        OutOfMemory
            The batch does not fit.
        DeviceLost
            The device has failed for good.
        """

    def label(self, batch: ImageBatch, settings: Mapping[str, Any]) -> Labelled:
        """Labels of a batch of fields that is not empty, as of `field_watershed.watershed`.

        Parameters
        ----------
        settings : mapping
            Its keywords, ``channel`` included.

        Raises
        ------
        UserError
            A setting is out of its range.
        OutOfMemory, DeviceLost
            As `make`.
        """

    def close(self) -> None:
        """Give the device's memory back."""


@dataclass
class DeviceUse:
    """How a rank uses its device, and what run.json says of it.

    Attributes
    ----------
    device : Device or None
        None once it has failed: whatever masks are still to be made here the CPU makes, the same
        ones.
    name : str
    say : callable
        Takes a line for the log.
    most : int or None
        Bytes of pixels that are tried at once, since more did not fit; None for no limit so far.
    images : int
        Images and mask sets that the device was given and did.
    halved : int
        How often a batch was halved for want of memory.
    on_cpu : int
        Images and mask sets done on the CPU because one image alone did not fit.
    planes_on_cpu : int
        Channels that the kernels left to the CPU, with the others of their images.
    lost : str
        Why the device failed, if it did.
    handed_over : int
        How often a chunk was left to other ranks since.
    alone : bool
        Whether the CPU does chunks in its place, as no device is left anywhere.
    """

    device: Device | None
    name: str
    say: Callable[[str], None]
    most: int | None = None
    images: int = 0
    halved: int = 0
    on_cpu: int = 0
    planes_on_cpu: int = 0
    lost: str = ""
    handed_over: int = 0
    alone: bool = False
    told: set[str] = field(default_factory=set)

    def on(self, mask_set: MaskSet, method: str, wanted: Wanted | None = None) -> MaskSet:
        """The same mask set, made on the device if that has its method.

        Parameters
        ----------
        mask_set : MaskSet
        method : str
            Name of its method.
        wanted : Wanted, optional
            What is to be measured there too.
        """
        if not has_kernel(method, mask_set.kwargs):
            return mask_set
        return replace(mask_set, device=partial(self._make, mask_set, method, wanted))

    def on_fields(self, segmenter: Segmenter, method: str) -> Segmenter:
        """The same segmenter of fields, on the device if that has its method."""
        if method not in FIELD_METHODS:
            return segmenter
        return replace(segmenter, method=partial(self._label, segmenter.method))

    def lose(self, reason: str) -> None:
        """Give the device up for good."""
        self.lost = reason
        self.close()
        self.say(f"the device {self.name} failed ({reason}): others take this rank's chunks")

    def idle(self) -> bool:
        """Whether others are to do this rank's chunks."""
        return bool(self.lost) and not self.alone

    def go_on(self) -> None:
        """Do chunks on the CPU, as no device is left."""
        self.alone = True
        self.say("no device is left on any rank: this rank segments on its CPU")

    def close(self) -> None:
        """Give the device back."""
        if self.device is not None:
            device, self.device = self.device, None
            device.close()

    def facts(self) -> dict[str, Any]:
        """Figures for run.json."""
        return {
            "name": self.name,
            "images": self.images,
            "batches_halved": self.halved,
            "images_on_cpu": self.on_cpu,
            "planes_on_cpu": self.planes_on_cpu,
            "lost": self.lost,
            "chunks_handed_over": self.handed_over,
            "on_cpu_instead": self.alone,
        }

    def _make(
        self,
        mask_set: MaskSet,
        method: str,
        wanted: Wanted | None,
        batch: ImageBatch,
        enabled: BoolArray,
    ) -> Made:
        whole, offsets = nothing(batch, wanted is not None), bit_offsets(batch.shapes)

        def on_cpu(lo: int, hi: int) -> None:
            made = packed_masks(mask_set, part(batch, lo, hi), enabled[lo:hi], wanted)
            whole.put(lo, hi, offsets, made)

        def on_device(device: Device, lo: int, hi: int) -> BoolArray:
            made = device.make(mask_set, method, part(batch, lo, hi), enabled[lo:hi], wanted)
            whole.put(lo, hi, offsets, made)
            return made.left

        self._go_through(batch, on_device, on_cpu)
        return whole

    def _label(
        self,
        method: Callable[..., Labels],
        batch: ImageBatch,
        xp: ModuleType,
        **settings: Any,
    ) -> Labels:
        labels = np.zeros(batch.planes[-1], np.int32)

        def on_cpu(lo: int, hi: int) -> None:
            own = slice(batch.planes[lo], batch.planes[hi])
            labels[own] = method(part(batch, lo, hi), xp, **settings)

        def on_device(device: Device, lo: int, hi: int) -> BoolArray:
            made = device.label(part(batch, lo, hi), settings)
            labels[batch.planes[lo] : batch.planes[hi]] = made.labels
            return made.left.reshape(-1, 1)

        self._go_through(batch, on_device, on_cpu)
        return labels

    def _go_through(
        self,
        batch: ImageBatch,
        on_device: Callable[[Device, int, int], BoolArray],
        on_cpu: Callable[[int, int], None],
    ) -> None:
        """Do a batch piece by piece, on the device as far as it can.

        Parameters
        ----------
        batch : ImageBatch
        on_device : callable
            Does images ``lo`` to ``hi``; returns which planes of them are left, a row per image.
        on_cpu : callable
            Does images ``lo`` to ``hi``.

        Raises
        ------
        DeviceLost
            It has failed for good, just now: the same batch, given again, is done on the CPU.
        """
        waiting = pieces(batch, self.most)[::-1]
        while waiting:
            lo, hi = waiting.pop()
            if self.device is None:
                on_cpu(lo, hi)
                continue
            try:
                left = on_device(self.device, lo, hi)
            except OutOfMemory as error:
                if hi - lo > 1:
                    middle = (lo + hi) // 2
                    waiting += [(middle, hi), (lo, middle)]
                    self._shrink(part(batch, lo, hi).pixels.nbytes // 2, str(error))
                else:
                    self._give_up_image(str(error))
                    on_cpu(lo, hi)
            except DeviceLost as error:
                self.lose(str(error))
                raise
            else:
                self.images += hi - lo
                self.planes_on_cpu += int(left.sum())
                for i in np.flatnonzero(left.any(axis=1)).tolist():
                    on_cpu(lo + i, lo + i + 1)

    def _shrink(self, size: int, why: str) -> None:
        self.halved += 1
        self.most = size if self.most is None else min(self.most, size)
        self._say_once("halved", f"{self.name} is out of memory ({why}): smaller batches")

    def _give_up_image(self, why: str) -> None:
        self.on_cpu += 1
        self._say_once(
            "image",
            f"{self.name} has no memory for a single image ({why}): such images are done on the "
            "CPU",
        )

    def _say_once(self, what: str, text: str) -> None:
        if what not in self.told:
            self.told.add(what)
            self.say(text)


def nothing(batch: ImageBatch, measured: bool) -> Made:
    """Empty masks of which nothing is known."""
    n, channels = len(batch), batch.channels
    return Made(
        bits=np.zeros(bit_offsets(batch.shapes)[-1], np.uint8),
        regions=np.zeros((n, channels), np.int64),
        boxes=np.full((n, 4), -1, np.int64),
        measured=np.full((n, channels, MEASURED), np.nan) if measured else None,
        left=np.zeros((n, channels), bool),
    )


def packed_masks(
    mask_set: MaskSet, batch: ImageBatch, enabled: BoolArray, wanted: Wanted | None = None
) -> Made:
    """What a device makes, made on the CPU."""
    masks, regions, boxes = make_masks(mask_set, batch, enabled, np)
    bits, _ = pack_bits([masks], batch.shapes)
    measured = None if wanted is None else wanted.on_cpu(batch, masks)
    return Made(bits, regions, boxes, measured, left=np.zeros(enabled.shape, bool))


def part(batch: ImageBatch, lo: int, hi: int) -> ImageBatch:
    """Images ``lo`` to ``hi`` of a batch; pixels are a view."""
    offsets = batch.offsets[lo : hi + 1]
    pixels = batch.pixels[offsets[0] : offsets[-1]]
    return ImageBatch(pixels, offsets - offsets[0], batch.shapes[lo:hi], batch.index[lo:hi])


def pieces(batch: ImageBatch, most: int | None) -> list[tuple[int, int]]:
    """Ranges of a batch's images, of so many bytes of pixels at most where that can be."""
    if most is None or not len(batch):
        return [(0, len(batch))] if len(batch) else []
    sizes = np.diff(batch.offsets) * batch.pixels.itemsize
    found, lo, held = [], 0, 0
    for i, size in enumerate(sizes.tolist()):
        if i > lo and held + size > most:
            found.append((lo, i))
            lo, held = i, 0
        held += size
    return [*found, (lo, len(batch))]


def remarks(facts: Iterable[Mapping[str, Any] | None]) -> list[str]:
    """What the end of a log says of all ranks' devices; nothing where all went well."""
    used = [f for f in facts if f is not None]
    halved = sum(f["batches_halved"] for f in used)
    alone = sum(f["images_on_cpu"] for f in used)
    lost = [f["lost"] for f in used if f["lost"]]
    found = []
    if halved or alone:
        found.append(
            f"devices ran out of memory: {halved:,} batches were halved, {alone:,} images done on "
            "the CPU"
        )
    if lost:
        chunks = sum(f["chunks_handed_over"] for f in used)
        where = "all ranks' CPUs" if any(f["on_cpu_instead"] for f in used) else "other devices"
        found.append(
            f"{len(lost)} of {len(used)} devices failed ({lost[0]}): {chunks:,} of their chunks "
            f"went to {where}"
        )
    return found
