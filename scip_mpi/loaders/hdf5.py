"""Images in HDF5 files that other programs wrote: a dataset, or pixels and shapes (``hdf5``).

Only the rows, channels and windows asked for are read; of compressed datasets, the chunks that hold
them. `scip_mpi.loaders.packed` reads this program's own shards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, offsets_of
from scip_mpi.errors import UserError
from scip_mpi.loaders import hdf5_images
from scip_mpi.loaders.contract import Catalog, Failure, ImageInfo, References, Window
from scip_mpi.loaders.gather import ImageError, Pick, gather, info_of, located
from scip_mpi.loaders.hdf5_images import Address, Images
from scip_mpi.loaders.listing import list_images, shown
from scip_mpi.loaders.opening import LastOpened
from scip_mpi.loaders.patterns import select
from scip_mpi.loaders.texts import compact

SUFFIXES = (".h5", ".hdf5", ".hdf", ".he5")
RESERVED = {"channel": "each image of an HDF5 file holds all of its channels"}


def discover(
    paths: Sequence[str],
    *,
    images: str,
    shapes: str | None = None,
    axes: str = "NCYX",
    regex: str | None = None,
) -> Catalog:
    """List the images of HDF5 files.

    Parameters
    ----------
    paths : sequence of str
        Files, or folders that are searched recursively for ``*.h5``, ``*.hdf5``, ``*.hdf`` and
        ``*.he5`` in any case.
    images : str
        Path, within each file, of the dataset with the pixels.
    shapes : str, optional
        For images of differing sizes: path of a dataset with the (C, H, W) of each, shape (n, 3).
        The pixels are then flat, image after image.
    axes : str
        Of a dataset without ``shapes``: N (images), C, Y and X in the order of its dimensions; N
        and C may be missing.
    regex : str, optional
        Searched for in each path; a file that does not match is left out. The named group ``group``
        is its images' group (otherwise its folder's name is), others become metadata.

    Raises
    ------
    UserError
        Nothing was found, a path cannot be read, a file has no such datasets, ``axes`` are wrong,
        ids repeat, or the pattern is wrong.
    """
    if sorted(axes.replace("N", "").replace("C", "")) != ["X", "Y"] or len(set(axes)) < len(axes):
        raise UserError(
            f"load.kwargs.axes: {axes!r} must hold Y and X, perhaps N and C, each of them once"
        )
    listing = list_images(paths, _is_hdf5, "HDF5 files")
    kept, metadata, (group, groups), skipped = select(listing, regex, RESERVED)
    address = Address(images, shapes, "" if shapes else axes).text()
    sizes: list[NDArray[np.int64]] = []
    for path in kept.files:
        try:
            with hdf5_images.opened(path, address) as own:
                sizes.append(own.nbytes())
        except ImageError as error:
            raise UserError(f"{shown(path)}: {error}") from None
    counts = np.array([len(s) for s in sizes], np.int64)
    n = int(counts.sum())
    if not n:
        raise UserError(f"{shown(kept.files[0])} holds no images")
    file = np.repeat(np.arange(len(sizes)), counts)
    nbytes = np.concatenate(sizes)
    # Where in its file the pixels are travels as one more source of every image.
    files = compact([*kept.files, address])
    return Catalog(
        files=files,
        sources=np.stack([file, np.full(n, len(sizes))], axis=1),
        names=kept.names,
        named=file,
        within=np.arange(n) - np.repeat(offsets_of(counts)[:-1], counts),
        unit=np.arange(n),
        group=group[file],
        groups=groups,
        metadata={name: (codes[file], values) for name, (codes, values) in metadata.items()},
        sizes=np.append(kept.sizes, 0),
        mtimes=np.append(kept.mtimes, 0),
        skipped=skipped,
        nbytes=nbytes,
    )


def _is_hdf5(path: str, folder: bool) -> bool:
    return not folder and path.lower().endswith(SUFFIXES)


def probe(sources: tuple[str, ...], index: int) -> ImageInfo:
    """Shape and type of an image.

    Raises
    ------
    UserError
        The file cannot be read, or has no such image.
    """
    try:
        with hdf5_images.opened(*sources) as own:
            return info_of(own.shape(index), own.dtype)
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
    """Read images; those that cannot be are failures. A file is opened once for a batch.

    Parameters and result as of every loader (`scip_mpi.loaders.contract`).

    Raises
    ------
    UserError
        ``z`` or ``t`` was given: ``axes`` has neither.
    """
    if z is not None or t is not None:
        raise UserError("images in HDF5 files have neither z nor t: name such an axis N")
    with LastOpened(hdf5_images.opened) as last:

        def decode(sources: tuple[str, ...], index: int, pick: Pick) -> NDArray[Any]:
            images: Images = last(*sources)
            return images.image(index, pick, window)

        return gather(references, decode, channels, dtype, None, of)
