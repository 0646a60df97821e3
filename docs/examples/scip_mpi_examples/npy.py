"""NumPy files, each an image of shape (channels, rows, columns) (loader ``npy``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog, Failure, ImageInfo, References, Window
from scip_mpi.loaders.gather import ImageError, Pick, gather, located
from scip_mpi.loaders.single import discover_files


def discover(paths: Sequence[str], *, regex: str | None = None) -> Catalog:
    """List the files; folders are searched. ``regex`` is the only key of ``load.kwargs``."""
    return discover_files(paths, (".npy",), "*.npy files", regex, {}, 0)


def probe(sources: tuple[str, ...], index: int) -> ImageInfo:
    """Shape and type of an image, without its pixels."""
    try:
        image = opened(sources[0])
    except (OSError, ValueError, ImageError) as error:
        raise UserError(located(error, sources)) from None
    channels, rows, columns = image.shape
    return ImageInfo((channels, rows, columns), image.dtype)


def read(
    references: References,
    channels: Sequence[int] | None,
    dtype: np.dtype[Any],
    window: Window | None = None,
    z: int | None = None,
    t: int | None = None,
    of: int | None = None,
) -> tuple[ImageBatch, list[Failure]]:
    """Read images into a batch; ``gather`` turns whatever `decode` raises into failures."""
    if z is not None or t is not None:
        raise UserError("npy images have neither z nor t")

    def decode(sources: tuple[str, ...], index: int, pick: Pick) -> NDArray[Any]:
        image = opened(sources[0])
        return image[pick(len(image))]

    return gather(references, decode, channels, dtype, window, of)


def opened(path: str) -> NDArray[Any]:
    """The file as an array, of which only what is asked for is read."""
    image: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    if image.ndim != 3:
        raise ImageError(f"has shape {image.shape}, not (channels, rows, columns)")
    return image
