"""The program with a fault: ``faulty.py MODULE:FUNCTION RANK ARGUMENTS ...``.

On one rank a function of the program is replaced by one that raises, which stands for a bug.
"""

import importlib
import sys

target, rank, *sys.argv[1:] = sys.argv[1:]
module_name, _, name = target.partition(":")


def broken(*args: object, **kwargs: object) -> None:
    raise ValueError(f"fault in {target}")


from scip_mpi.parallel.world import launched_rank  # noqa: E402

if launched_rank(__import__("os").environ) == int(rank):
    owner = importlib.import_module(module_name)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    setattr(owner, last, broken)

from scip_mpi.cli import main  # noqa: E402

main()
