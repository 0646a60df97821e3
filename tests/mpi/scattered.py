"""The program with ranks that share nothing but files: ``scattered.py FOLDER ARGUMENTS ...``.

Each rank has a folder of its own for temporary files, a host name that nobody can look up, and a
clock that is wrong by days.
"""

import ctypes
import os
import sys
import time
from pathlib import Path

from scip_mpi.cli import main
from scip_mpi.parallel.world import launched_rank

NEW_NAMES = 0x04000000  # CLONE_NEWUTS of sched.h

folder, *sys.argv[1:] = sys.argv[1:]
rank = launched_rank(os.environ)

own = Path(folder) / str(rank)
own.mkdir(parents=True)
os.environ["TMPDIR"] = str(own)

name = f"nobody-knows-{rank}".encode()
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(NEW_NAMES) or libc.sethostname(name, len(name)):
    print("the host's name stays as it is:", os.strerror(ctypes.get_errno()))

right = time.time
time.time = lambda: right() + 1e6 * rank

main()
