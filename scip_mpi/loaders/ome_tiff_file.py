"""One OME-TIFF file: the images that its OME-XML describes, and their pixels by tile."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from scip_mpi.loaders.contract import Window
from scip_mpi.loaders.gather import (
    Empty,
    ImageError,
    Pick,
    checked_window,
    pixel_type,
    refuse_beyond_memory,
)
from scip_mpi.loaders.series import Place, Series, broken, checked, micrometres, side
from scip_mpi.loaders.tiff_window import read_page, refuse_unbelievable


@dataclass(frozen=True)
class _Described:
    """What the OME-XML says of an image beside its sizes."""

    name: str
    channels: list[str]
    pixel_size: float


class OmeTiff:
    """An open file; ``tif`` is tifffile's.

    Raises
    ------
    ImageError
        It is no OME-TIFF.
    """

    def __init__(self, tif: Any) -> None:
        if not tif.is_ome:
            raise ImageError("has no OME-XML, so it is no OME-TIFF: use format multiframe_tiff")
        self.tif = tif
        self.series = [s for s in tif.series if s.kind == "ome"]
        if not self.series:
            raise ImageError("has OME-XML that describes none of its pages")

    def list_series(self, level: int) -> list[Series]:
        """The images that begin in this very file; reading one that is broken will say so."""
        described = self._described()
        path = self.tif.filehandle.path
        found = []
        for k, series in enumerate(self.series):
            first = next(page for page in series if page is not None)
            if first.parent.filehandle.path != path:
                continue
            own = described[k]
            label = f"{k}" if len(self.series) > 1 else ""
            try:
                stack = self.stack(Place(k, level, 0, 0))
            except ImageError:
                found.append(broken(label, k, level))
                continue
            name = {"image_name": own.name or None} if label else {}
            found.append(
                Series(
                    label, k, stack.shape, stack.dtype, stack.sizes["T"], stack.sizes["Z"], level,
                    own.channels if len(own.channels) == stack.shape[0] else (),
                    own.pixel_size * stack.reduction, name,
                )
            )  # fmt: skip
        return found

    def stack(self, place: Place) -> Stack:
        """One time and plane of an image, all its channels.

        Raises
        ------
        ImageError
            There is none.
        """
        if place.number >= len(self.series):
            raise ImageError(f"has {len(self.series)} images, so none with index {place.number}")
        levels = self.series[place.number].levels
        if place.part >= len(levels):
            raise ImageError(f"has {len(levels)} levels, so none with index {place.part}")
        return Stack(levels[place.part], place, levels[0])

    def _described(self) -> list[_Described]:
        """What the OME-XML says of each series; nothing where it is not clear of which."""
        images = []
        try:
            for element in ElementTree.fromstring(self.tif.ome_metadata):
                pixels = next((e for e in element if e.tag.endswith("}Pixels")), None)
                if element.tag.endswith("}Image") and pixels is not None:
                    images.append(_described(element, pixels))
        except (ElementTree.ParseError, ValueError):
            images = []
        if len(images) == len(self.series):
            return images
        return [_Described(s.name, [], math.nan) for s in self.series]


def _described(image: ElementTree.Element, pixels: ElementTree.Element) -> _Described:
    names = []
    for channel in pixels:
        if channel.tag.endswith("}Channel"):
            samples = int(channel.get("SamplesPerPixel", "1"))
            name = channel.get("Name", "")
            names += [name] if samples == 1 else [f"{name}{s}" for s in range(samples)]
    return _Described(
        image.get("Name", ""),
        names if all(names) else [],
        side(*(_physical_size(pixels, axis) for axis in "XY")),
    )


def _physical_size(pixels: ElementTree.Element, axis: str) -> float:
    """Micrometres; NaN if it is not told."""
    try:
        size = float(pixels.get(f"PhysicalSize{axis}", "nan"))
    except ValueError:
        return math.nan
    return micrometres(size, pixels.get(f"PhysicalSize{axis}Unit"))


class Stack:
    """Pages of one time and plane of an image."""

    def __init__(self, level: Any, place: Place, full: Any) -> None:
        axes, shape = level.get_axes(squeeze=False), level.get_shape(squeeze=False)
        self.sizes = {"T": 1, "C": 1, "Z": 1, "S": 1} | dict(zip(axes, shape, strict=True))
        if not set(axes) <= set("TCZSYX"):
            raise ImageError(f"has axes {axes}; what can be read are T, C, Z, S, Y and X")
        if level.dtype is None:
            raise ImageError("has samples of a size that is not supported")
        self.dtype = pixel_type(np.dtype(level.dtype))
        checked(place, self.sizes["T"], self.sizes["Z"])
        self.level, self.place = level, place
        self.outer = [a for a in axes if a not in "SYX"]
        self.shape = (self.sizes["C"] * self.sizes["S"], self.sizes["Y"], self.sizes["X"])
        width = dict(zip(full.get_axes(squeeze=False), full.get_shape(squeeze=False), strict=True))
        self.reduction = width["X"] / max(self.sizes["X"], 1)

    def _page(self, channel: int) -> Any:
        """The page of a channel at this time and plane."""
        at = {"T": self.place.t, "Z": self.place.z, "C": channel}
        number = 0
        for axis in self.outer:
            number = number * self.sizes[axis] + at[axis]
        page = self.level[number] if number < len(self.level) else None
        if page is None:
            raise ImageError(f"lacks the page of channel {channel} at t {at['T']}, z {at['Z']}")
        return page

    def read(self, pick: Pick, window: Window | None, empty: Empty) -> NDArray[Any]:
        """Chosen channels, and part, of the image, shape (C, H, W)."""
        chosen = pick(self.shape[0])
        part = r0, c0, r1, c1 = checked_window(window, *self.shape[1:])
        refuse_beyond_memory(len(chosen) * (r1 - r0) * (c1 - c0) * self.dtype.itemsize)
        samples = self.sizes["S"]
        pages = [self._page(channel // samples) for channel in chosen]
        for page in {id(p): p for p in pages}.values():
            refuse_unbelievable(page)
        image = empty((len(chosen), r1 - r0, c1 - c0), self.dtype)
        # Samples of one page are decoded together.
        for page in {id(p): p for p in pages}.values():
            wanted = {
                channel % samples: image[k]
                for k, (channel, own) in enumerate(zip(chosen, pages, strict=True))
                if own is page
            }
            read_page(page, part, wanted)
        return image


@contextmanager
def opened(path: str) -> Iterator[OmeTiff]:
    """An OME-TIFF file, open.

    Raises whatever a broken file makes it raise.
    """
    import tifffile

    if not os.path.getsize(path):
        raise ImageError("is empty (0 bytes)")
    with tifffile.TiffFile(path) as tif:
        yield OmeTiff(tif)
