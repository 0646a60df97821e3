"""What the program says on stderr, which is never a reason for it to end."""

from __future__ import annotations

import sys
from typing import Any, TextIO


class Log:
    """A stream that takes everything, whether the one behind it does or not.

    A run of hours must not end because its log is on a full disk, or went through a pipe to a
    program that has ended.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write, if the stream takes it."""
        try:
            if self.stream is not None:
                self.stream.write(text)
        except OSError:
            self.stream = None  # the rest would have a hole
        return len(text)

    def flush(self) -> None:
        """Flush, if the stream takes it."""
        try:
            if self.stream is not None:
                self.stream.flush()
        except OSError:
            self.stream = None

    def isatty(self) -> bool:
        """Whether a person looks on."""
        return self.stream is not None and self.stream.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def keep_going() -> None:
    """Let nothing that is said on stderr end this process; it may even be closed."""
    sys.stderr = Log(sys.stderr)
