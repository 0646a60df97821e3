"""A log that cannot be written is no reason to lose a run."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config
from launch import launch
from tables import obs_names

from scip_mpi.log import Log


@pytest.mark.parametrize("stderr", ["2>/dev/full", "2>&-", "2>&1 | true"])
def test_a_run_does_not_need_its_log(stderr: str, shared_dir: Path, tmp_path: Path) -> None:
    cells = copy_cells(jurkat_files(shared_dir, 4), tmp_path / "cells")
    config, out = write_config(tmp_path / "scip.yml"), tmp_path / "out"
    command = f"{sys.executable} -m scip_mpi run {config} {cells} -o {out} {stderr}"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], timeout=600, check=False)
    assert done.returncode == 0
    assert len(obs_names(out)) == 4


def test_after_a_hole_nothing_more_is_said() -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            if text == "lost":
                raise BrokenPipeError
            return super().write(text)

    full = Full()
    log = Log(full)
    for text in ("said ", "lost", "silent"):
        assert log.write(text) == len(text)
    log.flush()
    assert full.getvalue() == "said "
    assert not log.isatty()


def test_a_result_that_cannot_be_printed_is_an_error_in_plain_words() -> None:
    program = (
        "import os, sys; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)\n"
        "sys.argv = ['scip_mpi', 'schema']\n"
        "from scip_mpi.cli import main; main()\n"
    )
    done = launch(["-c", program])
    assert done.returncode == 1
    assert "scip_mpi: No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
