from __future__ import annotations

import io

import pytest

from scip_mpi.progress import Lines, Silent, clock, open_progress


def test_a_log_gets_a_line_at_the_end_of_a_stage() -> None:
    stream = io.StringIO()
    progress = open_progress(quiet=False, stream=stream)
    progress.start("segment", 1200, "images")
    progress.advance(1000)
    progress.advance(200, failed=3)
    progress.finish()
    (line,) = stream.getvalue().splitlines()
    assert "segment: 1,200 of 1,200 images" in line
    assert "/s" in line
    assert "3 failed" in line


def test_a_long_stage_says_how_much_is_left() -> None:
    stream = io.StringIO()
    progress = Lines(stream, interval=0)
    progress.start("features", 1000, "images")
    progress.advance(10)
    assert "left" in stream.getvalue()


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    progress = open_progress(quiet=True)
    assert isinstance(progress, Silent)
    progress.start("segment", 1, "images")
    progress.advance(1)
    progress.say("something")
    progress.finish()
    progress.close()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert clock(seconds) == words
