"""Companions: pictures that belong to each image, such as its label image or its mask."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.loaders import cif, packed, picture, tiff_file
from scip_mpi.loaders.contract import Catalog, Failure, References, Window
from scip_mpi.loaders.gather import STAGE, ImageError, cut_window, describe, located, pixel_type
from scip_mpi.loaders.listing import shown
from scip_mpi.loaders.table import file_facts
from scip_mpi.loaders.texts import compact


def attach(catalog: Catalog, rules: Mapping[str, tuple[str, str]]) -> Catalog:
    """Find the companions of every image by its first file's path.

    Parameters
    ----------
    catalog : Catalog
    rules : mapping of str to (str, str)
        For each companion a pattern, and what to put in the place of what it matches.

    Raises
    ------
    UserError
        A pattern is wrong, matches no image, or leads to the image itself.
    """
    files, columns = list(catalog.files), [catalog.sources]
    place = {f: i for i, f in enumerate(files)}
    notes = list(catalog.notes)
    # An image may lack the file of its first channel.
    own = catalog.sources[:, : catalog.sources.shape[1] - len(catalog.companions)]
    firsts = [files[f] for f in own[np.arange(len(own)), (own >= 0).argmax(axis=1)]]
    for name, (match, replacement) in rules.items():
        where = f"load.companions.{name}"
        if name in catalog.companions:
            raise UserError(f"{where}: the table has a column companion_{name} already")
        try:
            pairs = [re.subn(match, replacement, path.replace(os.sep, "/")) for path in firsts]
        except (re.error, IndexError) as error:
            raise UserError(f"{where}: is no pattern and replacement: {error}") from None
        missing = sum(not count for _, count in pairs)
        if missing == len(pairs):
            raise UserError(f"{where}.match is in none of the paths, such as {shown(firsts[0])}")
        if missing:
            notes.append(f"{missing:,} images have no companion {name}: their paths do not match")
        found = np.full(len(pairs), -1, np.int64)
        for i, (path, count) in enumerate(pairs):
            if not count:
                continue
            if "\0" in path:
                raise UserError(f"{where}.replace: for the whole match write \\g<0>, not \\0")
            if path not in place:
                place[path] = len(files)
                files.append(path)
            found[i] = place[path]
        itself = ((own == found[:, np.newaxis]) & (own >= 0)).any(axis=1)
        if itself.any():
            first = int(itself.argmax())
            raise UserError(f"{where} leads from {shown(firsts[first])} to the image itself")
        columns.append(found[:, np.newaxis])
    sizes, mtimes = file_facts(files[len(catalog.files) :])
    return replace(
        catalog,
        files=compact(files),
        sources=np.hstack(columns),
        sizes=np.concatenate([catalog.sizes, sizes]),
        mtimes=np.concatenate([catalog.mtimes, mtimes]),
        notes=notes,
        companions=[*catalog.companions, *rules],
    )


def read_companions(
    references: References,
    batch: ImageBatch,
    names: Sequence[str],
    channels: Sequence[int] | None = None,
    window: Window | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[ImageBatch, dict[str, ImageBatch], list[Failure]]:
    """Read the companions of the images of a batch.

    Parameters
    ----------
    references : References
        With the companions' files as the last ``len(names)`` of each image.
    batch : ImageBatch
        The images that could be read.
    names : sequence of str
        What the companions are called.
    channels : sequence of int, optional
        The batch's channels among all of its images; needed where companions have channels too.
    window : (min row, min column, max row, max column), optional
        The part of each image that the batch holds.
    size : (int, int), optional
        Height and width of a whole image, where the batch holds parts.

    Returns
    -------
    ImageBatch
        The images that have all companions, of their own size.
    dict of str to ImageBatch
        For each companion a plane of int64 per image; of an instrument's masks, one per channel.
    list of Failure
        The others.
    """
    failures: list[Failure] = []
    kept: list[int] = []
    planes: dict[str, list[np.ndarray]] = {name: [] for name in names}
    first = int(references.index[0])
    with tiff_file.quiet():
        for i, place in enumerate(batch.index.tolist()):
            sources = references.sources[place - first]
            try:
                within = int(references.within[place - first])
                own = [
                    _companion(
                        path,
                        name,
                        within,
                        channels,
                        sources[0],
                        size or tuple(batch.shapes[i, 1:].tolist()),
                        window,
                    )
                    for path, name in zip(sources[-len(names) :], names, strict=True)
                ]
            except Exception as error:  # one image's fault must not end a run of millions
                failures.append(Failure(place, STAGE, located(error, sources)))
                continue
            kept.append(i)
            for name, plane in zip(names, own, strict=True):
                planes[name].append(plane)
    if failures:
        batch = ImageBatch.from_images([batch.image(i) for i in kept], batch.index[kept],
                                       batch.pixels.dtype)  # fmt: skip
    named = {n: ImageBatch.from_images(p, batch.index, np.int64) for n, p in planes.items()}
    return batch, named, failures


def _companion(
    path: str,
    name: str,
    within: int,
    channels: Sequence[int] | None,
    image: str,
    size: tuple[int, int],
    window: Window | None,
) -> np.ndarray:
    """One companion's planes: in the file of its image, or in one of its own."""
    if path != image:
        return _plane(path, name, size, window)
    if path.lower().endswith(packed.SUFFIX):
        return _part(packed.companion(path, name, within), window)
    if path.lower().endswith(cif.SUFFIX):
        if channels is None:
            raise ImageError("has masks for each channel, which cannot be packed: leave them out")
        return _part(cif.companion(path, within)[list(channels)].astype(np.int64), window)
    return _plane(path, name, size, window)


def _part(planes: np.ndarray, window: Window | None) -> np.ndarray:
    return cut_window(planes.reshape(-1, *planes.shape[-2:]), window)


def _plane(path: str, name: str, shape: tuple[int, int], window: Window | None) -> np.ndarray:
    """One companion's pixels as whole numbers; of colour planes that are all equal, one."""
    if not path:
        raise ImageError(f"has no companion {name}")
    try:
        planes, whole = picture.decode_part(path, picture.WHOLE, lambda n: list(range(n)), window)
        kind = pixel_type(planes.dtype).kind
    except Exception as error:  # whatever a broken file makes the reader raise
        raise ImageError(f"(companion {name}) {describe(error, path)}", path) from None
    if len(planes) > 1 and (planes != planes[0]).any():
        raise ImageError(f"(companion {name}) has {len(planes)} planes, not one", path)
    plane = planes[0]
    if whole != shape:
        raise ImageError(
            f"(companion {name}) is {whole[0]} x {whole[1]} pixels, its image is "
            f"{shape[0]} x {shape[1]}",
            path,
        )
    if kind == "f" and not (np.isfinite(plane) & (np.floor(plane) == plane)).all():
        raise ImageError(f"(companion {name}) has values that are no whole numbers", path)
    if plane.size and not -(2.0**63) <= plane.min() <= plane.max() < 2.0**63:
        raise ImageError(f"(companion {name}) has values that do not fit 64 bits", path)
    return plane.astype(np.int64)
