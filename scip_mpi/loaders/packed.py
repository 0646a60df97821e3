"""Images that `scip_mpi pack` put into shards (``packed``).

A shard is opened once per pass and rank, and kept open for the chunks to come; a chunk's pixels are
read at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, Int64Array, offsets_of
from scip_mpi.errors import UserError
from scip_mpi.loaders import shard, shard_reader
from scip_mpi.loaders.contract import Catalog, Failure, ImageInfo, References, Window
from scip_mpi.loaders.gather import (
    ImageError,
    Pick,
    describe,
    gather,
    located,
    pixel_type,
)
from scip_mpi.loaders.listing import list_images, shown, twice
from scip_mpi.loaders.merging import MergedColumn, filled
from scip_mpi.loaders.shard_reader import Index, Shard
from scip_mpi.loaders.texts import TextsBuilder

SUFFIX = ".h5"
# Shards kept open: chunks are handed out by what they cost, so a shard's come at any time.
OPEN = 128
# Bytes that are read along, rather than begin another read.
GAP = 256 << 10
# An image's index within its shard is in the lower bits, the shard's key above them.
_BITS = 32


def discover(paths: Sequence[str]) -> Catalog:
    """List the images of shards, with all that was known of them when they were packed.

    Parameters
    ----------
    paths : sequence of str
        Shards (``*.h5``), or folders that are searched for them.

    Raises
    ------
    UserError
        Nothing was found, a file is no shard, or shards do not go together: other channels, or
        images of the same id.
    """
    _opened.cache_clear()
    listing = list_images(paths, _is_shard, "*.h5 shards")
    names = TextsBuilder()
    group = MergedColumn()
    metadata: dict[str, MergedColumn] = {}
    numbers: dict[str, list[NDArray[Any]]] = {}
    sets: dict[tuple[str, int], int] = {}
    indices: list[Index] = []
    channels: shard.Channels | None = None
    n = 0
    for path in listing.files:
        try:
            with shard_reader.open_hdf5(path) as file:
                index, columns = shard_reader.read_index(file), shard.read_columns(file)
                own, part = shard.read_channels(file), int(file.attrs["parts"])
        except ImageError as error:
            raise UserError(f"{shown(path)}: {error}") from None
        if channels is not None and own != channels:
            raise UserError(
                f"{shown(path)} has other channels, or companions, than "
                f"{shown(listing.files[0])}: give each a run of its own"
            )
        channels = own
        sets[path.rpartition("_")[0], part] = sets.get((path.rpartition("_")[0], part), 0) + 1
        names.append(columns.names)
        group.add(columns.group, n)
        for name, column in columns.metadata.items():
            metadata.setdefault(name, MergedColumn()).add(column, n)
        for name, values in columns.numbers.items():
            parts = numbers.setdefault(name, [])
            missing = -1 if values.dtype.kind == "i" else np.nan
            parts += [np.full(n - sum(map(len, parts)), missing, values.dtype), values]
        indices.append(index)
        n += len(index)
    if not n:
        raise UserError(f"{shown(listing.files[0])} holds no images")
    ids = names.texts()
    counts = [len(index) for index in indices]
    file_of = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
    both = twice(ids)
    if both is not None:
        one, other = (shown(listing.files[file_of[i]]) for i in both)
        raise UserError(f"the image {ids[both[0]]!r} is in {one} and in {other}")
    assert channels is not None
    codes, groups = group.finish(n)
    each = np.arange(n, dtype=np.int64)
    return Catalog(
        files=listing.files,
        # An image's companions are in its shard.
        sources=np.broadcast_to(file_of[:, np.newaxis], (n, 1 + len(channels.companions))),
        names=ids,
        named=each,
        within=np.concatenate([_keyed(np.arange(len(i)), i.key) for i in indices]),
        unit=each,
        group=codes,
        groups=list(groups),
        metadata={name: column.finish(n) for name, column in metadata.items()},
        numbers={
            name: np.concatenate(parts) if sum(map(len, parts)) == n else filled(parts, n)
            for name, parts in numbers.items()
        },
        sizes=listing.sizes,
        mtimes=listing.mtimes,
        notes=[
            f"{stem}_*.h5: {found} of {parts} shards are here"
            for (stem, parts), found in sets.items()
            if parts > found
        ],
        channels=channels.numbers,
        channel_names=channels.names,
        companions=channels.companions,
        nbytes=np.concatenate([i.sizes * i.dtype.itemsize for i in indices]),
    )


def _is_shard(path: str, folder: bool) -> bool:
    return not folder and path.lower().endswith(SUFFIX)


def _keyed(index: Int64Array, key: int) -> Int64Array:
    return index | np.int64(key << _BITS)


def probe(sources: tuple[str, ...], index: int) -> ImageInfo:
    """Shape and type of an image.

    Raises
    ------
    UserError
        The shard cannot be read.
    """
    try:
        own = _opened(sources[0]).index
        c, h, w = own.shape[_places(own, np.array([index]))[0]].tolist()
    except (ImageError, OSError) as error:
        raise UserError(located(error, sources)) from None
    return ImageInfo((c, h, w), pixel_type(own.dtype))


def read(
    references: References,
    channels: Sequence[int] | None,
    dtype: np.dtype[Any],
    window: Window | None = None,
    z: int | None = None,
    t: int | None = None,
    of: int | None = None,
) -> tuple[ImageBatch, list[Failure]]:
    """Read images; those that cannot be are failures.

    Parameters and result as of every loader (`scip_mpi.loaders.contract`).

    Raises
    ------
    UserError
        ``z`` or ``t`` was given: shards have neither.
    """
    if z is not None or t is not None:
        raise UserError("images in shards have neither z nor t")
    images: list[NDArray[Any] | ImageError] = []
    paths = [sources[0] for sources in references.alone().sources]
    for path, own in groupby(range(len(paths)), paths.__getitem__):
        rows = list(own)
        try:
            part = _Part(_opened(path), references.within[rows])
            if len(rows) == len(paths) and window is None:
                whole = part.whole(channels, np.dtype(dtype), of)
                if whole is not None:
                    pixels, offsets, shapes = whole
                    return ImageBatch(pixels, offsets, shapes, references.index), []
            images += part.images()
        except (ImageError, OSError) as error:
            problem = ImageError(describe(error, path))
            images += [problem] * len(rows)
    at = iter(images)

    def decode(sources: tuple[str, ...], index: int, pick: Pick) -> NDArray[Any]:
        image = next(at)
        if isinstance(image, ImageError):
            raise image
        return image[pick(len(image))]

    return gather(references, decode, channels, dtype, window, of)


def companion(path: str, name: str, within: int) -> Int64Array:
    """A picture that belongs to an image, shape (H, W).

    Raises
    ------
    ImageError
        It cannot be read.
    """
    opened = _opened(path)
    return opened.companion(name, int(_places(opened.index, np.array([within]))[0]))


@lru_cache(maxsize=OPEN)
def _opened(path: str) -> Shard:
    return Shard(path)


def _places(index: Index, within: Int64Array) -> Int64Array:
    """Places in a shard's index; `ImageError` if it is not the shard that was listed."""
    places = within & ((1 << _BITS) - 1)
    if (within >> _BITS != index.key).any() or places.max(initial=0) >= len(index):
        raise ImageError("was replaced by another shard after the images were listed")
    return places


class _Part:
    """Some images of a shard, and the parts of its pixels that hold them."""

    def __init__(self, opened: Shard, within: Int64Array) -> None:
        index = opened.index
        places = _places(index, within)
        self.shard = opened
        self.shape = index.shape[places]
        self.lo = index.offset[places]
        self.hi = self.lo + self.shape.prod(axis=1)

    def whole(
        self, channels: Sequence[int] | None, dtype: np.dtype[Any], of: int | None
    ) -> tuple[NDArray[Any], Int64Array, Int64Array] | None:
        """Pixels, offsets and shapes, if the images can be taken as they lie; None if not."""
        available = self.shape[0, 0]
        plain = (
            (self.hi[:-1] == self.lo[1:]).all()
            and (self.shape[:, 0] == available).all()
            and self.shard.index.dtype == dtype
            and of in (None, available)
            and (channels is None or list(channels) == list(range(available)))
        )
        if not plain:
            return None
        pixels = self.shard.pixels(int(self.lo[0]), int(self.hi[-1]))
        if dtype.kind == "f" and not np.isfinite(pixels).all():
            return None
        return pixels, offsets_of(self.hi - self.lo), self.shape

    def images(self) -> list[NDArray[Any]]:
        """The images, shape (C, H, W) each, read in as few goes as is sensible."""
        order = np.argsort(self.lo, kind="stable")
        lo, hi = self.lo[order], np.maximum.accumulate(self.hi[order])
        gap = GAP // self.shard.index.dtype.itemsize
        first = np.flatnonzero(np.append(True, lo[1:] > hi[:-1] + gap))
        last = np.append(first[1:], len(lo)) - 1
        stretches = [
            (a, self.shard.pixels(a, b))
            for a, b in zip(lo[first].tolist(), hi[last].tolist(), strict=True)
        ]
        which = np.searchsorted(lo[first], self.lo, "right") - 1
        images = []
        for k, lo_, hi_, shape in zip(
            which.tolist(), self.lo.tolist(), self.hi.tolist(), self.shape.tolist(), strict=True
        ):
            start, pixels = stretches[k]
            images.append(pixels[lo_ - start : hi_ - start].reshape(shape))
        return images
