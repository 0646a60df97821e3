"""Labels that people gave, joined to the table's rows by cell or by name of image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError

# Names of the column that says which cell or image, and of that which says what it is; any case.
CELL_KEYS = ("cell", "obs_name", "obs_names")
IMAGE_KEYS = ("image", "file", "filename", "file_name", "path")
OBJECT_KEYS = ("object",)
LABEL_KEYS = ("label", "class", "kind", "cell_type", "type")
# Folders in front of an image's name that one side may have more than the other.
DEEPEST = 8


@dataclass(frozen=True)
class Labels:
    """Which class each row of the table has.

    Attributes
    ----------
    classes : list of str
        Sorted.
    codes : ndarray of int64, shape (rows,)
        Into the classes; -1 without a label.
    row : ndarray of int64, shape (rows,)
        Row of the CSV that a row of the table is labelled by; -1 without.
    columns : dict of str to ndarray of str
        The CSV.
    notes : list of str
        What its author should know.
    """

    classes: list[str]
    codes: Int64Array
    row: Int64Array
    columns: dict[str, NDArray[Any]]
    notes: list[str]


def read_labels(file: h5py.File, path: Path, label: str | None = None) -> Labels:
    """Read a CSV of labels and find the rows that it speaks of.

    A column ``cell`` holds obs_names; ``image`` or ``file`` holds names of images, all of whose
    cells get the label, or, with a column ``object``, that one. Leading folders of images' names
    may be missing in the CSV or in the table.

    Parameters
    ----------
    file : h5py.File
        The table.
    path : Path
        CSV with a header.
    label : str, optional
        The column of labels; by default the first of `LABEL_KEYS` that is there.

    Raises
    ------
    UserError
        The file cannot be read, lacks a column, contradicts itself, or names no cell of the table.
    """
    columns = _read(path)
    chosen = _label_column(columns, label, path)
    key, find = _key(columns, chosen, path)
    given = columns[chosen]
    named = np.array([text != "" for text in given], bool)
    notes = [] if named.all() else [f"{(~named).sum():,} lines of {path} have no label"]
    place, rows_of = find(file)
    _contradictions(columns[key], place, given, named, path)
    lost = np.flatnonzero((place < 0) & named)
    if len(lost) == len(given):
        raise UserError(
            f"{path}: no {key} is in the table, not {columns[key][0]!r} for one; the table has "
            f"{_example(file, key)!r}"
        )
    if len(lost):
        shown = ", ".join(map(repr, columns[key][lost[:3]].tolist()))
        notes.append(f"{len(lost):,} labels of {path} belong to no cell of the table, as {shown}")
    row = rows_of(np.where(named, place, -1))
    classes, codes = np.unique(given[named].astype(str), return_inverse=True)
    of_line = np.full(len(given) + 1, -1, np.int64)
    of_line[:-1][named] = codes
    if not (row >= 0).any():
        raise UserError(f"{path}: its images are in the table, but none of them has a cell")
    return Labels(classes.tolist(), of_line[row], row, columns, notes)


def _read(path: Path) -> dict[str, NDArray[Any]]:
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, pd.errors.ParserError) as error:
        raise UserError(f"{path} is no CSV in UTF-8 with a header: {error}") from error
    if not len(frame):
        raise UserError(f"{path} holds no line below its header")
    return {str(name): np.array([text.strip() for text in frame[name]], object) for name in frame}


def _first(columns: dict[str, Any], known: Sequence[str]) -> str | None:
    """The column with the first of these names."""
    lower = {name.strip().lower(): name for name in reversed(columns)}
    return next((lower[word] for word in known if word in lower), None)


def _label_column(columns: dict[str, Any], label: str | None, path: Path) -> str:
    found = _first(columns, LABEL_KEYS) if label is None else label
    if found is None or found not in columns:
        which = f"no column {label!r}" if label else f"none of the columns {', '.join(LABEL_KEYS)}"
        raise UserError(
            f"{path} has {which}: its columns are {', '.join(columns)}; --label says which one "
            "holds the labels"
        )
    return found


Find = Callable[[h5py.File], tuple[Int64Array, Callable[[Int64Array], Int64Array]]]


def _key(columns: dict[str, Any], label: str, path: Path) -> tuple[str, Find]:
    """The column by which labels are joined, and how its values are found in the table."""
    others = {name: values for name, values in columns.items() if name != label}
    cell, image, number = (_first(others, k) for k in (CELL_KEYS, IMAGE_KEYS, OBJECT_KEYS))
    if cell is not None:
        return cell, lambda file: _by_cell(file, columns[cell])
    if image is not None and number is not None:
        return image, lambda file: _by_object(file, columns[image], columns[number], path)
    if image is not None:
        return image, lambda file: _by_image(file, columns[image])
    raise UserError(
        f"{path} has no column that says which cell a label is of: {', '.join(columns)}; call it "
        "`image` (names of images), `image` and `object`, or `cell` (obs_names)"
    )


def _by_cell(
    file: h5py.File, names: NDArray[Any]
) -> tuple[Int64Array, Callable[[Int64Array], Int64Array]]:
    import pandas as pd

    cells = pd.Index(file["obs/_index"].asstr()[()])
    place = cells.get_indexer(pd.Index(names)).astype(np.int64)
    return place, lambda kept: _turned(kept, len(cells))


def _by_image(
    file: h5py.File, names: NDArray[Any]
) -> tuple[Int64Array, Callable[[Int64Array], Int64Array]]:
    images = file["obs/image/categories"].asstr()[()]
    place = match_images(names, images)
    codes = file["obs/image/codes"][()]
    return place, lambda kept: np.append(_turned(kept, len(images)), -1)[codes]


def _by_object(
    file: h5py.File, names: NDArray[Any], numbers: NDArray[Any], path: Path
) -> tuple[Int64Array, Callable[[Int64Array], Int64Array]]:
    import pandas as pd

    objects = pd.to_numeric(pd.Series(numbers), errors="coerce")
    if objects.isna().any():
        wrong = numbers[objects.isna().to_numpy()][0]
        raise UserError(f"{path}: object {wrong!r} is no number, as column object of obs has them")
    image = match_images(names, file["obs/image/categories"].asstr()[()])
    ours = [file["obs/image/codes"][()].astype(np.int64), file["obs/object"][()]]
    cells = pd.MultiIndex.from_arrays(ours)
    theirs = pd.MultiIndex.from_arrays([image, objects.to_numpy().astype(np.int64)])
    place = cells.get_indexer(theirs).astype(np.int64)
    return place, lambda kept: _turned(kept, len(cells))


def _turned(place: Int64Array, size: int) -> Int64Array:
    """The line that speaks of each place; -1 where none does."""
    line = np.full(size, -1, np.int64)
    known = place >= 0
    line[place[known]] = np.flatnonzero(known)
    return line


def match_images(names: NDArray[Any], images: NDArray[Any]) -> Int64Array:
    """Which image each name means; -1 for none.

    Names are compared as they are, then without so many leading folders on one side or the other as
    gives the most matches.

    Parameters
    ----------
    names, images : ndarray of str
        Images are all different.
    """
    import pandas as pd

    theirs = pd.Series(names, dtype=object).str.replace("\\", "/", regex=False)
    best = np.full(len(names), -1, np.int64)
    for depth in range(DEEPEST):
        for a, b in ((depth, 0), (0, depth)):
            mine = pd.Index([_without(text, b) for text in images])
            if not mine.is_unique:
                continue
            wanted = [_without(text, a) for text in theirs]
            if len(set(wanted)) < theirs.nunique():
                continue
            found = mine.get_indexer(pd.Index(wanted)).astype(np.int64)
            if (found >= 0).sum() > (best >= 0).sum():
                best = found
        if (best >= 0).all():
            break
    return best


def _without(path: str, folders: int) -> str:
    """A path without its first folders, of which the name itself is none."""
    parts = path.removeprefix("./").split("/")
    return "/".join(parts[min(folders, len(parts) - 1) :])


def _contradictions(
    keys: NDArray[Any], place: Int64Array, given: NDArray[Any], named: NDArray[Any], path: Path
) -> None:
    """Refuse two labels for one thing."""
    label: dict[int, tuple[str, str]] = {}
    for key, where, text, has in zip(keys, place.tolist(), given, named, strict=True):
        if has and where >= 0:
            first = label.setdefault(where, (text, key))
            if first[0] != text:
                raise UserError(f"{path}: {key!r} is labelled both {first[0]!r} and {text!r}")


def _example(file: h5py.File, key: str) -> str:
    if key.strip().lower() in CELL_KEYS:
        return str(file["obs/_index"].asstr()[0])
    return str(file["obs/image/categories"].asstr()[0])
