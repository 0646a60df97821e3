"""Images listed in a CSV or Parquet file (``table``), CellProfiler's LoadData files included.

Columns: ``path``, or ``path_<CHANNEL>`` per channel; optionally ``page``, ``id``, ``group`` and
``companion_<NAME>``. CellProfiler's ``FileName_<CHANNEL>`` and ``PathName_<CHANNEL>`` are
understood, and ``Metadata_`` is taken off. Every other column that has a name is metadata.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError
from scip_mpi.loaders import picture
from scip_mpi.loaders.columns import WHOLE_NUMBER, columns_of, metadata_of, read_columns
from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.listing import list_images, shown
from scip_mpi.loaders.patterns import factorize
from scip_mpi.loaders.texts import compact

PATH, FILE, FOLDER, COMPANION = "path_", "FileName_", "PathName_", "companion_"

probe = picture.probe
read = picture.read
warm_up = picture.warm_up


def discover(paths: Sequence[str], *, root: str | None = None) -> Catalog:
    """Take the images that tables list, in their order.

    Parameters
    ----------
    paths : sequence of str
        Tables: ``*.csv`` or ``*.parquet`` files, or folders that are searched for them.
    root : str, optional
        Folder that relative paths start from; by default that of the table.

    Raises
    ------
    UserError
        A table cannot be read, names no files, or lists an id twice.
    """
    listing = list_images(paths, _is_table, "*.csv or *.parquet tables")
    contents = [read_columns(path) for path in listing.files]
    order = list(contents[0])
    for path, columns in zip(listing.files, contents, strict=True):
        differing = sorted(columns.keys() ^ set(order))
        if differing:
            raise UserError(
                f"{shown(path)} has other columns than {shown(listing.files[0])}: "
                f"{', '.join(differing)}"
            )
    tables = [
        _Table(path, {name: columns[name] for name in order}, root)
        for path, columns in zip(listing.files, contents, strict=True)
    ]
    channels, companions = tables[0].channels, tables[0].companions
    named = [row for table in tables for row in table.files]
    files = sorted({f for row in named for f in row if f})
    place = {f: i for i, f in enumerate(files)} | {"": -1}
    sources = np.array([[place[f] for f in row] for row in named], np.int64)
    ids = [i for table in tables for i in table.ids]
    pages = np.concatenate([table.pages for table in tables])
    names, codes = _names(ids, pages)
    values: dict[str, list[str | None]] = {
        k: [v for table in tables for v in table.metadata[k]] for k in tables[0].metadata
    }
    # The folder stands for a group that is not given, as in the other formats.
    own = len(channels) or 1
    folders = [_folder(next(f for f in row[:own] if f)) for row in named]
    given = values.pop("group", [None] * len(named))
    group, groups = factorize([f if g is None else g for g, f in zip(given, folders, strict=True)])
    metadata, numbers = columns_of(values)
    sizes, mtimes = file_facts(files)
    n = len(ids)
    return Catalog(
        files=compact(files),
        sources=sources,
        names=compact(names),
        named=codes,
        within=pages,
        unit=np.arange(n, dtype=np.int64),
        group=group,
        groups=list(groups),
        metadata=metadata,
        numbers=numbers,
        sizes=sizes,
        mtimes=mtimes,
        channel_names=channels or None,
        companions=companions,
    )


class _Table:
    """One table's columns, checked."""

    def __init__(self, path: str, columns: dict[str, list[str | None]], root: str | None) -> None:
        base = os.path.dirname(path) if root is None else root
        self.channels = _prefixed(columns, PATH)
        self.channels += [c for c in _prefixed(columns, FILE) if c not in self.channels]
        self.companions = _prefixed(columns, COMPANION)
        n = len(next(iter(columns.values()), []))
        if not n:
            raise UserError(f"{shown(path)} lists no images")
        if "path" not in columns and not self.channels:
            raise UserError(
                f"{shown(path)} names no files: it needs a column path, or path_<CHANNEL> (or "
                f"FileName_<CHANNEL>) for each channel; it has {', '.join(columns)}"
            )
        if "path" in columns and self.channels:
            raise UserError(f"{shown(path)} has both path and a column per channel: keep one")
        used = {"path", "page", "id"}
        if self.channels:
            own = [self._paths(columns, c, used) for c in self.channels]
        else:
            own = [columns["path"]]
        first = [next((f for f in row if f), None) for row in zip(*own, strict=True)]
        if None in first:
            raise UserError(f"{shown(path)}, row {first.index(None) + 1}: the image has no file")
        own += [columns[COMPANION + c] for c in self.companions]
        used |= {COMPANION + c for c in self.companions}
        self.files = [
            tuple("" if f is None else os.path.join(base, f) for f in row)
            for row in zip(*own, strict=True)
        ]
        for row, given in enumerate(self.files):
            if any("\0" in f for f in given):
                raise UserError(f"{shown(path)}, row {row + 1}: a file's name holds a NUL")
        whole = picture.PLANE if self.channels else picture.WHOLE
        self.pages = _pages(columns.get("page"), n, path, whole)
        self.ids = _ids(columns.get("id", first), path)
        self.metadata = metadata_of(columns, used, path)

    def _paths(
        self, columns: dict[str, list[str | None]], channel: str, used: set[str]
    ) -> list[str | None]:
        if PATH + channel in columns:
            used.add(PATH + channel)
            return columns[PATH + channel]
        used |= {FILE + channel, FOLDER + channel}
        names = columns[FILE + channel]
        folders = columns.get(FOLDER + channel, [None] * len(names))
        return [
            n if n is None or f is None else os.path.join(f, n)
            for n, f in zip(names, folders, strict=True)
        ]


def file_facts(files: Sequence[str]) -> tuple[Int64Array, Int64Array]:
    """Bytes and modification time (ns) of files; zeros for one that is not there."""
    facts = np.zeros((len(files), 2), np.int64)
    for i, path in enumerate(files):
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            # Kept, so that the image stands among the failures and not silently nowhere.
            continue
        facts[i] = status.st_size, status.st_mtime_ns
    return facts[:, 0].copy(), facts[:, 1].copy()


def _is_table(path: str, folder: bool) -> bool:
    return not folder and path.lower().endswith((".csv", ".parquet"))


def _prefixed(columns: dict[str, list[str | None]], prefix: str) -> list[str]:
    return [name.removeprefix(prefix) for name in columns if name.startswith(prefix)]


def _folder(path: str) -> str:
    return os.path.basename(os.path.dirname(path))


def _pages(column: list[str | None] | None, n: int, path: str, whole: int) -> Int64Array:
    if column is None:
        return np.full(n, whole, np.int64)
    for row, value in enumerate(column):
        if value is None or not WHOLE_NUMBER.fullmatch(value) or not 0 <= int(value) < 2**31:
            raise UserError(
                f"{shown(path)}, row {row + 1}: page must be a number from 0, found {value!r}"
            )
    return np.array([int(v) for v in column if v is not None], np.int64)


def _ids(column: list[str | None], path: str) -> list[str]:
    if None in column:
        row = column.index(None) + 1
        raise UserError(f"{shown(path)}, row {row}: the image has no id")
    return [str(v) for v in column]


def _names(ids: list[str], pages: Int64Array) -> tuple[list[str], Int64Array]:
    """Names in the order of their first image, and each image's; refuses an image listed twice."""
    place: dict[str, int] = {}
    codes = np.array([place.setdefault(i, len(place)) for i in ids], np.int64)
    seen: set[tuple[str, int]] = set()
    for i, page in zip(ids, pages.tolist(), strict=True):
        if (i, page) in seen:
            raise UserError(f"the image {i!r} is listed twice: give each row an id of its own")
        seen.add((i, page))
    return list(place), codes
