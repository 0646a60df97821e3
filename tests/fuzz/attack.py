"""A process that reads damaged files, case after case, and says how each ended.

    python tests/fuzz/attack.py TARGET WHOLE FIRST LAST REPORT

reads the case numbers FIRST to LAST - 1 of a target whose whole files are in the folder WHOLE, and
appends a line for each to REPORT: before it is tried, and when it has ended. So whoever started it
knows at which case it was killed.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.corpus import TARGETS, Target

from scip_mpi.errors import UserError

# Bytes that reading a few small damaged files may take beyond what the process has already.
BUDGET = 1 << 30
# Seconds after which a case counts as hanging: a thousand times what one takes.
PATIENCE = 60


def damaged(target: str, case: int, whole: Path, folder: Path) -> str:
    """A copy of the files in which one, by the case's number, is damaged; which one."""
    rng = np.random.default_rng([case, *target.encode()])
    shutil.copytree(whole, folder)
    return TARGETS[target].damage(folder, rng)


def attempt(target: Target, folder: Path) -> str:
    """How reading ends: ``read``, ``failed`` (some images), ``refused``, or what escaped."""
    before = listing(folder)
    try:
        _, failures = target.read(folder)
        ending = "failed" if failures else "read"
    except UserError as error:
        ending = "refused" if str(error) else "escaped: nothing is said"
    except Exception as error:  # whatever escapes is what is looked for
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(at.filename).name}:{at.lineno}"
        return f"escaped {type(error).__name__} at {where}: {' '.join(str(error).split())[:300]}"
    return ending if listing(folder) == before else "escaped: it wrote beside the images"


def listing(folder: Path) -> list[tuple[str, int]]:
    """Names and sizes of all files."""
    return sorted((str(p), p.stat().st_size) for p in folder.rglob("*"))


def main(name: str, whole: Path, first: int, last: int, report: Path) -> None:
    """Try cases."""
    target = TARGETS[name]
    # What is loaded and compiled once counts for nobody.
    _, failures = target.read(whole)
    assert not failures, "the whole files cannot be read"
    (pages,) = Path("/proc/self/statm").read_text().split()[:1]
    limit = int(pages) * resource.getpagesize() + BUDGET
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with report.open("a", buffering=1) as lines, tempfile.TemporaryDirectory() as room:
        for case in range(first, last):
            folder = Path(room) / str(case)
            victim = damaged(name, case, whole, folder)
            lines.write(f"{case}\t{victim}\tbegun\n")
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            ending = attempt(target, folder)
            faulthandler.cancel_dump_traceback_later()
            lines.write(f"{case}\t{victim}\t{ending}\n")
            for left in Path(room).iterdir():
                shutil.rmtree(left)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
    sys.stdout.flush()
    os._exit(0)
