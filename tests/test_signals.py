"""Signals to stop: none is lost while libraries load, none changes a code that is agreed on."""

from __future__ import annotations

import time

from launch import launch

KILL = "os.kill(os.getpid(), signal.SIG{})\n"
START = (
    "import os, signal, sys\n"
    "from scip_mpi.signals import StopFlag, hold_signals, linger, outlast_signals\n"
)


def test_a_signal_that_comes_while_libraries_load_stops_the_run() -> None:
    for name in ("TERM", "USR1"):
        program = (
            f"{START}hold_signals()\n{KILL.format(name)}stop = StopFlag()\nassert not stop\n"
            "stop.listen()\nprint(stop.signal)\n"
        )
        done = launch(["-c", program])
        assert (done.returncode, done.stdout.strip()) == (0, f"SIG{name}"), done.stderr


def test_the_exit_code_is_not_that_of_the_signal_for_slower_ranks() -> None:
    program = f"{START}StopFlag().listen()\noutlast_signals()\n{KILL.format('TERM')}sys.exit(75)\n"
    assert launch(["-c", program]).returncode == 75


def test_a_rank_that_lets_another_speak_is_woken_by_its_end() -> None:
    program = f"{START}hold_signals()\n{KILL.format('TERM')}linger(600)\nsys.exit(2)\n"
    begun = time.monotonic()
    assert launch(["-c", program]).returncode == 2
    assert time.monotonic() - begun < 300
