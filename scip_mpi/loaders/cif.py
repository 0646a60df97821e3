"""Compensated image files of imaging flow cytometers (Amnis ImageStream, FlowSight; ``cif``).

Made from public descriptions of the format, and never run on a file of an instrument. Each object
is an image; the instrument's own masks can accompany it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch, Int64Array
from scip_mpi.errors import UserError
from scip_mpi.loaders import cif_file, cif_kernels
from scip_mpi.loaders.cif_file import CifFile, Contents
from scip_mpi.loaders.contract import Catalog, Failure, ImageInfo, References, Window
from scip_mpi.loaders.gather import ImageError, Pick, describe, gather, info_of, located
from scip_mpi.loaders.listing import list_images, shown
from scip_mpi.loaders.patterns import select
from scip_mpi.loaders.texts import Texts

SUFFIX = ".cif"
# Files kept open: chunks are handed out by what they cost, so a file's come at any time.
OPEN = 128
# What the masks are called among the companions.
COMPANION = "mask"
RESERVED = {
    "object_number": "the cif format has a column object_number already",
    "channel": "each object of a CIF file has all of its channels",
}


def warm_up() -> None:
    """Have the kernels compiled, and cached, by a rank that others wait for."""
    data = np.zeros(16, np.uint8)
    cif_kernels.walk(data, 1, False, np.empty((0, cif_kernels.COLUMNS), np.int64))
    cif_kernels.decode_image(data, np.empty((4, 8), np.int16))
    cif_kernels.decode_mask(data, np.empty(8, np.uint8))


def discover(paths: Sequence[str], *, regex: str | None = None, masks: bool = False) -> Catalog:
    """List the objects of CIF files.

    Parameters
    ----------
    paths : sequence of str
        Files, or folders that are searched recursively for ``*.cif`` in any case.
    regex : str, optional
        Searched for in each path; a file that does not match is left out. The named group ``group``
        is its objects' group (otherwise its folder's name is), others become metadata.
    masks : bool
        Whether the instrument's masks, one for each channel, accompany the images under the name
        ``mask``, for the mask method ``file``. Their values are 0 outside, 1 inside, 2 and 3 where
        the object is cut off: by default all but 0 are inside.

    Raises
    ------
    UserError
        Nothing was found, a file cannot be read or is no CIF file, or the pattern is wrong.
    """
    _opened.cache_clear()
    listing = list_images(paths, _is_cif, "*.cif files")
    kept, columns, (group, groups), skipped = select(listing, regex, RESERVED)
    found: list[Contents] = []
    notes: list[str] = []
    for path in kept.files:
        try:
            found.append(_opened(path).contents())
        except (ImageError, OSError) as error:
            raise UserError(f"{shown(path)}: {describe(error, path)}") from None
        announced, there = found[-1].announced, len(found[-1].number)
        if announced not in (-1, there):
            notes.append(f"{shown(path)} has {there:,} images of {announced:,} objects")
    counts = np.array([len(f.number) for f in found], np.int64)
    of = np.repeat(np.arange(len(found)), counts)
    number = np.concatenate([f.number for f in found])
    mask = np.concatenate([f.mask for f in found])
    sources = of[:, np.newaxis]
    if masks:
        sources = np.stack([of, np.where(mask > 0, of, -1)], axis=1)
    ids = (f"{kept.names[f]}#{k}" for f, k in zip(of.tolist(), number.tolist(), strict=True))
    each = np.arange(len(of), dtype=np.int64)
    told = {tuple(f.names) for f in found}
    shape = np.concatenate([f.shape for f in found])
    return Catalog(
        files=kept.files,
        sources=sources,
        names=Texts.of(ids),
        named=each,
        within=_joined(np.concatenate([f.image for f in found]), mask),
        unit=each,
        group=group[of],
        groups=groups,
        metadata={name: (codes[of], values) for name, (codes, values) in columns.items()},
        sizes=kept.sizes,
        mtimes=kept.mtimes,
        skipped=skipped,
        notes=notes,
        numbers={"object_number": number},
        channel_names=list(told.pop()) or None if len(told) == 1 else None,
        companions=[COMPANION] if masks else [],
        nbytes=2 * shape.clip(0, 1 << 30).prod(axis=1),
    )


def _is_cif(path: str, folder: bool) -> bool:
    return not folder and path.lower().endswith(SUFFIX)


def _joined(image: Int64Array, mask: Int64Array) -> Int64Array:
    """Where an object's two directories are, of 32 bits each, as one number."""
    return (image | mask << np.int64(32)).astype(np.int64)


def _parts(within: int) -> tuple[int, int]:
    """Where the directories of an object's image and mask are."""
    return within & 0xFFFFFFFF, within >> 32 & 0xFFFFFFFF


def probe(sources: tuple[str, ...], index: int) -> ImageInfo:
    """Shape and type of an object's image.

    Raises
    ------
    UserError
        It cannot be read.
    """
    try:
        shape = _opened(sources[0]).shape(_parts(index)[0])
        info = info_of(shape, np.dtype(np.int16))
        return ImageInfo(info.shape, info.dtype, cif_file.SATURATION)
    except (ImageError, OSError) as error:
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
    """Read images; those that cannot be are failures. Pixels below 0, of compensation, are kept.

    Parameters and result as of every loader (`scip_mpi.loaders.contract`).

    Raises
    ------
    UserError
        ``z`` or ``t`` was given: the format has neither.
    """
    if z is not None or t is not None:
        raise UserError("images in CIF files have neither z nor t")

    def decode(sources: tuple[str, ...], index: int, pick: Pick) -> NDArray[Any]:
        image = _opened(sources[0]).image(_parts(index)[0])
        return image[pick(len(image))]

    return gather(references, decode, channels, dtype, window, of)


def companion(path: str, within: int) -> NDArray[np.uint8]:
    """The instrument's mask of each channel of an object, shape (C, H, W).

    Raises
    ------
    ImageError
        It cannot be read.
    """
    return _opened(path).mask(_parts(within)[1])


@lru_cache(maxsize=OPEN)
def _opened(path: str) -> CifFile:
    return CifFile(path)
