"""Files that several images are in: the last one stays open."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from typing import Any, Self


class LastOpened:
    """Opens files, and keeps the last one open until another is wanted or it is left.

    Parameters
    ----------
    open_ : callable
        Given what tells a file, a context manager that gives what stands for it.
    """

    def __init__(self, open_: Callable[..., AbstractContextManager[Any]]) -> None:
        self.open = open_
        self.key: tuple[str, ...] = ()
        self.stack = ExitStack()
        self.found: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def __call__(self, *key: str) -> Any:
        """What stands for a file; raises the file's fault each time it is asked for."""
        if key != self.key:
            self.stack.close()
            self.key = key
            try:
                self.found = self.stack.enter_context(self.open(*key))
            except Exception as error:  # kept, so that a broken file is opened once as well
                self.found = error
        if isinstance(self.found, Exception):
            raise self.found
        return self.found
