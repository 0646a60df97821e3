"""Listing images: walking paths in an order that depends on names only, and the regex on them.

All formats share these rules. Images stand in the order of the PATHs given and, within one, of the
bytes of their relative path, so that a file system's own order and the locale play no part.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError
from scip_mpi.loaders.naming import refuse_columns

Categorical = tuple[NDArray[np.int32], list[str]]
IsImage = Callable[[str, bool], bool]


@dataclass(frozen=True)
class Listing:
    """Files (or folders that are images) found under the given PATHs, in row order.

    Attributes
    ----------
    files : list of str
        As opened: PATH joined with the relative path.
    names : list of str
        Relative paths, with forward slashes; the name alone for a PATH that is itself an image.
    parents : list of str
        Name of the folder that each lies in.
    sizes, mtimes : ndarray of int64
        Bytes and modification time in ns; 0 where a link leads nowhere.
    """

    files: list[str]
    names: list[str]
    parents: list[str]
    sizes: Int64Array
    mtimes: Int64Array

    def take(self, rows: Sequence[int]) -> Listing:
        """The files ``rows``."""
        at = np.asarray(rows, np.int64)
        return Listing(
            [self.files[i] for i in rows],
            [self.names[i] for i in rows],
            [self.parents[i] for i in rows],
            self.sizes[at],
            self.mtimes[at],
        )


def shown(path: str) -> str:
    """A path as text that can be printed anywhere: odd bytes and control characters escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def list_images(paths: Sequence[str], is_image: IsImage, kind: str) -> Listing:
    """Find all images under ``paths``: each is an image itself, or a folder searched recursively.

    Parameters
    ----------
    paths : sequence of str
        Files or folders.
    is_image : callable
        Given a path and whether it is a folder, says whether it is an image. A folder that is one
        is not searched. A file named as a PATH of its own is taken without asking.
    kind : str
        What is looked for, for messages: "*.tif or *.tiff files".

    Raises
    ------
    UserError
        A path is missing, unreadable, holds no image or is named twice, or two images would have
        the same id.
    """
    files: list[str] = []
    names: list[str] = []
    parents: list[str] = []
    facts: list[tuple[int, int]] = []
    real: list[str] = []
    for given in map(os.fspath, paths):
        found = _under(given, is_image)
        if not found:
            raise UserError(f"{shown(given)} holds no {kind}")
        alone = found[0][0] == ""
        absolute = os.path.abspath(given)
        folder = os.path.basename(os.path.dirname(absolute) if alone else absolute)
        base = os.path.realpath(given)
        for name, size, mtime in found:
            files.append(os.path.join(given, name) if name else given.rstrip(os.sep))
            names.append(name.replace(os.sep, "/") or os.path.basename(absolute))
            parents.append(name.rsplit(os.sep, 2)[-2] if os.sep in name else folder)
            facts.append((size, mtime))
            if len(paths) > 1:
                real.append(os.path.join(base, name) if name else base)
    _refuse_twice(real, files, "is named twice by the paths given")
    if len(paths) > 1:
        _refuse_twice(
            names,
            files,
            "would have the same id; name the folder that holds both instead",
        )
    table = np.array(facts, np.int64).reshape(-1, 2)
    return Listing(files, names, parents, table[:, 0].copy(), table[:, 1].copy())


def _refuse_twice(keys: list[str], files: list[str], complaint: str) -> None:
    """Raise for the first key that occurs a second time."""
    if len(set(keys)) == len(keys):
        return
    first: dict[str, int] = {}
    for i, key in enumerate(keys):
        j = first.setdefault(key, i)
        if j != i:
            both = shown(files[i])
            if files[i] != files[j]:
                both = f"{shown(files[j])} and {both}"
            raise UserError(f"{both} {complaint}")


def _under(given: str, is_image: IsImage) -> list[tuple[str, int, int]]:
    """(relative path, size, mtime) of the images under one PATH, by the bytes of their paths.

    The relative path is empty if the PATH is itself an image.
    """
    try:
        status = os.stat(given)
    except OSError as error:
        raise UserError(f"cannot read {shown(given)}: {error.strerror}") from None
    folder = stat.S_ISDIR(status.st_mode)
    if not folder and not os.access(given, os.R_OK):
        raise UserError(f"cannot read {shown(given)}: Permission denied")
    if not folder or is_image(given, True):
        return [("", status.st_size, status.st_mtime_ns)]
    found: list[tuple[str, int, int]] = []
    stack = [(given, "", frozenset([(status.st_dev, status.st_ino)]))]
    while stack:
        place, prefix, above = stack.pop()
        for entry in _entries(place):
            name = prefix + entry.name
            directory = entry.is_dir()
            wanted = is_image(entry.path, directory)
            if directory and not wanted:
                status = entry.stat() if entry.is_symlink() else os.stat(entry.path)
                key = (status.st_dev, status.st_ino)
                # A link to a folder that leads here would be walked for ever.
                if key not in above:
                    stack.append((entry.path, name + os.sep, above | {key}))
            elif wanted:
                found += _facts(entry, name)
    found.sort(key=lambda item: os.fsencode(item[0].replace(os.sep, "/")))
    return found


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise UserError(f"cannot list the folder {shown(folder)}: {error.strerror}") from None


def _facts(entry: os.DirEntry[str], name: str) -> list[tuple[str, int, int]]:
    """Size and time of an entry: nothing for a pipe or device, zeros for a link to nowhere."""
    try:
        status = entry.stat()
    except OSError:
        # Kept, so that the image stands among the failures and not silently nowhere.
        return [(name, 0, 0)]
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        return []
    return [(name, status.st_size, status.st_mtime_ns)]


def select(
    listing: Listing, regex: str | None, reserved: Mapping[str, str]
) -> tuple[Listing, dict[str, Categorical], Categorical, int]:
    """Keep the files whose path matches, and turn the named groups into columns.

    The pattern is searched for anywhere in the path as opened, with forward slashes.

    Parameters
    ----------
    listing : Listing
        All files found.
    regex : str or None
        The pattern; None takes every file.
    reserved : mapping of str to str
        Names that a group cannot have in this format, and why.

    Returns
    -------
    Listing
        Files that match.
    metadata : dict of str to (codes, categories)
        A column per named group, ``group`` excepted; -1 where an optional group did not match.
    groups : (codes, categories)
        The named group ``group``, or the name of the parent folder where there is none.
    skipped : int
        Files that do not match.

    Raises
    ------
    UserError
        The pattern is no regular expression, has a ``reserved`` group, or matches nothing.
    """
    if regex is None:
        return listing, {}, factorize(listing.parents), 0
    try:
        pattern = re.compile(regex)
    except (re.error, TypeError) as error:
        raise UserError(f"load.kwargs.regex is no regular expression: {error}") from None
    for name, why in reserved.items():
        if name in pattern.groupindex:
            raise UserError(f"load.kwargs.regex: a group cannot be called {name!r} here: {why}")
    search = pattern.search
    matches = [search(f.replace(os.sep, "/")) for f in listing.files]
    hits = [m for m in matches if m is not None]
    rows = [i for i, m in enumerate(matches) if m is not None]
    if not rows:
        raise UserError(
            f"load.kwargs.regex matches none of {len(listing.files)} files; the first is "
            f"{shown(listing.files[0])}"
        )
    kept = listing.take(rows)
    refuse_columns(pattern.groupindex, "load.kwargs.regex: a group")
    values: dict[str, list[str | None]] = {
        name: [m[name] for m in hits] for name in pattern.groupindex
    }
    named = values.pop("group", [None] * len(rows))
    groups = factorize([p if g is None else g for g, p in zip(named, kept.parents, strict=True)])
    skipped = len(matches) - len(rows)
    return kept, {name: factorize(v) for name, v in values.items()}, groups, skipped


def factorize(values: Sequence[str | None]) -> Categorical:
    """Codes into the sorted categories; -1 for None."""
    categories = sorted({v for v in values if v is not None})
    lookup: dict[str | None, int] = {c: i for i, c in enumerate(categories)}
    lookup[None] = -1
    codes = np.fromiter(map(lookup.__getitem__, values), np.int32, len(values))
    return codes, categories
