"""TIFF files, one per channel: a pattern says which image and channel each file is (``tiff``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError
from scip_mpi.loaders import picture, tiff_file
from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.listing import list_images, shown
from scip_mpi.loaders.patterns import factorize, select
from scip_mpi.loaders.presets import PRESETS
from scip_mpi.loaders.texts import Categorical, compact

Preset = Literal["ideas", "imagexpress", "phenix", "yokogawa", "incell"]

# A table of images by channels that is emptier than one file in so many places is a wrong pattern.
SPARSEST = 1000

probe = picture.probe
read = picture.read
warm_up = picture.warm_up


def discover(
    paths: Sequence[str], *, regex: str | None = None, preset: Preset | None = None
) -> Catalog:
    """List images of which each channel is a file of its own.

    An image is known by what the group ``id`` matches, wherever its files lie; it stands where its
    first file does. A channel's file that is missing makes the image fail, unless the channel is
    not asked for. What ``channel`` matches are the numbers that ``load.channels`` means; where some
    are no numbers, they are counted from 0 in alphabetical order, and are the channels' names.

    Parameters
    ----------
    paths : sequence of str
        Files, or folders that are searched recursively for ``*.tif`` and ``*.tiff`` in any case.
    regex : str
        Searched for in each path, with the named groups ``id`` and ``channel``. Where the channel
        stands amidst what tells images apart, ``id2`` is the rest of the id. ``group`` is the
        image's group (otherwise the folder's name is), others become metadata.
    preset : str
        A ready-made pattern instead, by the instrument's name.

    Raises
    ------
    UserError
        Nothing was found, a path cannot be read, the pattern is wrong, or two files are the same
        channel of one image.
    """
    if (regex is None) == (preset is None):
        known = ", ".join(PRESETS)
        raise UserError(
            "load.kwargs: format tiff needs either a regex with the groups id and channel, or a "
            f"preset ({known})"
        )
    listing = list_images(paths, _is_image, "*.tif or *.tiff files")
    pattern = PRESETS[preset] if preset else regex
    kept, metadata, (group, groups), skipped = select(listing, pattern, {})
    lacking = [g for g in ("id", "channel") if g not in metadata]
    if lacking:
        raise UserError(
            f"load.kwargs.regex has no group called {' and none called '.join(lacking)}: write "
            "(?P<id>...) round what is the same for all files of an image, and (?P<channel>...) "
            "round what differs"
        )
    for name in ("id", "channel"):
        _refuse_nothing(name, metadata[name], kept.files)
    column, numbers, channel_names = _columns(metadata.pop("channel"))
    id_ = _joined(metadata.pop("id"), metadata.pop("id2", None))
    where = f"the preset {preset} does not fit these names, so write a regex" if preset else (
        "make id in load.kwargs.regex match more of the path, or add id2")  # fmt: skip
    sources, ids, first = _pivot(id_, column, kept.files, where)
    n = len(first)
    notes = []
    incomplete = int((sources < 0).any(axis=1).sum())
    if incomplete:
        notes.append(f"{incomplete:,} of {n:,} images lack the file of a channel")
    return Catalog(
        files=kept.files,
        sources=sources,
        names=ids,
        named=np.arange(n, dtype=np.int64),
        within=np.full(n, picture.PLANE, np.int64),
        unit=np.arange(n, dtype=np.int64),
        group=group[first],
        groups=groups,
        metadata={name: (codes[first], values) for name, (codes, values) in metadata.items()},
        sizes=kept.sizes,
        mtimes=kept.mtimes,
        skipped=skipped,
        notes=notes,
        channels=numbers,
        channel_names=channel_names,
    )


def _is_image(path: str, folder: bool) -> bool:
    return not folder and path.lower().endswith(tiff_file.SUFFIXES)


def _refuse_nothing(name: str, column: Categorical, files: Sequence[str]) -> None:
    """Raise if a group that every file must have is missing or empty in one."""
    codes, texts = column
    empty = codes < 0
    if "" in texts:
        empty |= codes == texts.index("")
    if empty.any():
        raise UserError(
            f"load.kwargs.regex: the group {name} matches nothing in "
            f"{shown(files[int(np.argmax(empty))])}"
        )


def _joined(id_: Categorical, rest: Categorical | None) -> Categorical:
    """The ids in two parts as one."""
    if rest is None:
        return id_
    (codes, texts), (more, endings) = id_, rest
    pairs = zip(codes.tolist(), more.tolist(), strict=True)
    return factorize([texts[a] if b < 0 else f"{texts[a]}_{endings[b]}" for a, b in pairs])


def _columns(channel: Categorical) -> tuple[Int64Array, list[int] | None, list[str] | None]:
    """Each file's channel as a place, and the channels' numbers or names."""
    codes, texts = channel[0], list(channel[1])
    if not all(t.isdecimal() for t in texts):
        return codes.astype(np.int64), None, texts
    values = [int(t) for t in texts]
    numbers = sorted(set(values))
    place_of = {number: place for place, number in enumerate(numbers)}
    return np.array([place_of[v] for v in values], np.int64)[codes], numbers, None


def _pivot(
    ids: Categorical, column: Int64Array, files: Sequence[str], advice: str
) -> tuple[Int64Array, Sequence[str], NDArray[np.int64]]:
    """Files of each image by channel; the images' ids and first files, in the files' order."""
    codes, texts = ids
    found, first = np.unique(codes, return_index=True)
    order = np.argsort(first, kind="stable")
    row = np.empty(len(texts), np.int64)
    row[found[order]] = np.arange(len(order))
    channels = int(column.max()) + 1
    if len(order) * channels > SPARSEST * len(files):
        raise UserError(
            f"load.kwargs: {len(files):,} files would be {len(order):,} images of {channels:,} "
            "channels: what stands for the channel is of the image"
        )
    sources = np.full((len(order), channels), -1, np.int64)
    for i, (r, c) in enumerate(zip(row[codes].tolist(), column.tolist(), strict=True)):
        if sources[r, c] >= 0:
            raise UserError(
                f"{shown(files[sources[r, c]])} and {shown(files[i])} are the same channel of one "
                f"image: {advice}"
            )
        sources[r, c] = i
    return sources, compact([texts[k] for k in found[order]]), first[order]
