"""The program with a fault: ``faulty.py MODULE:FUNCTION RANK ERROR FLAG ARGUMENTS ...``.

On one rank a function of the program is replaced by one that raises ERROR: a ValueError stands
for a bug, a UserError for what that rank alone cannot do (say, a library missing on its node). The
other ranks segment nothing before that rank has held a chunk (the file FLAG says so), for else
they might have done all the work before its turn.
"""

import importlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import scip_mpi.passes
from scip_mpi.cli import main
from scip_mpi.errors import UserError
from scip_mpi.parallel.world import launched_rank
from scip_mpi.store import MaskStore

target, rank, error_name, flag_name, *sys.argv[1:] = sys.argv[1:]
ERROR = {"ValueError": ValueError, "UserError": UserError}[error_name]
FLAG = Path(flag_name)


def broken(*args: object, **kwargs: object) -> None:
    raise ERROR(f"fault in {target}")


def announced(put: Callable[..., None]) -> Callable[..., None]:
    def wrapped(*args: Any) -> None:
        put(*args)
        FLAG.touch()

    return wrapped


def patient(segment: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*args: Any) -> Any:
        # Two dedicated segmenters may both have sent their first chunk to another rank.
        ends = time.monotonic() + 2
        while not FLAG.exists() and time.monotonic() < ends:
            time.sleep(0.01)
        return segment(*args)

    return wrapped


if launched_rank(os.environ) == int(rank):
    MaskStore.put = announced(MaskStore.put)  # type: ignore[method-assign]
    module_name, _, name = target.partition(":")
    owner = importlib.import_module(module_name)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, broken)
else:
    scip_mpi.passes.segment = patient(scip_mpi.passes.segment)

main()
