"""What ranks had in hand when they ended, and what is suspected for it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scip_mpi.checkpoint.hands import Hand, Held, hand_path, look_at_hands, suspects
from scip_mpi.devices import DeviceLost
from scip_mpi.errors import RanksLost


def in_hand(folder: Path) -> list[tuple[int, int, int, int]]:
    return [(h.start, h.rank, h.lo, h.hi) for h in look_at_hands(folder)]


def test_what_is_in_hand_is_the_innermost_and_gone_when_it_is_done(tmp_path: Path) -> None:
    hand = Hand(hand_path(tmp_path, 2, 7))
    assert in_hand(tmp_path) == []
    with hand.at(10, 20):
        with hand.at(3, 4):
            assert in_hand(tmp_path) == [(2, 7, 3, 4)]
        assert in_hand(tmp_path) == [(2, 7, 10, 20)]
    assert in_hand(tmp_path) == [(2, 7, -1, -1)]
    hand.close()


def test_after_an_error_it_stays_in_hand(tmp_path: Path) -> None:
    hand = Hand(hand_path(tmp_path, 0, 0))
    with pytest.raises(ValueError, match="a bug"), hand.at(5, 9):
        raise ValueError("a bug")
    hand.close()
    assert in_hand(tmp_path) == [(0, 0, 5, 9)]


@pytest.mark.parametrize("error", [DeviceLost, RanksLost])
def test_who_goes_on_after_an_error_has_nothing_in_hand(
    error: type[Exception], tmp_path: Path
) -> None:
    hand = Hand(hand_path(tmp_path, 0, 0))
    with pytest.raises(error), hand.at(5, 9):
        raise error("it is gone")
    assert in_hand(tmp_path) == [(0, 0, -1, -1)]
    hand.close()


@pytest.mark.parametrize("place", range(28))
def test_a_damaged_slot_says_nothing(place: int, tmp_path: Path) -> None:
    hand = Hand(hand_path(tmp_path, 0, 0))
    with hand.at(5, 9):
        raw = bytearray(hand.path.read_bytes())
        raw[place] ^= 4
        hand.path.write_bytes(raw)
        assert in_hand(tmp_path) == [(0, 0, -1, -1)]
        hand.path.write_bytes(raw[:place])
        assert in_hand(tmp_path) == [(0, 0, -1, -1)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("SIGSEGV", "Segmentation fault"),
        ("SIGBUS", "Bus error"),
        ("SIGABRT", "Aborted"),
        ("SIGKILL", ""),
        ("SIGTERM", ""),
    ],
)
def test_a_crash_is_told_from_a_kill(name: str, said: str, tmp_path: Path) -> None:
    code = (
        "import os, resource, signal, sys; from pathlib import Path\n"
        "from scip_mpi.checkpoint.hands import Hand, hand_path\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "hand = Hand(hand_path(Path(sys.argv[1]), 0, 3)); hand.trace_crashes()\n"
        "with hand.at(5, 9): os.kill(os.getpid(), int(sys.argv[2]))\n"
    )
    number = signal.Signals[name]
    command = [sys.executable, "-c", code, str(tmp_path), str(int(number))]
    done = subprocess.run(command, check=False)
    assert done.returncode == -number
    assert [(h.lo, h.hi, h.crash) for h in look_at_hands(tmp_path)] == [(5, 9, said)]


def held(start: int, lo: int, hi: int, crash: str = "") -> Held:
    return Held(Path(), start, 0, lo, hi, crash)


@pytest.mark.parametrize(
    ("ends", "images"),
    [
        ([], []),
        ([held(0, -1, -1), held(1, -1, -1, "Aborted")], []),
        # Killed once; and two ranks that had the same image in hand are one end.
        ([held(0, 4, 8)], []),
        ([held(0, 4, 8), held(0, 6, 7)], []),
        ([held(0, 4, 8), held(1, 8, 12)], []),
        ([held(0, 4, 8), held(3, 6, 10)], [6, 7]),
        ([held(0, 4, 6, "Segmentation fault"), held(0, 9, 12)], [4, 5]),
        ([held(0, 4, 8), held(1, 7, 9), held(2, 20, 22, "Bus error")], [7, 20, 21]),
    ],
)
def test_who_is_suspected(ends: list[Held], images: list[int]) -> None:
    assert suspects(ends).tolist() == images
