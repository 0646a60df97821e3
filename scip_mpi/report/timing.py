"""What run.json says of the ranks: who was busy when, how evenly, and what an image cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from scip_mpi.batches import FloatArray

# What the stages of a run are in the picture of its ranks.
KINDS = {
    "reading": ("read",),
    "busy": ("compile", "illumination", "segment", "measure", "normalize", "features", "export"),
    "writing": ("write", "create", "record", "send"),
    "waiting": ("wait", "sync", "reduce"),
}
# Seconds of work below which nothing is said of a rank's pace, and how much slower is slow.
LEAST_WORK = 1.0
SLOW = 2.0


@dataclass(frozen=True)
class Timeline:
    """What a rank did along the run.

    Attributes
    ----------
    rank : int
    start : float
        Seconds since the first rank began.
    width : float
        Seconds of a bin.
    shares : dict of str to ndarray of float64
        Of each of `KINDS`, the share of each bin.
    """

    rank: int
    start: float
    width: float
    shares: dict[str, FloatArray]


def timelines(ranks: list[dict[str, Any]], bins: int = 240) -> list[Timeline]:
    """Those of the ranks of which run.json has them, in at most so many bins each."""
    told = [r for r in ranks if r.get("timeline") and r["timeline"]["stages"]]
    began = min((r["timeline"]["start_s"] for r in told), default=0.0)
    out = []
    for rank in told:
        own = rank["timeline"]
        count = max(map(len, own["stages"].values()))
        join = -(-count // bins)
        shares = {}
        for kind, stages in KINDS.items():
            seconds = np.zeros(-(-count // join) * join)
            for name in stages:
                values = own["stages"].get(name, [])
                seconds[: len(values)] += values
            shares[kind] = seconds.reshape(-1, join).sum(axis=1) / (own["bin_s"] * join)
        out.append(Timeline(rank["rank"], own["start_s"] - began, own["bin_s"] * join, shares))
    return out


def balance(ranks: list[dict[str, Any]]) -> float | None:
    """The mean of the ranks' seconds of work over the longest; None where there are none."""
    busy = [r["busy"]["wall_s"] for r in ranks if "busy" in r]
    return sum(busy) / len(busy) / max(busy) if busy and max(busy) > 0 else None


def cpu_by_stage(ranks: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of CPU time of all ranks in each stage, most first; stages without any left out."""
    sums: dict[str, float] = {}
    for rank in ranks:
        for name, seconds in rank["stages"].items():
            sums[name] = sums.get(name, 0.0) + seconds["cpu_s"]
    return {n: s for n, s in sorted(sums.items(), key=lambda item: -item[1]) if s >= 5e-4}


def slow_ranks(ranks: list[dict[str, Any]]) -> list[tuple[dict[str, Any], float]]:
    """Ranks whose images, or rows, took them `SLOW` times as long as the others, and how much."""
    found: dict[int, tuple[dict[str, Any], float]] = {}
    for kind in ("chunks", "runs"):
        pace = {}
        for rank in ranks:
            pieces = (rank.get("costs") or {}).get(kind) or []
            items, seconds = (sum(p[k] for p in pieces) for k in (0, 1))
            if items and seconds >= LEAST_WORK:
                pace[rank["rank"]] = seconds / items, rank
        if len(pace) < 2:
            continue
        for number, (own, rank) in pace.items():
            usual = float(np.median([p for n, (p, _) in pace.items() if n != number]))
            if own >= SLOW * usual and own / usual > found.get(number, (None, 0.0))[1]:
                found[number] = rank, own / usual
    return list(found.values())
