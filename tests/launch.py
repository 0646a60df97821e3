"""Starting the program as its users do: alone, and under mpiexec."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

MPIEXEC = Path(sys.executable).with_name("mpiexec")
# A hang guard, an order of magnitude above the usual time.
PATIENCE = 600


def launch(
    arguments: Sequence[str | Path],
    ranks: int | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``python ARGUMENTS``, under ``mpiexec -n RANKS`` if ranks are given."""
    command = [sys.executable, *map(str, arguments)]
    if ranks is not None:
        command = [str(MPIEXEC), "-n", str(ranks), *command]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", **(environ or {})},
        check=False,
    )


def scip(
    *arguments: str | Path, ranks: int | None = None, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m scip_mpi ARGUMENTS``."""
    return launch(["-m", "scip_mpi", *arguments], ranks, cwd=cwd)
