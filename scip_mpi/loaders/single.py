"""Formats whose every file is an image: how those are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.listing import list_images
from scip_mpi.loaders.patterns import select


def discover_files(
    paths: Sequence[str],
    suffixes: tuple[str, ...],
    kind: str,
    regex: str | None,
    reserved: Mapping[str, str],
    index: int,
) -> Catalog:
    """List files by suffix, an image each.

    Parameters
    ----------
    paths : sequence of str
        Files, or folders that are searched recursively.
    suffixes : tuple of str
        In lower case; those of the files may be in any.
    kind : str
        What is looked for, for messages.
    regex, reserved
        As of `scip_mpi.loaders.patterns.select`.
    index : int
        Every image's index within its file.

    Raises
    ------
    UserError
        Nothing was found, a path cannot be read, ids repeat, or the pattern is wrong.
    """

    def is_image(path: str, folder: bool) -> bool:
        return not folder and path.lower().endswith(suffixes)

    listing = list_images(paths, is_image, kind)
    kept, metadata, (group, groups), skipped = select(listing, regex, reserved)
    n = len(kept.files)
    each = np.arange(n, dtype=np.int64)
    return Catalog(
        files=kept.files,
        sources=each[:, np.newaxis],
        names=kept.names,
        named=each,
        within=np.broadcast_to(np.int64(index), n),
        unit=each,
        group=group,
        groups=groups,
        metadata=metadata,
        sizes=kept.sizes,
        mtimes=kept.mtimes,
        skipped=skipped,
    )
