"""Listing images: walking paths in an order that depends on names only.

All formats share these rules. Images stand in the order of the PATHs given and, within one, of the
bytes of their relative path, so that a file system's own order and the locale play no part. There
may be a hundred million files: nothing here holds a Python object for each.
"""

from __future__ import annotations

import os
import stat
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError
from scip_mpi.loaders.texts import PIECE, Texts, TextsBuilder

IsImage = Callable[[str, bool], bool]


@dataclass(frozen=True)
class Listing:
    """Files (or folders that are images) found under the given PATHs, in row order.

    Attributes
    ----------
    files : Texts
        As opened: PATH joined with the relative path.
    names : Texts
        Relative paths, with forward slashes; the name alone for a PATH that is itself an image.
    parent : ndarray of int32
        Which of ``parents`` each lies in.
    parents : list of str
        Names of folders.
    sizes, mtimes : ndarray of int64
        Bytes and modification time in ns; 0 where a link leads nowhere.
    """

    files: Texts
    names: Texts
    parent: NDArray[np.int32]
    parents: list[str]
    sizes: Int64Array
    mtimes: Int64Array

    def take(self, rows: Int64Array) -> Listing:
        """The files ``rows``."""
        if len(rows) == len(self.files):
            return self
        return Listing(
            self.files.take(rows),
            self.names.take(rows),
            self.parent[rows],
            self.parents,
            self.sizes[rows],
            self.mtimes[rows],
        )


@dataclass(frozen=True)
class _Folder:
    """A folder to be searched: its path; device and inode of it and of those above it."""

    path: str
    above: frozenset[tuple[int, int]]


@dataclass(frozen=True)
class _Files:
    """Images of one folder, sorted: names in bytes, and each one's size and mtime."""

    folder: str
    names: NDArray[np.bytes_]
    facts: Int64Array


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
    files = TextsBuilder()
    counts: list[int] = []
    parents: dict[str, int] = {}
    runs: list[tuple[int, int]] = []
    facts = array("q")
    given = [os.fspath(path) for path in paths]
    alone: list[tuple[int, str]] = []
    for path in given:
        before = len(files)
        status, searched = _status(path, is_image)
        if not searched:
            absolute = os.path.abspath(path)
            alone.append((before, os.path.basename(absolute)))
            files.extend([os.fsencode(path.rstrip(os.sep))])
            facts.extend([status.st_size, status.st_mtime_ns])
            folder = os.path.basename(os.path.dirname(absolute))
            runs.append((parents.setdefault(folder, len(parents)), 1))
        for block in _under(path, status, is_image) if searched else ():
            prefix = os.fsencode(os.path.join(block.folder, ""))
            for lo in range(0, len(block.names), PIECE):
                files.extend([prefix + name for name in block.names[lo : lo + PIECE].tolist()])
            facts.frombytes(block.facts.tobytes())
            folder = os.path.basename(os.path.abspath(block.folder))
            runs.append((parents.setdefault(folder, len(parents)), len(block.names)))
        if len(files) == before:
            raise UserError(f"{shown(path)} holds no {kind}")
        counts.append(len(files) - before)
    n = len(files)
    # The names of PATHs that are images themselves need not end their paths ("." may be one).
    files.extend([os.fsencode(name) for _, name in alone])
    found = files.texts()
    skipped = [len(os.fsencode(os.path.join(path, ""))) for path in given]
    names = found[:n].suffixes(np.repeat(np.array(skipped, np.int64), counts))
    if alone:
        at = np.array([i for i, _ in alone], np.int64)
        names = Texts(names.blob, names.starts, names.ends.copy())
        names.starts[at], names.ends[at] = found.starts[n:], found.ends[n:]
    if len(given) > 1:
        _refuse_overlap(given, counts, found[:n], names)
        _refuse_twice(
            names, found, "would have the same id; name the folder that holds both instead"
        )
    places, lengths = np.array(runs, np.int64).T
    table = np.frombuffer(facts, np.int64).reshape(-1, 2)
    return Listing(
        found[:n],
        names,
        np.repeat(places.astype(np.int32), lengths),
        list(parents),
        table[:, 0].copy(),
        table[:, 1].copy(),
    )


def _refuse_overlap(given: list[str], counts: list[int], files: Texts, names: Texts) -> None:
    """Raise if a file is found under two of the PATHs."""
    bases = [os.path.realpath(path) for path in given]
    known = set(bases)
    if len(known) == len(bases) and not any(_above(base) & known for base in bases):
        return
    real: list[str] = []
    starts = accumulate(counts, initial=0)
    for path, base, lo, count in zip(given, bases, starts, counts, strict=False):
        # A PATH that is an image itself is followed by nothing.
        below = [f[len(path) :].lstrip(os.sep) for f in files[lo : lo + count]]
        real += [os.path.join(base, b) if b else base for b in below]
    _refuse_twice(real, files, "is named twice by the paths given")


def _above(path: str) -> set[str]:
    """All folders that a path lies in."""
    found = set()
    while (folder := os.path.dirname(path)) != path:
        path = folder
        found.add(path)
    return found


def _refuse_twice(keys: Sequence[str], files: Sequence[str], complaint: str) -> None:
    """Raise for the first key that occurs a second time."""
    found = twice(keys)
    if found is not None:
        one, other = (shown(files[i]) for i in found)
        raise UserError(f"{one if one == other else f'{one} and {other}'} {complaint}")


def twice(keys: Sequence[str]) -> tuple[int, int] | None:
    """Places of the first text that occurs a second time, and of its first occurrence before."""
    # Loads numba, which few lists need.
    from scip_mpi.loaders.hashing import hash_texts

    held = Texts.of(keys)
    letters = np.frombuffer(memoryview(held.blob).toreadonly(), np.uint8)
    hashes = hash_texts(letters, *map(np.ascontiguousarray, (held.starts, held.ends)))
    hashes.sort()
    if not (hashes[1:] == hashes[:-1]).any():
        return None
    first: dict[str, int] = {}
    for i, key in enumerate(keys):
        j = first.setdefault(key, i)
        if j != i:
            return j, i
    return None


def _status(given: str, is_image: IsImage) -> tuple[os.stat_result, bool]:
    """What a PATH is, and whether it is a folder to be searched."""
    try:
        status = os.stat(given)
    except OSError as error:
        raise UserError(f"cannot read {shown(given)}: {error.strerror}") from None
    folder = stat.S_ISDIR(status.st_mode)
    if not folder and not os.access(given, os.R_OK):
        raise UserError(f"cannot read {shown(given)}: Permission denied")
    return status, folder and not is_image(given, True)


def _under(given: str, status: os.stat_result, is_image: IsImage) -> Iterator[_Files]:
    """The images under a folder, in the order of the bytes of their relative paths."""
    stack: list[_Folder | _Files] = [_Folder(given, frozenset([(status.st_dev, status.st_ino)]))]
    while stack:
        top = stack.pop()
        if isinstance(top, _Folder):
            stack += reversed(_scan(top, is_image))
        else:
            yield top


def _scan(folder: _Folder, is_image: IsImage) -> list[_Folder | _Files]:
    """A folder's images and folders in order: a folder stands where its name and a slash do."""
    pieces: list[NDArray[np.bytes_]] = []
    piece: list[bytes] = []
    facts = array("q")
    folders: list[tuple[bytes, _Folder]] = []
    try:
        with os.scandir(folder.path) as entries:
            for entry in entries:
                directory = _is_folder(entry)
                if is_image(entry.path, directory):
                    known = _facts(entry)
                    if known is not None:
                        piece.append(os.fsencode(entry.name))
                        facts.extend(known)
                    if len(piece) == PIECE:
                        pieces.append(np.array(piece, np.bytes_))
                        piece = []
                elif directory:
                    status = os.stat(entry.path)
                    key = (status.st_dev, status.st_ino)
                    # A link to a folder that leads here would be walked for ever.
                    if key not in folder.above:
                        inner = _Folder(entry.path, folder.above | {key})
                        folders.append((os.fsencode(entry.name) + b"/", inner))
    except OSError as error:
        raise UserError(f"cannot list the folder {shown(folder.path)}: {error.strerror}") from None
    names = np.concatenate([*pieces, np.array(piece, np.bytes_)])
    order = np.argsort(names, kind="stable")
    names, table = names[order], np.frombuffer(facts, np.int64).reshape(-1, 2)[order]
    folders.sort(key=lambda item: item[0])
    found: list[_Folder | _Files] = []
    lo = 0
    for hi, (_, inner) in zip(
        np.searchsorted(names, np.array([key for key, _ in folders], np.bytes_)).tolist(),
        folders,
        strict=True,
    ):
        found += [_Files(folder.path, names[lo:hi], table[lo:hi]), inner]
        lo = hi
    found.append(_Files(folder.path, names[lo:], table[lo:]))
    return [f for f in found if isinstance(f, _Folder) or len(f.names)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or leads to one; a link in a circle leads nowhere."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _facts(entry: os.DirEntry[str]) -> tuple[int, int] | None:
    """Size and time of an entry: None for a pipe or device, zeros for a link to nowhere."""
    try:
        status = entry.stat()
    except OSError:
        # Kept, so that the image stands among the failures and not silently nowhere.
        return 0, 0
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        return None
    return status.st_size, status.st_mtime_ns
