"""A plate map: what was in each well, joined to the images on plate and well."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scip_mpi.errors import UserError
from scip_mpi.loaders.columns import columns_of, metadata_of, read_columns
from scip_mpi.loaders.contract import Catalog
from scip_mpi.loaders.listing import shown

Key = tuple[str | None, str | None]


def well_name(row: str, column: str) -> str:
    """A well by its usual name: ``A01`` for row A (or 1) and column 1 (or 01)."""
    number = int(row) if row.isdecimal() else 0
    letters = ""
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return f"{letters or row.strip().upper()}{int(column):02d}"


def same_well(text: str) -> str:
    """``A1``, ``a01`` and ``A-01`` as ``A01``; other texts as they are."""
    match = re.fullmatch(r"\s*([A-Za-z]{1,2})[\s_-]*0*(\d{1,3})\s*", text)
    return well_name(match[1], match[2]) if match else text


def join_plate(catalog: Catalog, path: str) -> Catalog:
    """Add a plate map's columns to the images' metadata.

    Parameters
    ----------
    catalog : Catalog
        Its metadata (or numbers) has ``well``, or ``row`` and ``column``, and perhaps ``plate``.
    path : str
        CSV or Parquet with the same columns, in any case; all its other columns are added.

    Raises
    ------
    UserError
        The images or the map have no wells, a well stands in the map twice, or no image's well is
        in the map.
    """
    columns = read_columns(path)
    table = {name.lower().removeprefix("metadata_"): values for name, values in columns.items()}
    images = _texts(catalog)
    both = "plate" in table and "plate" in images
    theirs = _keys(table, both, f"load.plate_map: {shown(path)} has no column well, or row and "
                   "column")  # fmt: skip
    ours = _keys(images, both, "load.plate_map: nothing says which well an image is of: add a "
                 "group (?P<well>...) to the regex, or a column well to the table")  # fmt: skip
    row_of: dict[Key, int] = {}
    for i, key in enumerate(theirs):
        if key[1] is not None and row_of.setdefault(key, i) != i:
            why = "" if both or "plate" not in table else ": nothing says an image's plate"
            raise UserError(f"load.plate_map: {shown(path)} has {_said(key)} twice{why}")
    rows = [row_of.get(key, -1) for key in ours]
    missing = rows.count(-1)
    if missing == len(rows):
        raise UserError(
            f"load.plate_map: none of the images' wells (the first is {_said(ours[0])}) is in "
            f"{shown(path)}, whose first is {_said(theirs[0]) if theirs else 'none'}"
        )
    used = ("well", "row", "column", "plate")
    wells = [name for name in columns if name.lower().removeprefix("metadata_") in used]
    added = {
        name: [None if r < 0 else values[r] for r in rows]
        for name, values in metadata_of(columns, wells, path).items()
    }
    clash = sorted(set(added) & {*catalog.metadata, *catalog.numbers, "group"})
    if clash:
        raise UserError(
            f"load.plate_map: the images have a column {clash[0]!r} already: rename the one in "
            f"{shown(path)}"
        )
    metadata, numbers = columns_of(added)
    note = [f"{missing:,} images are of wells that the plate map does not have"] if missing else []
    return replace(
        catalog,
        metadata=catalog.metadata | metadata,
        numbers=catalog.numbers | numbers,
        notes=catalog.notes + note,
    )


def _texts(catalog: Catalog) -> dict[str, list[str | None]]:
    """Columns of the images that name plates and wells, by lower-case name."""
    texts: dict[str, list[str | None]] = {}
    for name, (codes, values) in catalog.metadata.items():
        if name.lower() in ("well", "row", "column", "plate"):
            known = [*values, None]
            texts[name.lower()] = [known[c] for c in codes.tolist()]
    for name, numbers in catalog.numbers.items():
        if name.lower() in ("well", "row", "column", "plate"):
            texts[name.lower()] = [None if v != v else f"{v:.15g}" for v in numbers.tolist()]
    return texts


def _keys(columns: Mapping[str, Sequence[str | None]], plates: bool, complaint: str) -> list[Key]:
    """(plate, well) of each row; the plate only if it counts."""
    if "well" in columns:
        wells = [None if w is None else same_well(w) for w in columns["well"]]
    elif "row" in columns and "column" in columns:
        pairs = zip(columns["row"], columns["column"], strict=True)
        wells = [None if r is None or c is None else _well(r, c) for r, c in pairs]
    else:
        raise UserError(complaint)
    plate = columns["plate"] if plates else [None] * len(wells)
    return list(zip(plate, wells, strict=True))


def _said(key: Key) -> str:
    """A well in words."""
    plate, well = key
    return f"well {well or '(none)'}" + (f" of plate {plate}" if plate else "")


def _well(row: str, column: str) -> str | None:
    return well_name(row, column) if column.strip().isdecimal() else None
