"""Labels of cells from a CSV, for the colours of the map: by image, or by cell."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError

# What the column is called that names the image, or the cell by its obs_name.
IMAGES = ("image", "file", "path")
CELLS = ("cell", "obs_name", "obs_names")
# A column with more different values, or with numbers, is no label.
MOST = 30

Codes = tuple[Int64Array, list[str]]


def read_labels(path: Path, names: Sequence[str], images: Sequence[str]) -> dict[str, Codes]:
    """Every column of a CSV that holds labels, for some cells.

    Parameters
    ----------
    path : Path
    names, images : sequence of str
        The cells' obs_names, and the images that they are in.

    Returns
    -------
    dict of str to (codes, categories)
        By the name of the column; -1 where a cell has none.

    Raises
    ------
    UserError
        The file cannot be read, names no images or cells, or none of these.
    """
    wanted, rows = set(images) | set(names), dict[str, dict[str, str]]()
    values: dict[str, set[str]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            header = reader.fieldnames or []
            key = next((k for k in (*CELLS, *IMAGES) if k in header), None)
            if key is None:
                raise UserError(
                    f"{path} has no column {', '.join(IMAGES)} or {', '.join(CELLS)}; it has "
                    f"{', '.join(header) or 'none'}"
                )
            for row in reader:
                for name in header:
                    if name != key and len(values.setdefault(name, set())) <= MOST:
                        values[name].add(row[name] or "")
                if row[key] in wanted:
                    rows[row[key]] = row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"the labels {path} cannot be read: {error}") from None
    if not rows:
        raise UserError(f"{path} names none of the cells: {key!r} must hold images' names")
    of = names if key in CELLS else images
    found = {}
    for name, held in values.items():
        held -= {""}
        if 1 < len(held) <= MOST and not all(_is_number(v) for v in held):
            categories = sorted(held)
            codes = {value: k for k, value in enumerate(categories)}
            own = [codes.get(rows[cell][name] or "", -1) if cell in rows else -1 for cell in of]
            found[name] = np.array(own, np.int64), categories
    return found


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
