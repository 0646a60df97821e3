"""Flow cytometry's own files, for programs in which people draw gates: a file per group of cells.

A gated population that is exported again still has the columns `ROW_HIGH` and `ROW_LOW`, by which
its cells are found in the table: row ``1,000,000 * ROW_HIGH + ROW_LOW``, counted from 0. (The
format's numbers are float32, which tell whole numbers apart up to 16,777,216 only.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array
from scip_mpi.errors import UserError
from scip_mpi.export.aggregate import runs
from scip_mpi.export.files import fresh
from scip_mpi.export.groups import group_rows

ROW = ("ROW_HIGH", "ROW_LOW")
ROW_BASE = 1_000_000
# Parameters of a file, the two of the row among them: programs get slow, or refuse, beyond.
MOST = 200
# Letters of a short name.
SHORT = 20
# Values held at once: a file's cells stand in memory several times while flowio writes it.
VALUES = 1 << 26
# What is taken if nothing is chosen: features, without their channel, the most wanted first.
WANTED = (
    "area", "bgcorr_mean", "mean", "bgcorr_sum", "max", "std", "eccentricity", "solidity",
    "perimeter", "major_axis_length", "minor_axis_length", "extent", "edge_mean",
    "combined_bgcorr_mean", "median", "skewness",
)  # fmt: skip


def choose(file: h5py.File, patterns: Sequence[str]) -> list[str]:
    """Columns of X and numeric ones of obs that a file will hold.

    Parameters
    ----------
    file : h5py.File
        The table.
    patterns : sequence of str
        Names, or patterns such as ``feat_li_mean_*``; none for `WANTED` and the columns to gate by.

    Raises
    ------
    UserError
        A pattern fits no column, or together they fit too many.
    """
    obs, var = file["obs"], file["var"]
    features = var["_index"].asstr()[()].tolist()
    numbers = [n for n in obs.attrs["column-order"] if not isinstance(obs[n], h5py.Group)]
    if not patterns:
        return _usual(file, features, numbers)[: MOST - len(ROW)]
    chosen: dict[str, None] = {}
    for pattern in patterns:
        fits = [name for name in [*numbers, *features] if fnmatchcase(name, pattern)]
        if not fits:
            raise UserError(f"--columns {pattern}: no numeric column of obs or X is called so")
        chosen.update(dict.fromkeys(fits))
    if len(chosen) > MOST - len(ROW):
        raise UserError(
            f"--columns chooses {len(chosen):,} columns; a FCS file takes {MOST - len(ROW)} beside "
            f"{' and '.join(ROW)}"
        )
    return list(chosen)


def _usual(file: h5py.File, features: list[str], numbers: list[str]) -> list[str]:
    if len(features) + len(numbers) <= MOST - len(ROW):
        return [*numbers, *features]
    var = file["var"]
    stems, channels = (
        var[name]["categories"].asstr()[()][var[name]["codes"][()]] for name in
        ("feature", "channel")
    )  # fmt: skip
    rank = {stem: k for k, stem in enumerate(WANTED)}
    places = [
        rank.get(str(stem).removesuffix(f"_{channel}"), len(WANTED))
        for stem, channel in zip(stems, channels, strict=True)
    ]
    order = np.argsort(places, kind="stable")
    gates = [n for n in numbers if n.startswith(("gate_", "class_probability_"))]
    return gates + [features[j] for j in order if places[j] < len(WANTED)]


def short_names(names: Sequence[str]) -> list[str]:
    """Unique names of at most `SHORT` letters, without what all features have in front.

    A comma, slash or other strange letter becomes an underscore: programs take some for their own.
    """
    found: list[str] = []
    taken = set(ROW)
    for name in names:
        stem = re.sub(r"[^0-9A-Za-z_.+-]+", "_", name.removeprefix("feat_")) or "_"
        short, number = stem[:SHORT], 1
        while short in taken:
            number += 1
            end = f"~{number}"
            short = stem[: SHORT - len(end)] + end
        taken.add(short)
        found.append(short)
    return found


def write_fcs(
    file: h5py.File,
    columns: Sequence[str],
    by: Sequence[str],
    folder: Path,
    overwrite: bool,
    tell: Callable[[int], None],
) -> tuple[list[Path], int]:
    """Write a file per group: the chosen columns under short names, their whole names beside them.

    Groups of more cells than fit into memory get several files.

    Parameters
    ----------
    file : h5py.File
        The table.
    columns : sequence of str
        As of `choose`.
    by : sequence of str
        Columns of obs that make the groups.
    folder : Path
    overwrite : bool
    tell : callable
        Called with the number of cells written since the last call.

    Returns
    -------
    list of Path
    int
        Missing values, which are 0 in the files: other programs do not take them as missing.
    """
    import flowio

    groups = group_rows(file, by)
    step = max(1, VALUES // (len(columns) + len(ROW)))
    names, labels = [*ROW, *short_names(columns)], [*(r.lower() for r in ROW), *columns]
    work = []
    for k, values in enumerate(groups.values):
        rows = groups.rows(k)
        for part in range(0, len(rows), step):
            more = f"_{part // step + 1}" if len(rows) > step else ""
            work.append((_file_name(values) + more, values, rows[part : part + step]))
    _check_names([name for name, _, _ in work])
    paths, missing = [], 0
    for name, values, rows in work:
        events, lacking = _events(file, rows, columns)
        missing += lacking
        told = {f"{c}": v or "(none)" for c, v in zip(by, values, strict=True)}
        told |= {f"p{j + 1}r": _range(events[:, j]) for j in range(len(names))}
        path = folder / f"{name}.fcs"
        with fresh(path, overwrite) as partial, partial.open("wb") as stream:
            flowio.create_fcs(stream, events.reshape(-1), names, labels, told)
        paths.append(path)
        tell(len(rows))
    return paths, missing


def _events(
    file: h5py.File, rows: Int64Array, columns: Sequence[str]
) -> tuple[NDArray[np.float32], int]:
    """Cells as a file holds them, row number first; how many values are missing."""
    place = {name: j for j, name in enumerate(file["var/_index"].asstr()[()].tolist())}
    events = np.empty((len(rows), len(ROW) + len(columns)), np.float32)
    events[:, 0], events[:, 1] = np.divmod(rows, ROW_BASE)
    own = [(k, place[name]) for k, name in enumerate(columns, len(ROW)) if name in place]
    for at, part in runs(rows):
        if own:
            into, of = (list(t) for t in zip(*own, strict=True))
            events[at, into] = file["X"][part][:, of]
        for k, name in enumerate(columns, len(ROW)):
            if name not in place:
                events[at, k] = file["obs"][name][part]
    lacking = ~np.isfinite(events)
    events[lacking] = 0
    return events, int(lacking.sum())


def _range(values: NDArray[np.float32]) -> str:
    """What programs take for the end of the axis: a whole number above all values."""
    return str(int(np.ceil(max(float(values.max(initial=1)), 1))) + 1)


def _file_name(values: Sequence[str]) -> str:
    """A name that any file system takes."""
    text = "_".join(value or "none" for value in values) or "all"
    return re.sub(r"[^0-9A-Za-z_.+-]+", "_", text).strip(".") or "group"


def _check_names(names: Sequence[str]) -> None:
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"two groups would share the file {min(twice)}.fcs: rename one of them")
