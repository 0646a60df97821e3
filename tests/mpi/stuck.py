"""The program with a rank that gets stuck: ``stuck.py HOW RANK SILENCE ARGUMENTS ...``.

On one rank the loader sleeps for ever, stops or kills its process, or holds up all of its threads.
A rank is lost after SILENCE seconds without a sign of life.
"""

import ctypes
import os
import signal
import sys
import time
from typing import Any

from scip_mpi.cli import main
from scip_mpi.loaders import multiframe_tiff
from scip_mpi.parallel import pulse
from scip_mpi.parallel.world import launched_rank

how, rank, silence, *sys.argv[1:] = sys.argv[1:]
pulse.SILENCE, pulse.APART, pulse.COMPUTING = float(silence), 0.2, 2
FOREVER = 10**6


def stuck(*args: Any, **kwargs: Any) -> Any:
    print(f"rank {rank} is stuck now", file=sys.stderr, flush=True)
    if how == "held":
        # Unlike others, such calls keep Python's lock.
        ctypes.PyDLL(None).sleep(FOREVER)
    elif how != "sleep":
        os.kill(os.getpid(), {"stop": signal.SIGSTOP, "kill": signal.SIGKILL}[how])
    # A launcher may wake who is stopped, to end it.
    time.sleep(FOREVER)


if launched_rank(os.environ) == int(rank):
    multiframe_tiff.read = stuck

main()
