from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cells import copy_cells, jurkat_files, write_config

from scip_mpi.config.schema import MaskMethod
from scip_mpi.segmentation.cleaning import Cleaning
from scip_mpi.stages import mask_set

PROGRAM = """
import gc, sys
from pathlib import Path
import scip_mpi.run as run
from numba.core.registry import CPUDispatcher
from scip_mpi.job import Request
from scip_mpi.parallel.world import Alone

def compiled():
    kernels = [d for d in gc.get_objects() if isinstance(d, CPUDispatcher)]
    return {(d.py_func.__module__, d.py_func.__name__, str(s)) for d in kernels
            for s in d.signatures}

warm = set()
inner = run.segment_and_measure
def first(job):
    warm.update(compiled())
    return inner(job)
run.segment_and_measure = first
config, cells, out = sys.argv[1:]
run.run(Alone(), Request(Path(config), [cells], Path(out), quiet=True))
assert len(warm) > 8, warm
print(sorted(compiled() - warm))
"""


@pytest.mark.parametrize("chunk_size", [1, 5])
def test_nothing_is_compiled_after_the_warm_up(
    chunk_size: int, shared_dir: Path, tmp_path: Path
) -> None:
    cells = copy_cells(jurkat_files(shared_dir, 12), tmp_path / "cells")
    extra = f"resources: {{chunk_size: {chunk_size}}}\nfilter: {{name: mad, mask: otsu}}\n"
    config = write_config(tmp_path / "scip.yml", extra)
    arguments = [sys.executable, "-c", PROGRAM, config, cells, tmp_path / "out"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_options_of_a_mask_method_reach_its_mask_set() -> None:
    options = {"opening": 2, "fill_holes": True, "min_size": 3, "max_size": 9, "border": "keep"}
    chosen = MaskMethod(
        method="file", name="f", kwargs={"companion": "m"}, largest_component=True, **options
    )
    made = mask_set(chosen)
    assert made.cleaning == Cleaning(2, True, 3, 9, True)
    assert not made.border
    assert made.companions
    assert made.kwargs == {"companion": "m"}
    plain = mask_set(MaskMethod(method="otsu", name="o"))
    assert plain.cleaning == Cleaning()
    assert plain.border
    assert not plain.companions
