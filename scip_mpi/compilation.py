"""Compiled kernels: once per machine, and never by two processes into one cache at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numba.core import event

LOCK = "scip_mpi.lock"
# Longest wait for another process that compiles, in seconds; it takes a minute or two.
PATIENCE = 900.0


def cache_folder() -> Path:
    """Where numba keeps this package's kernels, as far as that is known beforehand."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    return Path(given) if given else Path(__file__).parent / "__pycache__"


class Compilations(event.Listener):
    """Hears of every kernel that is compiled because no cache holds it.

    Parameters
    ----------
    before : callable
        Called once, before the first one.
    """

    def __init__(self, before: Callable[[], None]) -> None:
        self.before = before
        self.count = 0

    def on_start(self, happening: Any) -> None:
        """A kernel is about to be compiled."""
        if self.count == 0:
            self.before()
        self.count += 1

    def on_end(self, happening: Any) -> None:
        """It is there."""


class NotCompiledError(Exception):
    """A kernel that the cache was expected to hold is not there."""


def loaded(use: Callable[[], None]) -> bool:
    """Use kernels if the cache holds them all; whether it did.

    Parameters
    ----------
    use : callable
        Calls kernels; given up at the first one that would have to be compiled.
    """

    def refuse() -> None:
        raise NotCompiledError

    try:
        with event.install_listener("numba:compile", Compilations(refuse)):
            use()
    except NotCompiledError:
        return False
    return True


@contextmanager
def compiling(say: Callable[[], None]) -> Iterator[Compilations]:
    """Let a block compile kernels if it must: said so, and alone in the cache.

    numba numbers the files of a kernel's versions by those that are there: two processes that
    compile for different types of pixels at once could give one file to both.

    Parameters
    ----------
    say : callable
        Called if a kernel must be compiled, and before.
    """
    lock: int | None = None

    def begin() -> None:
        nonlocal lock
        say()
        lock = _locked(cache_folder())

    heard = Compilations(begin)
    with event.install_listener("numba:compile", heard):
        yield heard
    if lock is not None:
        os.close(lock)


def _locked(folder: Path) -> int | None:
    """A file held by this process alone; None where there are no locks, or nobody lets go."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        # A cache that cannot be written is not written by numba either.
        return None
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return lock
        except (BlockingIOError, PermissionError):
            time.sleep(0.05)
        except OSError:
            break
    os.close(lock)
    return None
