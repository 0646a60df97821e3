"""The demo: simulated cells, the main job on them, and the report with what was simulated."""

from __future__ import annotations

from pathlib import Path

from scip_mpi import simulation
from scip_mpi.job import Request, agree
from scip_mpi.parallel.guard import abort_guard
from scip_mpi.parallel.pulse import Pulse
from scip_mpi.parallel.world import enter
from scip_mpi.run import conclude, run


def start(out: Path, number: int, quiet: bool) -> int:
    """Simulate ``number`` cells in ``out`` unless they are there, and run the job on them."""
    world = enter()

    def images() -> None:
        if not (out / "truth.csv").is_file():
            simulation.write(out, number)

    with abort_guard(world):
        request = Request(
            out / "scip.yml",
            [str(out / "images")],
            out / "table",
            overwrite=True,
            quiet=quiet,
            report=True,
            labels=out / "truth.csv",
        )

        def job(pulse: Pulse) -> int:
            agree(world, images)
            return run(world, request, pulse=pulse)

        return conclude(world, job)
