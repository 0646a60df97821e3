"""The report: one page about a finished run, for people.

Its libraries are those of the extra ``report``; they are imported on one rank, when there is a
report to be written.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from scip_mpi import disk

NAME = "report.html"
# What pip installs the libraries by.
EXTRA = "pip install 'scip_mpi[report]'"


def lacking() -> str:
    """What to do to get a report, where its library is not there; nothing where it is."""
    if importlib.util.find_spec("jinja2") is not None:
        return ""
    return f"a report needs jinja2: {EXTRA}"


def put(page: Path, text: str) -> Path:
    """Write a page, whole or not at all."""
    fresh = page.with_name(f"{page.name}.partial")
    try:
        fresh.write_text(text, encoding="utf-8")
        disk.replace(fresh, page)
    finally:
        fresh.unlink(missing_ok=True)
    return page
