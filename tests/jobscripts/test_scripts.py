"""The jobscripts are of one style; tests/slurm/test_jobscripts.py submits them."""

from __future__ import annotations

import re
import subprocess

import pytest
from scripts import APART, BEGIN, FOLDER, parts

NAMES = sorted(p.name for p in FOLDER.iterdir() if p.suffix in (".slurm", ".pbs"))
SLURM = [name for name in NAMES if name.endswith(".slurm")]
every_script = pytest.mark.parametrize("name", NAMES)


def block(name: str) -> list[str]:
    """The settings that all scripts share."""
    below = parts(name)[2]
    return below[1 : below.index("")]


def test_there_are_nine() -> None:
    assert len(NAMES) == 9
    assert len(SLURM) == 8


@every_script
def test_bash_understands_it(name: str) -> None:
    done = subprocess.run(["bash", "-n", FOLDER / name], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@every_script
def test_four_lines_on_top_are_to_edit(name: str) -> None:
    above, ours, below = parts(name)
    assert len([line for line in ours if line != APART]) == 4
    assert above[0] == "#!/bin/bash -l"
    assert above[-1] == BEGIN
    assert all(line.startswith("#") for line in above)
    # What comes from a site or a job stands among them alone.
    assert not re.search(r"my_project|\.venv|scip\.yml|\btable\b", "\n".join(below))
    # Slurm and Torque read their options up to the first command.
    assert not any(line.startswith(("#SBATCH", "#PBS")) for line in below)


@every_script
def test_errors_are_not_lost(name: str) -> None:
    lines = block(name)
    assert lines[0] == "set -euo pipefail"
    text = (FOLDER / name).read_text()
    for started in re.findall(r"^srun .*$|\"srun .*$", text, re.MULTILINE):
        assert "--kill-on-bad-exit=1" in started
        assert '--mpi="$mpi"' in started or "--mpi=$mpi" in started


@pytest.mark.parametrize("name", [n for n in NAMES if n != "strong_scaling.slurm"])
def test_check_comes_before_the_run(name: str) -> None:
    text = "\n".join(parts(name)[2])
    started = re.search(r"^(srun|mympirun) ", text, re.MULTILINE)
    assert started is not None
    assert text.index("python -m scip_mpi check ") < started.start()


def test_all_set_threads_and_caches_alike() -> None:
    usual = block("cpu_node.slurm")
    for variable in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA"):
        assert f"{variable}_NUM_THREADS=1" in "\n".join(usual)
    for variable in ("NUMBA_CACHE_DIR", "HDF5_USE_FILE_LOCKING", "SRUN_CPUS_PER_TASK",
                     "MPIR_CVAR_PMI_VERSION"):  # fmt: skip
        assert f"export {variable}=" in "\n".join(usual)
    for name in SLURM:
        # Variables of a heterogeneous job have other names, one for each part.
        wanted = [x.replace("${SLURM_CPUS_PER_TASK:-1}", "1") for x in usual]
        assert block(name) == (wanted if name == "gpu_het.slurm" else usual)
    torque = [x.replace("SLURM_JOB_ID", "PBS_JOBID") for x in usual[:-4]]
    assert block("hortense.pbs") == torque


def test_the_readme_says_which_to_take() -> None:
    text = (FOLDER / "README.md").read_text()
    assert [n for n in NAMES if f"`{n}`" not in text] == []
