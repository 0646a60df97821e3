"""OME-Zarr 0.1 to 0.5, of zarr versions 2 and 3: images, plates, pyramids (``ome_zarr``).

Only the chunks (or parts of shards) that hold the channels and the window asked for are read. By
the format, a chunk that is not there holds the fill value: an image that lost some cannot be told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi import projection
from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.loaders import ome_zarr_groups
from scip_mpi.loaders.checksums import crc32c
from scip_mpi.loaders.contract import Catalog, Failure, ImageInfo, References, Window
from scip_mpi.loaders.gather import (
    ImageError,
    Pick,
    checked_window,
    gather,
    info_of,
    located,
    refuse_beyond_memory,
)
from scip_mpi.loaders.listing import list_images, shown
from scip_mpi.loaders.ome_zarr_groups import Image, Stack
from scip_mpi.loaders.opening import LastOpened
from scip_mpi.loaders.patterns import select
from scip_mpi.loaders.series import (
    Chosen,
    ChosenPlane,
    Place,
    Series,
    broken,
    catalog_of,
    checked,
    image_at,
    placed_type,
)
from scip_mpi.loaders.texts import Texts
from scip_mpi.loaders.zarr_array import numcodecs_module
from scip_mpi.loaders.zarr_pixels import Reader

RESERVED = {
    name: f"ome_zarr has a column {name} already"
    for name in ("t", "z", "pixel_size", "well", "field")
} | {"channel": "each image of OME-Zarr holds all of its channels"}


def warm_up() -> None:
    """Have the kernels compiled, and cached, by a rank that others wait for."""
    crc32c(np.zeros(1, np.uint8))
    projection.warm_up()


def discover(
    paths: Sequence[str],
    *,
    regex: str | None = None,
    z: ChosenPlane = 0,
    t: Chosen = "each",
    level: int = 0,
) -> Catalog:
    """List the images of OME-Zarr groups.

    Of a plate every field of every well is an image; the plate is their group, unless the regex has
    one, and the columns ``well`` (such as A1) and ``field`` say which they are. A group of several
    images, as bioformats2raw makes them, gives them all.

    Parameters
    ----------
    paths : sequence of str
        Zarr groups, or folders that are searched recursively for them.
    regex : str, optional
        Searched for in each group's path; one that does not match is left out. The named group
        ``group`` is its images' group, others become metadata.
    z, t : int or "each"
        Which plane in z, and which time; or each as an image of its own, in which case the columns
        ``z`` and ``t`` tell them apart.
        For z also what makes all planes one (`scip_mpi.projection.project`).
    level : int
        Level of the pyramid, 0 being the full resolution.

    Raises
    ------
    UserError
        Nothing was found, a path or what a group says of its images cannot be read, ids repeat, the
        pattern is wrong, or numcodecs is not installed.
    """
    numcodecs_module()
    listing = list_images(paths, _is_image, "OME-Zarr groups")
    kept, columns, (group, groups), skipped = select(listing, regex, RESERVED)
    images: list[Image] = []
    rows: list[int] = []
    for row, path in enumerate(kept.files):
        try:
            own = list(ome_zarr_groups.images_of(path))
        except ImageError as error:
            raise UserError(f"{shown(path)}: {error}") from None
        images += own
        rows += [row] * len(own)
    if not images:
        raise UserError(f"{shown(kept.files[0])} holds no images")
    of = np.array(rows, np.int64)
    files = [image.path for image in images]
    sizes, mtimes = ome_zarr_groups.facts(files)
    expanded = replace(
        kept.take(of) if len(of) != len(kept.files) else kept,
        files=Texts.of(files),
        names=Texts.of([kept.names[r] + i.below for r, i in zip(rows, images, strict=True)]),
        sizes=sizes,
        mtimes=mtimes,
    )
    named = regex is not None and "(?P<group>" in regex
    found = [[_series_of(image, level, named)] for image in images]
    metadata = {name: (codes[of], values) for name, (codes, values) in columns.items()}
    return catalog_of(expanded, metadata, (group[of], groups), skipped, found, z, t)


def _is_image(path: str, folder: bool) -> bool:
    return folder and ome_zarr_groups.is_group(path)


def _series_of(image: Image, level: int, named: bool) -> Series:
    try:
        stack = ome_zarr_groups.describe_image(image.path, level)
    except ImageError:
        return broken(part=level)
    return Series(
        "", 0, stack.shape, stack.dtype, stack.size("t"), stack.size("z"), level, stack.names,
        stack.pixel_size, image.metadata, None if named else image.plate,
    )  # fmt: skip


def probe(sources: tuple[str, ...], index: int) -> ImageInfo:
    """Shape and type of an image, without its pixels.

    Raises
    ------
    UserError
        The image cannot be read.
    """
    try:
        place = Place.of(index)
        stack = ome_zarr_groups.describe_image(sources[0], place.part)
        return info_of(stack.shape, placed_type(place, stack.dtype))
    except ImageError as error:
        raise UserError(located(error, sources)) from None


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

    Parameters and result as of every loader (`scip_mpi.loaders.contract`); ``z`` and ``t`` are
    another plane and another time than those that `discover` chose.

    Raises
    ------
    UserError
        numcodecs is not installed.
    """
    blosc = numcodecs_module().blosc
    threads = blosc.use_threads
    # One rank per core: blosc's own threads would be more than there are cores.
    blosc.use_threads = False

    @contextmanager
    def opened(path: str, level: str) -> Iterator[tuple[Stack, Reader]]:
        stack = ome_zarr_groups.describe_image(path, int(level))
        yield stack, Reader(stack.array)

    with LastOpened(opened) as last:

        def decode(sources: tuple[str, ...], index: int, pick: Pick) -> NDArray[Any]:
            place = Place.of(index, z, t)
            stack, reader = last(sources[0], str(place.part))
            checked(place, stack.size("t"), stack.size("z"))
            height, width = stack.shape[1:]
            nbytes = len(pick(stack.shape[0])) * height * width * stack.dtype.itemsize

            def plane(at: Place, part: Window | None) -> NDArray[Any]:
                return _plane(stack, reader, at, pick, part)

            return image_at(place, stack.size("z"), nbytes, plane, window)

        try:
            return gather(references, decode, channels, dtype, None, of)
        finally:
            blosc.use_threads = threads


def _plane(
    stack: Stack, reader: Reader, place: Place, pick: Pick, window: Window | None
) -> NDArray[Any]:
    """Chosen channels, and part, of one plane, shape (C, H, W)."""
    chosen = pick(stack.shape[0])
    r0, c0, r1, c1 = checked_window(window, *stack.shape[1:])
    refuse_beyond_memory(len(chosen) * (r1 - r0) * (c1 - c0) * stack.dtype.itemsize)
    wanted: dict[str, Sequence[int]] = {
        "t": range(place.t, place.t + 1), "z": range(place.z, place.z + 1), "c": chosen,
        "y": range(r0, r1), "x": range(c0, c1),
    }  # fmt: skip
    block = reader.read([wanted[a] for a in stack.axes])
    # Axes of one place each are last, then gone.
    order = sorted(range(len(stack.axes)), key=lambda k: "cyxtz".index(stack.axes[k]))
    plane = block.transpose(order).reshape(len(chosen), r1 - r0, c1 - c0)
    return plane.astype(stack.dtype, copy=False)
