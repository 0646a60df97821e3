"""TIFF files of several pages, one file per image, one page per channel (``multiframe_tiff``).

A page of several samples, such as RGB, gives one channel per sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.loaders import plain_tiff, tiff_file, tiff_window
from scip_mpi.loaders.contract import Catalog, Failure, ImageInfo, References, Window
from scip_mpi.loaders.gather import GrowingBatch, Pick, gather, located
from scip_mpi.loaders.single import discover_files

RESERVED = {
    "channel": "each file of multiframe_tiff holds all channels of its image; use load.format: "
    "tiff for one file per channel"
}

warm_up = plain_tiff.warm_up


def discover(paths: Sequence[str], *, regex: str | None = None) -> Catalog:
    """List TIFF files.

    Parameters
    ----------
    paths : sequence of str
        Files, or folders that are searched recursively for ``*.tif`` and ``*.tiff`` in any case.
    regex : str, optional
        Searched for in each path; a file that does not match is no image. The named group
        ``group`` is the image's group (otherwise its folder's name is), others become metadata.

    Raises
    ------
    UserError
        Nothing was found, a path cannot be read, ids repeat, or the pattern is wrong.
    """
    return discover_files(paths, tiff_file.SUFFIXES, "*.tif or *.tiff files", regex, RESERVED, 0)


def probe(sources: tuple[str, ...], index: int) -> ImageInfo:
    """Shape and type of an image, from its headers; the size is that of its first page.

    Raises
    ------
    UserError
        The file cannot be read.
    """
    try:
        return tiff_file.probe(sources[0])
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
    """Read images; those that cannot be are failures.

    Parameters
    ----------
    references : References
        The images.
    channels : sequence of int or None
        Channels wanted; None for all.
    dtype : dtype
        Pixel type of the run; images of a type that does not fit into it are failures.
    window : (min row, min column, max row, max column), optional
        Part of each image to keep, ends exclusive.
    of : int, optional
        Channels that every image must have.
    z, t : None
        The format has neither.

    Raises
    ------
    UserError
        ``z`` or ``t`` was given.
    """
    if z is not None or t is not None:
        raise UserError("multiframe_tiff images have neither z nor t: their pages are channels")
    with tiff_file.quiet():
        growing = GrowingBatch(dtype, len(references))
        reader = tiff_file.TiffReader(growing.empty)

        def decode(sources: tuple[str, ...], index: int, pick: Pick) -> NDArray[Any]:
            if window is not None:
                return tiff_window.decode(sources[0], pick, None, window)[0]
            return reader.decode(sources[0], pick)

        return gather(references, decode, channels, dtype, None, of, growing)
