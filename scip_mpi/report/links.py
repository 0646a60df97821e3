"""Links from the report to pages that other commands write beside it, sooner or later."""

from __future__ import annotations

from pathlib import Path

from scip_mpi.report import NAME, put

# Pages, and what they are.
PAGES = {"classification.html": "Classification"}
# What the links of a report stand between.
BEGIN, END = "<!--pages-->", "<!--/pages-->"


def links(out: Path) -> str:
    """Links to the pages that are in OUT, for the report's list of sections."""
    there = [(name, what) for name, what in PAGES.items() if (out / name).is_file()]
    items = "".join(f'<li><a href="{name}">{what}</a></li>' for name, what in there)
    return f"{BEGIN}{items}{END}"


def link_pages(out: Path) -> None:
    """Have the report in OUT, if there is one, link the pages that are there now."""
    path = out / NAME
    if not path.is_file():
        return
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if begin and end:
        put(out / NAME, f"{before}{links(out)}{after}")
