"""Pictures, one file per image, its colour planes being the channels (``image``)."""

from __future__ import annotations

from collections.abc import Sequence

from scip_mpi.loaders import picture
from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.single import discover_files

RESERVED = {
    "channel": "each file of image holds all channels of its image; use load.format: tiff for one "
    "file per channel"
}

probe = picture.probe
read = picture.read
warm_up = picture.warm_up


def discover(paths: Sequence[str], *, regex: str | None = None) -> Catalog:
    """List pictures.

    Parameters
    ----------
    paths : sequence of str
        Files, or folders that are searched recursively for PNG, JPEG, BMP and TIFF files.
    regex : str, optional
        Searched for in each path; a file that does not match is no image. The named group
        ``group`` is the image's group (otherwise its folder's name is), others become metadata.

    Raises
    ------
    UserError
        Nothing was found, a path cannot be read, ids repeat, or the pattern is wrong.
    """
    return discover_files(
        paths, picture.SUFFIXES, "PNG, JPEG, BMP or TIFF files", regex, RESERVED, picture.WHOLE
    )
