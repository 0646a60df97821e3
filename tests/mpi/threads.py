"""The program under an MPI that allows fewer threads: ``threads.py LEVEL ARGUMENTS ...``.

``threads.py LEVEL PROGRAM.py ARGUMENTS ...`` runs another program so.
"""

import runpy
import sys

import mpi4py

level, *sys.argv[1:] = sys.argv[1:]
mpi4py.rc.thread_level = level
mpi4py.rc.finalize = False
# From here on MPI is up at this level, whatever the program would have asked for.
from mpi4py import MPI  # noqa: E402

provided = {"single": MPI.THREAD_SINGLE, "funneled": MPI.THREAD_FUNNELED}
provided |= {"serialized": MPI.THREAD_SERIALIZED, "multiple": MPI.THREAD_MULTIPLE}
assert MPI.Query_thread() == provided[level], MPI.Query_thread()

from scip_mpi.cli import main  # noqa: E402

if sys.argv[1].endswith(".py"):
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
else:
    main()
