from __future__ import annotations

import io
import re

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


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("plain", [False, True])
def test_bars_are_without_colours_where_nobody_wants_them(
    plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if plain:
        monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    progress = open_progress(quiet=False, stream=stream)
    progress.start("segment", 10, "images")
    progress.advance(10, failed=2)
    progress.say("note: [a] text")
    progress.finish()
    progress.close()
    text = stream.getvalue()
    assert "10/10" in text
    assert "2 failed" in text
    assert "note: [a] text" in text
    # Colours are 30 to 49 and 90 to 107; bold, dim and moves of the cursor are none.
    coloured = [
        code
        for codes in re.findall(r"\x1b\[([\d;]*)m", text)
        for code in codes.split(";")
        if code.isdigit() and (30 <= int(code) <= 49 or 90 <= int(code) <= 107)
    ]
    assert bool(coloured) != plain
