"""A finished run's facts, made up: two groups, two channels, everything as it should be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from scip_mpi.report.choice import choose
from scip_mpi.report.facts import Facts, Failures
from scip_mpi.report.images import Discarded, Images
from scip_mpi.report.rules import rules_in
from scip_mpi.report.sample import FACTS, Columns, Sample

CHANNELS = ["BF", "DNA"]
GROUPS = ["plate 1", "plate 2"]
ROWS = 400
NAMES = [
    ("mean_BF", "intensity", "li", "BF"),
    ("mean_DNA", "intensity", "li", "DNA"),
    ("area_combined", "shape", "li", "combined"),
    ("area_BF", "shape", "li", "BF"),
    ("area_DNA", "shape", "li", "DNA"),
    ("mean_BF", "raw", "raw", "BF"),
]
RANK = {
    "rank": 0, "node": "n0", "roles": "manager + segmenter + featurizer", "device": None,
    "rows": ROWS, "cpu_s": 12.0, "peak_memory_bytes": 2**28,
    "busy": {"wall_s": 10.0, "cpu_s": 9.0},
    "stages": {"segment": {"wall_s": 6.0, "cpu_s": 5.5}, "read": {"wall_s": 1.0, "cpu_s": 0.5},
               "wait": {"wall_s": 1.0, "cpu_s": 0.0}},
    "timeline": {"start_s": 1000.0, "bin_s": 1.0, "stages": {
        "read": [1.0, 0.0, 0.0, 0.0], "segment": [0.0, 1.0, 0.5, 0.0],
        "wait": [0.0, 0.0, 0.5, 0.0], "write": [0.0, 0.0, 0.0, 1.0]}},
    "costs": {"chunks": [[100, 2.0], [100, 2.2]], "runs": [[200, 1.0]]},
}  # fmt: skip


def told(**changes: Any) -> dict[str, Any]:
    """run.json."""
    return {
        "program": "0.1.0", "versions": {"python": "3.11", "numpy": "2.0"},
        "command": ["scip_mpi", "run", "scip.yml", "my images"], "config": "load: {format: tiff}\n",
        "fingerprint": "f" * 64, "images": 420, "rows": ROWS, "columns": len(NAMES),
        "channels": CHANNELS, "mask_sets": ["li"], "notes": [], "layout": [], "out": "out",
        "filter": {"of": "range of sum_DNA", "rule": "range", "bounds": [[10.0, None]],
                   "objects": 420, "kept": ROWS, "without_statistic": 0},
        "exit_code": 0, "failed_images": 0, "started": "2026-11-25T12:30:23+0000",
        "wall_s": 20.0, "overflows": 0, "writer": "posix", "deaths": [],
        "paths": ["my images"], "cwd": "/", "ranks": [RANK],
    } | changes  # fmt: skip


def columns(**changes: Any) -> Columns:
    """What stands in var."""
    feature, family, mask_set, channel = (np.array(c, object) for c in zip(*NAMES, strict=True))
    facts = dict.fromkeys(FACTS, np.full(len(NAMES), "", object))
    facts |= {"feature": feature, "family": family, "mask_set": mask_set, "channel": channel}
    names = np.array([f"feat_{s}_{f}" for f, _, s, _ in NAMES], object)
    none = np.zeros(len(NAMES), np.int64)
    return replace(Columns(names, facts, none, none.astype(bool)), **changes)


def table(seed: int = 0) -> dict[int, np.ndarray]:
    """Columns of X: rows by turns of one group and the other, which do not differ."""
    rng = np.random.default_rng(seed)
    return {
        k: rng.normal(100 + 50 * k, 10, ROWS).astype(np.float32) for k in range(len(NAMES))
    }  # fmt: skip


def facts(
    X: Mapping[int, np.ndarray] | None = None,
    numbers: Mapping[str, np.ndarray] | None = None,
    images: Images | None = None,
    **changes: Any,
) -> Facts:
    """Everything that was read from OUT."""
    run = changes.pop("told", told())
    group = np.arange(ROWS) % 2
    names = [f"{k}_1" for k in range(ROWS)]
    obs = {"failed": np.zeros(ROWS, bool), "filter_sum_DNA": np.linspace(10, 90, ROWS)}
    obs |= {"li_regions_BF": np.ones(ROWS, np.int64), "li_regions_DNA": np.ones(ROWS, np.int64)}
    sample = Sample(
        total=ROWS,
        rows=np.arange(ROWS),
        names=names,
        X=dict(table() if X is None else X),
        numbers=obs | dict(numbers or {}),
        texts={
            "image": (np.arange(ROWS), [f"cell_{k}.tif" for k in range(ROWS)]),
            "group": (group, list(GROUPS)),
        },
        columns=changes.pop("columns", columns()),
    )
    gone = Discarded(
        total=20,
        reasons={"range of sum_DNA": 20},
        images=[f"gone_{k}.tif" for k in range(20)],
        index=np.arange(400, 420),
        group=np.arange(20) % 2,
        label=np.ones(20, np.int64),
        statistics={"sum_DNA": np.linspace(1, 9, 20)},
    )
    return Facts(
        out=Path("out"),
        table=Path("out/features.h5ad"),
        told=run,
        groups=list(GROUPS),
        channels=list(CHANNELS),
        sets=["li"],
        sample=sample,
        choice=choose(sample.columns, CHANNELS, ["li"], ROWS),
        images=images or counted(),
        discarded=changes.pop("discarded", gone),
        rules=rules_in(run["filter"]),
        failures=changes.pop("failures", Failures(0, [], {})),
    )


def counted(**changes: Any) -> Images:
    """Sums over the images: one cell in each."""
    half, none = np.array([210, 210]), np.zeros(2, np.int64)
    counts = np.zeros(401, np.int64)
    counts[1] = 420
    held = {c: none for c in CHANNELS}
    whole = {
        "groups": list(GROUPS), "images": half, "found": half, "kept": np.array([200, 200]),
        "failed": none, "empty": none, "counts": counts, "measured": half,
        "saturated": held, "dark": held,
    } | changes  # fmt: skip
    return Images(**whole)
