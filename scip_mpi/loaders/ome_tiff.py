"""OME-TIFF: tiled and pyramidal files, several images, channels, z and t in each (``ome_tiff``).

Only the tiles or strips that hold the channels and the window asked for are read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi import projection
from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.loaders import ome_tiff_file, tiff_file
from scip_mpi.loaders.contract import Catalog, Failure, ImageInfo, References, Window
from scip_mpi.loaders.gather import GrowingBatch, Pick, gather, info_of, located
from scip_mpi.loaders.listing import list_images
from scip_mpi.loaders.ome_tiff_file import OmeTiff
from scip_mpi.loaders.opening import LastOpened
from scip_mpi.loaders.patterns import select
from scip_mpi.loaders.series import (
    Chosen,
    ChosenPlane,
    Place,
    Series,
    broken,
    catalog_of,
    image_at,
    placed_type,
)

RESERVED = {
    name: f"ome_tiff has a column {name} already" for name in ("t", "z", "pixel_size", "image_name")
} | {
    "channel": "each file of ome_tiff holds all channels of its image; use load.format: tiff for "
    "one file per channel"
}

warm_up = projection.warm_up


def discover(
    paths: Sequence[str],
    *,
    regex: str | None = None,
    z: ChosenPlane = 0,
    t: Chosen = "each",
    level: int = 0,
) -> Catalog:
    """List the images of OME-TIFF files, each of which is opened for that.

    A file that cannot be read is an image that fails. Files of which the OME-XML says that they
    continue another file are left out: their pixels are found through that one.

    Parameters
    ----------
    paths : sequence of str
        Files, or folders that are searched recursively for ``*.tif`` and ``*.tiff`` in any case.
    regex : str, optional
        Searched for in each path; a file that does not match is no image. The named group
        ``group`` is its images' group (otherwise its folder's name is), others become metadata.
    z, t : int or "each"
        Which plane in z, and which time; or each as an image of its own, in which case the columns
        ``z`` and ``t`` tell them apart.
        For z also what makes all planes one (`scip_mpi.projection.project`).
    level : int
        Level of the pyramid, 0 being the full resolution.

    Raises
    ------
    UserError
        Nothing was found, a path cannot be read, ids repeat, or the pattern is wrong.
    """
    listing = list_images(paths, _is_image, "*.tif or *.tiff files")
    kept, metadata, groups, skipped = select(listing, regex, RESERVED)
    with tiff_file.quiet():
        found = [_series_of(path, level) for path in kept.files]
    if not any(found):
        raise UserError("all files given continue other OME-TIFF files, which were not given")
    return catalog_of(kept, metadata, groups, skipped, found, z, t)


def _is_image(path: str, folder: bool) -> bool:
    return not folder and path.lower().endswith(tiff_file.SUFFIXES)


def _series_of(path: str, level: int) -> list[Series]:
    try:
        with ome_tiff_file.opened(path) as file:
            return file.list_series(level)
    except Exception:  # whatever a broken file makes the reader raise: reading it will say so
        return [broken()]


def probe(sources: tuple[str, ...], index: int) -> ImageInfo:
    """Shape and type of an image, from its headers.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    try:
        with tiff_file.quiet(), ome_tiff_file.opened(sources[0]) as file:
            place = Place.of(index)
            stack = file.stack(place)
            return info_of(stack.shape, placed_type(place, stack.dtype))
    except Exception as error:  # whatever a broken file makes the reader raise
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
    """Read images; those that cannot be are failures. A file is opened once for a batch.

    Parameters and result as of every loader (`scip_mpi.loaders.contract`); ``z`` and ``t`` are
    another plane and another time than those that `discover` chose.
    """
    growing = GrowingBatch(dtype, len(references))
    with tiff_file.quiet(), LastOpened(ome_tiff_file.opened) as last:

        def decode(sources: tuple[str, ...], index: int, pick: Pick) -> NDArray[Any]:
            file: OmeTiff = last(sources[0])
            place = Place.of(index, z, t)
            stack = file.stack(place)
            nbytes = len(pick(stack.shape[0])) * math.prod(stack.shape[1:]) * stack.dtype.itemsize
            # What planes are made one of is no image of the batch yet.
            empty = growing.empty if place.operation is None else np.empty

            def plane(at: Place, part: Window | None) -> NDArray[Any]:
                own = stack if at == place else file.stack(at)
                return own.read(pick, part, empty)

            return image_at(place, stack.sizes["Z"], nbytes, plane, window)

        return gather(references, decode, channels, dtype, None, of, growing)
