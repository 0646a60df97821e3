"""Jobscripts as people use them: the four lines to edit replaced, nothing else."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "jobscripts"
BEGIN, END = "# ---- edit these four lines ----", "# ---- nothing to edit below ----"
# Between the parts of a heterogeneous job, and not to edit.
APART = "#SBATCH hetjob"
# Instead of activating an environment: this one, with this checkout and the tests' own plugins.
SETUP = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={ROOT}:{ROOT}/tests/slurm"


def parts(name: str) -> tuple[list[str], list[str], list[str]]:
    """Lines of a script before, among and after those to edit."""
    lines = (FOLDER / name).read_text().splitlines()
    begin, end = lines.index(BEGIN), lines.index(END)
    return lines[: begin + 1], lines[begin + 1 : end], lines[end:]


def edited(name: str, lines: Sequence[str], folder: Path) -> Path:
    """A copy of a script in a folder, with these lines for the four to edit."""
    above, ours, below = parts(name)
    waiting = iter(lines)
    chosen = [line if line == APART else next(waiting) for line in ours]
    assert len(lines) == len([line for line in ours if line != APART]) == 4
    path = folder / name
    path.write_text("\n".join([*above, *chosen, *below]) + "\n")
    return path
