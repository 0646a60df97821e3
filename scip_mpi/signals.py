"""Signals that ask a run to stop, and when they may end the process."""

from __future__ import annotations

import signal

# What asks a run to stop: time limits (as jobscripts set them), schedulers, people.
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)


def hold_signals() -> None:
    """Keep signals to stop until `StopFlag.listen`: while libraries load, they would kill."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)


def outlast_signals() -> None:
    """From here on this process ends by itself, with its own exit code.

    Launchers send SIGTERM to all other ranks when the first one leaves with a code that is not 0,
    and would report that instead of the code that all ranks have agreed on.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def linger(seconds: float) -> None:
    """Wait so long, or until the launcher sends SIGTERM because another rank has left."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    signal.sigtimedwait([signal.SIGTERM], seconds)


class StopFlag:
    """Set by a signal, polled between batches."""

    def __init__(self) -> None:
        self.signal: str | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def listen(self) -> None:
        """Let SIGTERM, SIGINT and SIGUSR1 set the flag; a second SIGINT ends at once."""
        for number in STOPPING:
            signal.signal(number, self._set)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _set(self, number: int, frame: object) -> None:
        if number == signal.SIGINT and self.signal is not None:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name
