"""Names that metadata may have in the results."""

from __future__ import annotations

from collections.abc import Iterable

from scip_mpi.errors import UserError

# Columns of obs that are there in every run or with some settings.
TAKEN = frozenset(["image", "object", "failed", "discarded", "_index"])


def refuse_columns(names: Iterable[str], what: str) -> None:
    """Raise for a name of metadata that cannot be a column of the table's obs.

    Parameters
    ----------
    names : iterable of str
    what : str
        What bears the name, for the message: "load.kwargs.regex: a group".
    """
    for name in names:
        if name in TAKEN or name.startswith("filter_"):
            raise UserError(f"{what} cannot be called {name!r}, as a column of the results is")
        if not name.strip(". ") or "/" in name or "\0" in name:
            raise UserError(f"{what} cannot be called {name!r}: use letters, digits and _")
