"""Libraries that only some commands need, and that may not be there."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from scip_mpi.errors import UserError


def require(what: str, extra: str, modules: Sequence[str]) -> None:
    """Refuse what needs a library that is not installed.

    Parameters
    ----------
    what : str
        What needs it.
    extra : str
        The extra of this package that brings it.
    modules : sequence of str

    Raises
    ------
    UserError
        One is missing.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise UserError(
            f"{what} needs {' and '.join(missing)}, not installed here: pip install "
            f"'scip_mpi[{extra}]'"
        )
