"""What the JSON files of an OME-Zarr hierarchy say: where its images are, and what each is like."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scip_mpi.batches import Int64Array
from scip_mpi.loaders import zarr_pixels
from scip_mpi.loaders.gather import ImageError, pixel_type
from scip_mpi.loaders.series import micrometres, side
from scip_mpi.loaders.zarr_array import read_json
from scip_mpi.loaders.zarr_pixels import Array

V3, V2_GROUP, V2_ATTRIBUTES = "zarr.json", ".zgroup", ".zattrs"
# Before version 0.3 of the format the axes are always these.
EARLY_AXES = "tczyx"


@dataclass(frozen=True)
class Image:
    """An image of a hierarchy: its folder, and what comes after the top's name in its id."""

    path: str
    below: str
    plate: str | None
    metadata: dict[str, str | None]


@dataclass(frozen=True)
class Stack:
    """One level of an image.

    Attributes
    ----------
    array : Array
    axes : str
        One letter for each dimension: t, c, z, y, x.
    names : list of str
        Of the channels; empty if it is not said.
    pixel_size : float
        Micrometres; NaN if it is not said.
    """

    array: Array
    axes: str
    names: list[str]
    pixel_size: float

    def size(self, axis: str) -> int:
        """Its size along an axis; 1 for one it has not."""
        return self.array.shape[self.axes.index(axis)] if axis in self.axes else 1

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels, in the machine's byte order."""
        return pixel_type(self.array.dtype)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height, width."""
        return self.size("c"), self.size("y"), self.size("x")


def is_group(path: str) -> bool:
    """Whether a folder is a zarr group."""
    return any(os.path.exists(os.path.join(path, name)) for name in (V3, V2_GROUP))


def images_of(path: str) -> Iterator[Image]:
    """The images of a group: itself, those of a plate, or those that stand in it.

    Raises
    ------
    ImageError
        It says nothing of images, or what it says is broken.
    """
    try:
        attributes = _attributes(path)
        if "plate" in attributes:
            yield from _fields_of(path, attributes["plate"])
        elif "multiscales" in attributes:
            yield Image(path, "", None, {})
        elif "well" in attributes:
            raise ImageError("is a well of a plate: name the plate's folder")
        else:
            yield from _numbered(path)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ImageError(f"its attributes are not as OME-Zarr's should be ({error!r})") from None


def _fields_of(path: str, plate: Mapping[str, Any]) -> Iterator[Image]:
    name = os.path.basename(os.path.abspath(path))
    for well in plate["wells"]:
        place = str(well["path"])
        folder = os.path.join(path, place)
        try:
            images = _attributes(folder)["well"]["images"]
        except (ImageError, KeyError) as error:
            raise ImageError(f"its well {place} cannot be read: {error}") from None
        for image in images:
            field = str(image["path"])
            yield Image(
                os.path.join(folder, field),
                f"/{place}/{field}",
                name,
                {"well": place.replace("/", ""), "field": field},
            )


def _numbered(path: str) -> Iterator[Image]:
    """Images called 0, 1, ... in a group that says nothing of them (bioformats2raw.layout)."""
    number = 0
    while is_group(folder := os.path.join(path, str(number))):
        yield Image(folder, f"/{number}", None, {})
        number += 1
    if not number:
        raise ImageError("is a zarr group that says nothing of images, so it is no OME-Zarr")


def describe_image(path: str, level: int) -> Stack:
    """What an image's attributes and one of its arrays say.

    Raises
    ------
    ImageError
        They are missing or broken, or there is no such level.
    """
    try:
        return _described(path, level)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise ImageError(f"its attributes are not as OME-Zarr's should be ({error!r})") from None


def _described(path: str, level: int) -> Stack:
    attributes = _attributes(path)
    if "multiscales" not in attributes:
        raise ImageError("has no multiscales in its attributes, so it is no OME-Zarr image")
    scales = attributes["multiscales"][0]
    levels = scales["datasets"]
    if level >= len(levels):
        raise ImageError(f"has {len(levels)} levels, so none with index {level}")
    folder = os.path.join(path, str(levels[level]["path"]))
    array = zarr_pixels.open_array(folder)
    sizes = array.shape
    given = scales.get("axes", list(EARLY_AXES[-len(sizes) :]))
    named = [a if isinstance(a, dict) else {"name": a} for a in given]
    axes = "".join(str(a["name"]) for a in named)
    if len(axes) != len(sizes) or not {"y", "x"} <= set(axes) <= set(EARLY_AXES):
        raise ImageError(f"has axes {axes} for {len(sizes)} dimensions; known are {EARLY_AXES}")
    if len(set(axes)) < len(axes):
        raise ImageError(f"has axes {axes}, of which some are the same")
    channels = attributes.get("omero", {}).get("channels", [])
    names = [str(c.get("label") or "") for c in channels]
    pixel_size = side(*(_size(levels[level], scales, axes.index(a), named) for a in "xy"))
    count = sizes[axes.index("c")] if "c" in axes else 1
    return Stack(array, axes, names if len(names) == count and all(names) else [],
                 pixel_size)  # fmt: skip


def _size(
    level: Mapping[str, Any], scales: Mapping[str, Any], axis: int, named: Sequence[Any]
) -> float:
    """Micrometres of a step along an axis; NaN if it is not told."""
    unit = named[axis].get("unit")
    steps = [_scale(part, axis) for part in (level, scales)]
    # A scale without a unit may be one of pixels.
    if not unit or all(map(math.isnan, steps)):
        return math.nan
    return micrometres(math.prod(1.0 if math.isnan(s) else s for s in steps), unit)


def _scale(part: Mapping[str, Any], axis: int) -> float:
    """How much a dataset's, or all datasets', transformations scale an axis by; NaN if not."""
    for step in part.get("coordinateTransformations", ()):
        if step.get("type") == "scale" and "scale" in step:
            return float(step["scale"][axis])
    return math.nan


def _attributes(path: str) -> dict[str, Any]:
    """What a group says in the OME format: since version 0.5 all of it stands under ``ome``."""
    if os.path.exists(os.path.join(path, V3)):
        attributes = read_json(path, V3).get("attributes", {})
        return dict(attributes.get("ome", attributes))
    if not os.path.exists(os.path.join(path, V2_ATTRIBUTES)):
        return {}
    return read_json(path, V2_ATTRIBUTES)


def facts(paths: Sequence[str]) -> tuple[Int64Array, Int64Array]:
    """Bytes of the JSON files of images, and when they or the images' folders were changed."""
    table = np.zeros((len(paths), 2), np.int64)
    for i, path in enumerate(paths):
        for name in ("", V3, V2_ATTRIBUTES):
            try:
                status = os.stat(os.path.join(path, name))
            except OSError:
                continue
            table[i, 0] += status.st_size if name else 0
            table[i, 1] = max(table[i, 1], status.st_mtime_ns)
    return table[:, 0].copy(), table[:, 1].copy()
