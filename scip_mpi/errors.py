"""Errors for people, and the exit codes they lead to."""

from __future__ import annotations

DONE = 0
FAILED = 1
USAGE = 2
SOME_FAILED = 3
STOPPED = 75


class UserError(Exception):
    """Something the user must mend: said in plain words, without a traceback, exit code 2."""


class RanksLost(Exception):
    """Other ranks have died, and the MPI has told so: what was done together is over."""
