"""From single images to a batch: what every loader does with an image once it is decoded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, offsets_of
from scip_mpi.loaders.contract import Failure, ImageInfo, References, Window
from scip_mpi.loaders.listing import shown
from scip_mpi.memory import machine_memory

STAGE = "read"
# Longest message kept of a foreign library's error.
MESSAGE = 200
# Bytes that are set apart for images that are thought to come.
AHEAD = 64 << 20
# Which part of the memory one image may take: labels and masks of all channels come beside it.
IMAGE_SHARE = 8
# Most pixels of a channel: kernels keep places in it as 32 bits.
PLANE = 2**31 - 1

# Pick(channels that an image has) -> the ones wanted
Pick = Callable[[int], list[int]]
# Empty(shape, dtype) -> an array of that shape and type, its contents undefined
Empty = Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]]
# Decode(files of the image, index in the file, pick) -> image of shape (C, H, W)
Decode = Callable[[tuple[str, ...], int, Pick], NDArray[Any]]


class ImageError(Exception):
    """An image that cannot be read, said in plain words and without its path.

    ``path`` is the file at fault, where that is not the first one of its image.
    """

    def __init__(self, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.path = path


def gather(
    references: References,
    decode: Decode,
    channels: Sequence[int] | None,
    dtype: np.dtype[Any],
    window: Window | None = None,
    of: int | None = None,
    growing: GrowingBatch | None = None,
) -> tuple[ImageBatch, list[Failure]]:
    """Decode images one by one into a batch; what cannot be read becomes a failure.

    Parameters
    ----------
    references : References
        The images.
    decode : callable
        Reads the chosen channels of one image, shape (C, H, W); may raise anything.
    channels : sequence of int or None
        Channels wanted, in this order. None: all, as many as the first image has that can be read.
    dtype : dtype
        Pixel type of the batch.
    window : (min row, min column, max row, max column), optional
        Part of each image to keep, ends exclusive.
    of : int, optional
        Channels that every image must have.
    growing : GrowingBatch, optional
        The batch, if images are decoded straight into it.

    Returns
    -------
    ImageBatch
        The images that could be read, in the order of the references.
    list of Failure
        The others.
    """
    wanted = np.dtype(dtype).newbyteorder("=")
    pick = partial(wanted_channels, channels, of)
    if growing is None:
        growing = GrowingBatch(wanted, len(references))
    failures: list[Failure] = []
    for i, sources in enumerate(references.alone().sources):
        place = int(references.index[i])
        try:
            image = decode(sources, int(references.within[i]), pick)
            others = growing.channels
            if others is not None and len(image) != others:
                raise ImageError(f"has {len(image)} channels, the others have {others}")
            growing.add(convert(cut_window(image, window), wanted), place)
        except Exception as error:  # one image's fault must not end a run of millions
            failures.append(Failure(place, STAGE, located(error, sources)))
    return growing.batch(), failures


class GrowingBatch:
    """A batch of images that come one by one, of sizes that are known when they come.

    An image that was made by `empty` and is added next stands in the batch already; others are
    copied into it.

    Parameters
    ----------
    dtype : dtype
        Pixel type.
    images : int
        How many images there will be at most.
    """

    def __init__(self, dtype: np.dtype[Any], images: int) -> None:
        self.dtype, self.images = np.dtype(dtype).newbyteorder("="), images
        self.pixels = np.empty(0, self.dtype)
        self.used = 0
        self.ready: NDArray[Any] | None = None
        self.shapes: list[tuple[int, ...]] = []
        self.places: list[int] = []

    @property
    def channels(self) -> int | None:
        """Channels of the images; None before the first."""
        return self.shapes[0][0] if self.shapes else None

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Room for an image: in the batch if the type is its own."""
        refuse_beyond_memory(math.prod(shape) * dtype.itemsize)
        if dtype != self.dtype:
            return np.empty(shape, dtype)
        self.ready = self._room(math.prod(shape)).reshape(shape)
        return self.ready

    def add(self, image: NDArray[Any], place: int) -> None:
        """Take an image of shape (C, H, W), whose place in the catalog is given."""
        if image is not self.ready:
            self._room(image.size)[:] = image.reshape(-1)
        self.ready = None
        self.used += image.size
        self.shapes.append(image.shape)
        self.places.append(place)

    def batch(self) -> ImageBatch:
        """All images that were added."""
        pixels = self.pixels[: self.used]
        if len(self.pixels) > 1.25 * self.used:
            pixels = pixels.copy()
        shapes = np.array(self.shapes, np.int64).reshape(-1, 3)
        offsets = offsets_of(shapes.prod(axis=1))
        return ImageBatch(pixels, offsets, shapes, np.array(self.places, np.int64))

    def _room(self, size: int) -> NDArray[Any]:
        """The next so many pixels."""
        end = self.used + size
        if end > len(self.pixels):
            # As if all to come were like those so far and this one, and some more; but no large
            # amount for what may not come.
            expected = -(-end * self.images // (len(self.places) + 1)) * 17 // 16
            most = end + max(end // 4, AHEAD // self.dtype.itemsize)
            pixels = np.empty(max(end, min(expected, most)), self.dtype)
            pixels[: self.used] = self.pixels[: self.used]
            self.pixels = pixels
        return self.pixels[self.used : end]


def located(error: Exception, sources: Sequence[str]) -> str:
    """An error in one line, with the file that is at fault in front."""
    path = getattr(error, "path", None) or next((s for s in sources if s), "")
    return f"{shown(path)}: {describe(error, path)}"


def describe(error: Exception, path: str) -> str:
    """An error in one line, without traceback and without the path."""
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = " ".join(str(error).replace(path, "the file").split())
    return f"cannot be decoded ({text[:MESSAGE] or type(error).__name__})"


def pixel_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Type in which pixels of ``dtype`` are handled: native, bool as uint8, half as single.

    Raises
    ------
    ImageError
        For anything but bool, integers and real floating point of at most 64 bits.
    """
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype == np.float16:
        return np.dtype(np.float32)
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise ImageError(f"has pixels of type {dtype}, which cannot be measured")
    return dtype.newbyteorder("=")


def refuse_beyond_memory(nbytes: int) -> None:
    """Raise `ImageError` for an image beside which nothing else would fit into memory."""
    most = machine_memory() // IMAGE_SHARE
    if nbytes > most:
        raise ImageError(
            f"takes {nbytes / 2**30:,.1f} GiB; an image may take {most / 2**30:,.1f} GiB, as its "
            "masks and objects need several times as much: cut it into smaller ones, or, if its "
            "objects are segmented, have it read by segment.tiles"
        )


def info_of(shape: tuple[int, int, int], dtype: np.dtype[Any]) -> ImageInfo:
    """Shape and type of an image, as a file says.

    Raises
    ------
    ImageError
        There are no pixels, or they are of a type that cannot be measured.
    """
    if min(shape) < 1:
        raise ImageError(f"has no pixels (shape {shape})")
    return ImageInfo(shape, pixel_type(dtype))


def convert(image: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """The image in the run's pixel type, C order.

    Raises
    ------
    ImageError
        Values could change, there are none or too many, or some are NaN or infinite.
    """
    plane = math.prod(image.shape[-2:])
    if plane > PLANE:
        raise ImageError(
            f"has {plane:,} pixels in each channel, and at most {PLANE:,} can be handled: cut it "
            "into tiles"
        )
    if image.size == 0:
        raise ImageError(f"has no pixels (shape {image.shape})")
    if image.dtype == dtype and dtype.kind in "iu" and image.flags.c_contiguous:
        return image
    source = pixel_type(image.dtype)
    if not np.can_cast(source, dtype, "safe"):
        raise ImageError(
            f"has {source} pixels, which do not fit the run's {dtype}; set load.dtype to "
            f"{np.promote_types(source, dtype)}"
        )
    if source.kind == "f":
        bad = image.size - np.count_nonzero(np.isfinite(image))
        if bad:
            raise ImageError(f"{bad} of {image.size} pixels are NaN or infinite")
    return np.ascontiguousarray(image, dtype)


def checked_window(window: Window | None, height: int, width: int) -> Window:
    """A window that lies in an image of that size, all of it for None; `ImageError` otherwise."""
    if window is None:
        return 0, 0, height, width
    r0, c0, r1, c1 = window
    if not (0 <= r0 < r1 <= height and 0 <= c0 < c1 <= width):
        raise ImageError(
            f"is {height} x {width} pixels, which does not hold the window {tuple(window)}"
        )
    return window


def cut_window(image: NDArray[Any], window: Window | None) -> NDArray[Any]:
    """Rows and columns of a window; `ImageError` if it does not lie in the image."""
    if window is None:
        return image
    r0, c0, r1, c1 = checked_window(window, *image.shape[1:])
    return image[:, r0:r1, c0:c1]


def wanted_channels(channels: Sequence[int] | None, of: int | None, available: int) -> list[int]:
    """The channels asked for; `ImageError` if the image has not got them, or not ``of`` in all."""
    if of is not None and available != of:
        raise ImageError(
            f"has {available} channel{'s' if available != 1 else ''}, the first image has {of}"
        )
    if channels is None:
        return list(range(available))
    if channels and min(channels) >= 0 and max(channels) < available:
        return list(channels)
    missing = [c for c in channels if not 0 <= c < available]
    if missing:
        raise ImageError(
            f"has {available} channel{'s' if available != 1 else ''}, so none with index "
            f"{', '.join(map(str, missing))}"
        )
    return list(channels)
