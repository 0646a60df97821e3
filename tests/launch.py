"""Starting the program as its users do: alone, and under mpiexec."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

# The environment whose h5py was built against parallel HDF5, by `bash .ci/parallel_h5py`.
H5PY = Path(__file__).resolve().parents[1] / ".venv-h5py" / "bin" / "python"
# The MPI of the system: Debian's Open MPI, by `bash .ci/system_mpi`. The mpi4py wheel works with it
# when told where it is.
SYSTEM_MPI = Path("/usr/bin/mpiexec.openmpi")
SYSTEM_OPTIONS = ("--allow-run-as-root", "--oversubscribe", "--mca", "osc", "^ucx")
SYSTEM_LIBRARY = {"MPI4PY_LIBMPI": "/usr/lib/x86_64-linux-gnu/libmpi.so.40"}
# Open MPI 5, of which ranks may outlive others, by `bash .ci/ulfm`. It says so by a variable.
ULFM = Path(__file__).resolve().parents[1] / ".venv-ulfm"
ULFM_OPTIONS = ("--with-ft", "ulfm", "--allow-run-as-root", "--oversubscribe")
ULFM_ENVIRON = {
    "MPI4PY_LIBMPI": str(ULFM / "lib" / "libmpi.so.40"),
    "OMPI_MCA_osc": "^ucx",
}
# `SCIP_MPI_TESTS_SYSTEM=2 pytest -m mpi` runs the tests of several ranks with that MPI, at 2 ranks.
SYSTEM_RANKS = int(os.environ.get("SCIP_MPI_TESTS_SYSTEM", "0"))
# Ranks of tests for which any number would do.
RANKS = SYSTEM_RANKS or 4
# A hang guard, an order of magnitude above the usual time.
PATIENCE = 600


def launch(
    arguments: Sequence[str | Path],
    ranks: int | None = None,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    python: Path = Path(sys.executable),
    system: bool = SYSTEM_RANKS > 0,
) -> subprocess.CompletedProcess[str]:
    """Run ``PYTHON ARGUMENTS``, under ``mpiexec -n RANKS`` if ranks are given.

    The mpiexec is Python's own, or the system's with the system's MPI.
    """
    command = [str(python), *map(str, arguments)]
    if ranks is not None and system:
        environ = {**SYSTEM_LIBRARY, **(environ or {})}
        command = [str(SYSTEM_MPI), *SYSTEM_OPTIONS, "-n", str(ranks), *command]
    elif ranks is not None:
        command = [str(python.with_name("mpiexec")), "-n", str(ranks), *command]
    shim = python.parent.parent / "shim"
    if shim.is_dir():
        environ = {"LD_LIBRARY_PATH": str(shim), **(environ or {})}
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
    *arguments: str | Path,
    ranks: int | None = None,
    cwd: Path | None = None,
    report: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m scip_mpi ARGUMENTS``.

    A ``run`` leaves no report unless that is asked for: it is a second of work.
    """
    if arguments[:1] == ("run",) and not report:
        arguments = (*arguments, "--no-report")
    return launch(["-m", "scip_mpi", *arguments], ranks, cwd=cwd)


def blocks(language: str) -> list[str]:
    """The README's examples in a language, and those of the site's pages."""
    root = Path(__file__).resolve().parents[1]
    pages = [root / "README.md", *sorted((root / "docs").glob("*.md"))]
    fence = rf"^```{language}\n(.*?)^```"
    return [b for page in pages for b in re.findall(fence, page.read_text(), flags=re.S | re.M)]


def documented_block(word: str, language: str = "python") -> str:
    """The only example in a language that has a word in it."""
    (block,) = (b for b in blocks(language) if word in b)
    return block
