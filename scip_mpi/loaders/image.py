"""Pictures, one file per image, its colour planes being the channels (``image``)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scip_mpi.loaders import picture
from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.listing import list_images, select

RESERVED = {
    "channel": "each file of image holds all channels of its image; use load.format: tiff for one "
    "file per channel"
}

probe = picture.probe
read = picture.read


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
    listing = list_images(paths, _is_image, "PNG, JPEG, BMP or TIFF files")
    kept, metadata, (group, groups), skipped = select(listing, regex, RESERVED)
    n = len(kept.files)
    return Catalog(
        files=kept.files,
        sources=np.arange(n, dtype=np.int64)[:, np.newaxis],
        names=kept.names,
        named=np.arange(n, dtype=np.int64),
        within=np.full(n, picture.WHOLE, np.int64),
        unit=np.arange(n, dtype=np.int64),
        group=group,
        groups=groups,
        metadata=metadata,
        sizes=kept.sizes,
        mtimes=kept.mtimes,
        skipped=skipped,
    )


def _is_image(path: str, folder: bool) -> bool:
    return not folder and path.lower().endswith(picture.SUFFIXES)
