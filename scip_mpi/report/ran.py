"""The section that says what was run: inputs, versions, ranks, times."""

from __future__ import annotations

import datetime
import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

from scip_mpi.progress import clock
from scip_mpi.report import charts
from scip_mpi.report.timing import balance, cpu_by_stage, timelines

# Ranks whose timelines are drawn.
DRAWN = 64
# Stages that cost the same however many images there are.
FIXED = ("compile", "create")
# Letters of a long list that are shown.
LONG = 2000
WORDS = {
    "busy": "busy: masks and features",
    "reading": "reading",
    "writing": "writing and sending",
    "waiting": "waiting",
}


def what_was_run(told: Mapping[str, Any]) -> dict[str, Any]:
    """For the page: rows of (name, text), stages with their cost, the timeline.

    Parameters
    ----------
    told : mapping
        run.json.
    """
    ranks = list(told.get("ranks") or [])
    lines = timelines(ranks[:DRAWN] if len(ranks) <= DRAWN else ranks)[:DRAWN]
    return {
        "rows": list(_rows(told, ranks)),
        "stages": _stages(told, ranks),
        "fixed": sum(cpu_by_stage(ranks).get(name, 0.0) for name in FIXED),
        "timeline": charts.timeline(lines) if lines else "",
        "legend": charts.legend(WORDS),
        "drawn": len(lines),
        "ranks": len(ranks),
        "balance": balance(ranks),
        "versions": {"scip_mpi": told["program"], **told["versions"]},
        "config": told["config"],
        "layout": told.get("layout", []),
        "notes": told.get("notes", []),
    }


def _rows(told: Mapping[str, Any], ranks: list[dict[str, Any]]) -> list[tuple[str, str]]:
    wall = float(told.get("wall_s") or 0.0)
    rows = [("command", _short(shlex.join(told.get("command", []))))]
    if told.get("paths"):
        rows.append(("inputs", _short(", ".join(told["paths"]))))
    if told.get("merged"):
        rows.append(("joined from", _short(", ".join(part["source"] for part in told["merged"]))))
    rows.append(("started", _moment(told["started"], 0.0)))
    rows.append(("ended", f"{_moment(told['started'], wall)}, after {_duration(wall)}"))
    if ranks:
        roles = Counter(rank["roles"] for rank in ranks)
        nodes = len({rank["node"] for rank in ranks})
        text = ", ".join(f"{n} x {role}" for role, n in roles.items())
        rows.append(("ranks", f"{len(ranks):,} on {nodes:,} node{'s' * (nodes > 1)}: {text}"))
    devices = Counter(r["device"]["name"] for r in ranks if r.get("device"))
    if devices:
        rows.append(("devices", ", ".join(f"{n} x {name}" for name, n in devices.items())))
    if wall and ranks:
        images = told["images"]
        each = [charts.number(count / wall) for count in (images, told["rows"])]
        rows.append(("speed", f"{each[0]} images and {each[1]} rows a second"))
        cpu = sum(rank["cpu_s"] for rank in ranks)
        peak = max(rank["peak_memory_bytes"] for rank in ranks) / 2**20
        rows.append(("CPU time", f"{cpu:,.1f} s, {1e3 * cpu / max(images, 1):,.3g} ms an image"))
        rows.append(("memory", f"at most {peak:,.0f} MiB a rank"))
    columns = f"{told['columns']:,} in mask sets {', '.join(told['mask_sets']) or 'none'}"
    rows.append(("columns", columns))
    rows.append(("channels", ", ".join(told["channels"])))
    rows.append(("fingerprint", told["fingerprint"][:16]))
    return rows


def _short(text: str) -> str:
    return text if len(text) <= LONG else f"{text[:LONG]} ..."


def _moment(started: str, after: float) -> str:
    moment = datetime.datetime.strptime(started, "%Y-%m-%dT%H:%M:%S%z")
    return (moment + datetime.timedelta(seconds=after)).strftime("%Y-%m-%d %H:%M:%S %z")


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def _stages(told: Mapping[str, Any], ranks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Stages, the dearest first: name, milliseconds of CPU time an image, share of the dearest."""
    spent = {name: seconds for name, seconds in cpu_by_stage(ranks).items() if name not in FIXED}
    top = max(spent.values(), default=1.0)
    return [
        {"name": name, "ms": 1e3 * seconds / max(told["images"], 1), "share": seconds / top}
        for name, seconds in spent.items()
    ]
