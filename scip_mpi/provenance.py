"""What was run, on what, with what, and where the time went: run.json."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
import time
from importlib.metadata import version
from typing import Any

import scip_mpi
from scip_mpi.holdings import Survivors
from scip_mpi.job import Job
from scip_mpi.loaders.contract import Failure
from scip_mpi.parallel.roles import describe, describe_layout
from scip_mpi.recording import Outcome

# Ranks whose timelines are told: those of thousands would be longer than the rest of run.json.
DETAILED = 64
LIBRARIES = ("numpy", "numba", "h5py", "scikit-image", "tifffile", "pandas", "pyarrow", "mpi4py")


def provenance(job: Job, survivors: Survivors) -> dict[str, Any]:
    """What was run, on what, with what: for uns and run.json."""
    plan = job.plan
    return {
        "program": scip_mpi.__version__,
        "versions": {"python": platform.python_version()} | {n: version(n) for n in LIBRARIES},
        "command": sys.argv,
        "config": job.request.config.read_text(encoding="utf-8"),
        "fingerprint": plan.fingerprint,
        "images": plan.images,
        "rows": survivors.total,
        "columns": len(plan.columns),
        "channels": plan.channel_names,
        "mask_sets": [s for s in plan.sets if s],
        "filter": None if survivors.verdict is None else survivors.verdict.description,
        "roles": [describe(r) for r in plan.roles],
        "layout": list(describe_layout(plan.layout)),
        "notes": plan.notes,
    }


def rank_facts(job: Job, outcome: Outcome) -> dict[str, Any]:
    """What run.json says of a rank; of some ranks only, where they are many, its details too."""
    detailed = job.world.rank % -(-job.world.size // DETAILED) == 0
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rank": job.world.rank,
        "node": job.world.node(),
        "roles": describe(job.plan.roles[job.world.rank]),
        "device": None if job.device is None else job.device.facts(),
        "rows": outcome.rows,
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "busy": job.timers.busy(),
        "stages": job.timers.summary(),
        "timeline": job.timers.timeline.summary() if detailed else None,
        "costs": {kind: samples.items for kind, samples in job.timers.costs.items()}
        if detailed
        else None,
    }


def write_run_json(
    job: Job, survivors: Survivors, failures: list[Failure], code: int, facts: dict[str, Any]
) -> None:
    """OUT/run.json."""
    told = provenance(job, survivors) | {
        "exit_code": code,
        "failed_images": len({f.index for f in failures}),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(job.past.started)),
        "wall_s": round(time.monotonic() - job.past.begun, 3),
        "out": os.fspath(job.request.out),
        "cwd": os.getcwd(),
        "paths": list(job.request.paths) or list(job.plan.config.load.paths or ()),
        **facts,
    }
    (job.request.out / "run.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
