"""The regex on the paths of images: which files are images, and what their names say of them."""

from __future__ import annotations

import re
from array import array
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scip_mpi.errors import UserError
from scip_mpi.loaders.listing import Listing, shown
from scip_mpi.loaders.naming import refuse_columns
from scip_mpi.loaders.texts import Categorical, Categories

Groups = tuple[NDArray[np.int32], list[str]]


def select(
    listing: Listing, regex: str | None, reserved: Mapping[str, str]
) -> tuple[Listing, dict[str, Categorical], Groups, int]:
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
        order = sorted(range(len(listing.parents)), key=listing.parents.__getitem__)
        code = np.argsort(order).astype(np.int32)
        return listing, {}, (code[listing.parent], [listing.parents[k] for k in order]), 0
    try:
        pattern = re.compile(regex)
    except (re.error, TypeError) as error:
        raise UserError(f"load.kwargs.regex is no regular expression: {error}") from None
    for name, why in reserved.items():
        if name in pattern.groupindex:
            raise UserError(f"load.kwargs.regex: a group cannot be called {name!r} here: {why}")
    search = pattern.search
    refuse_columns(pattern.groupindex, "load.kwargs.regex: a group")
    columns = {name: Categories() for name in pattern.groupindex}
    group = columns.pop("group", Categories())
    own = "group" in pattern.groupindex
    rows = array("q")
    parent = listing.parent
    for i, file in enumerate(listing.files):
        match = search(file)
        if match is None:
            continue
        rows.append(i)
        for name, column in columns.items():
            column.add(match[name])
        given = match["group"] if own else None
        group.add(listing.parents[parent[i]] if given is None else given)
    if not rows:
        raise UserError(
            f"load.kwargs.regex matches none of {len(listing.files)} files; the first is "
            f"{shown(listing.files[0])}"
        )
    kept = listing.take(np.frombuffer(rows, np.int64))
    codes, groups = group.finish()
    metadata = {name: column.finish() for name, column in columns.items()}
    return kept, metadata, (codes, list(groups)), len(listing.files) - len(rows)


def factorize(values: Sequence[str | None]) -> Categorical:
    """Codes into the sorted categories; -1 for None."""
    column = Categories()
    for value in values:
        column.add(value)
    return column.finish()
