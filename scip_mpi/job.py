"""A run as each rank sees it: what was asked for, the plan, and what it works with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from scip_mpi.checkpoint.journal import Found
from scip_mpi.config import Config
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog, Failure
from scip_mpi.parallel.world import World
from scip_mpi.pipeline import Stages
from scip_mpi.plan import Plan
from scip_mpi.progress import Progress
from scip_mpi.recording import Recorder
from scip_mpi.results.folder import Claim
from scip_mpi.segmentation.gpu.use import DeviceUse
from scip_mpi.signals import StopFlag
from scip_mpi.timers import Timers

T = TypeVar("T")


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line.

    ``labels`` are a CSV whose columns colour the cells in the report, if there is to be one.
    """

    config: Path
    paths: list[str]
    out: Path
    overwrite: bool = False
    strict: bool = False
    writer: str = "auto"
    quiet: bool = False
    report: bool = False
    labels: Path | None = None


@dataclass
class Past:
    """What a run has come to in worlds of which ranks have died (`RanksLost`).

    Attributes
    ----------
    started, begun : float
        When, by the clock on the wall, which may jump, and by one that does not.
    deaths : list of dict
        For run.json.
    timers : Timers
        Those of the world before, whose ``latest`` tells in which stage ranks have died.
    config : Config, optional
    catalog, claim, code
        On rank 0: what stays as it is, and the exit code once all is published or given up.
    """

    started: float = field(default_factory=time.time)
    begun: float = field(default_factory=time.monotonic)
    deaths: list[dict[str, Any]] = field(default_factory=list)
    timers: Timers = field(default_factory=Timers)
    config: Config | None = None
    catalog: Catalog | None = None
    claim: Claim | None = None
    code: int | None = None


@dataclass
class Job:
    """What a rank works with from beginning to end.

    ``catalog``, ``claim``, ``holders`` (the rank that holds each chunk, by its first image) and
    ``found`` (what earlier starts have left) mean something on rank 0 only. ``device`` is what the
    rank segments on, if not the CPU; ``fatal`` are the images that kill the process that works on
    them, by their place; ``beat`` says between batches that it lives, where no thread may.
    """

    world: World
    request: Request
    plan: Plan
    stages: Stages
    progress: Progress
    catalog: Catalog | None
    claim: Claim | None
    recorder: Recorder
    timers: Timers = field(default_factory=Timers)
    stop: StopFlag = field(default_factory=StopFlag)
    past: Past = field(default_factory=Past)
    holders: dict[int, int] = field(default_factory=dict)
    device: DeviceUse | None = None
    beat: Callable[[], None] = field(default=lambda: None)
    found: Found | None = None
    fatal: dict[int, Failure] = field(default_factory=dict)


class EndedEarly(Exception):
    """Every rank has left the run: a signal came, or an image failed under `on_error: abort`."""


def agree(world: World, make: Callable[[], T]) -> T:
    """Rank 0 makes something for all; what the user must mend is raised on every rank alike."""
    value: Any = None
    if world.rank == 0:
        try:
            value = make()
        except UserError as error:
            value = UserError(str(error))
    value = world.bcast(value)
    if isinstance(value, UserError):
        raise value
    return value
