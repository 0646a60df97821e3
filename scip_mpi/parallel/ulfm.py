"""Open MPI's ULFM: ranks that outlive others hear of their death, and form a new world.

One that hears of a death first revokes all communicators of the world, so that everybody's next
call on any of them fails, whoever it waits for. All then leave what they were doing
(`scip_mpi.errors.RanksLost`), and meet again here.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from threading import RLock
from typing import Any, TypeVar, cast

import numpy as np
from mpi4py import MPI

from scip_mpi.errors import FAILED, RanksLost
from scip_mpi.parallel import collectives
from scip_mpi.parallel.guard import GRACE, advice

DEATHS = (MPI.ERR_PROC_FAILED, MPI.ERR_PROC_FAILED_PENDING, MPI.ERR_REVOKED)
# How `mpiexec --with-ft ulfm` tells the ranks; the functions are there without it, too.
ENABLED = "OMPI_MCA_mpi_ft_enable"
# Seconds in which a death is heard of that has cut off a call.
HEARD = 2.0
# What ranks say when they agree.
FINE, GOING_ON = 1, 2
T = TypeVar("T")


def survives() -> bool:
    """Whether this MPI reports the death of a rank, and lets the others go on."""
    told = os.environ.get(ENABLED, "").lower() in ("1", "true", "yes", "on")
    return told and MPI.Get_library_version().startswith("Open MPI")


def is_death(error: MPI.Exception) -> bool:
    """Whether an error says that a rank has died, or that another rank has heard so."""
    return error.Get_error_class() in DEATHS


def hides_death(comm: MPI.Intracomm, lock: RLock) -> bool:
    """Whether a rank has died, or another has heard so, whatever an error calls itself.

    A collective that a death cuts off half-way may end with an error of no such class.
    """
    ends = time.monotonic() + HEARD
    while survives():
        with lock:
            if comm.Is_revoked() or comm.Get_failed().size:
                return True
        if time.monotonic() > ends:
            break
        time.sleep(0.01)
    return False


def notices(method: Callable[..., T]) -> Callable[..., T]:
    """Make a death that a method of a world or link meets known to all ranks.

    The method's object has a ``revoke``, its ``comm`` and that one's ``lock``.
    """

    @wraps(method)
    def wrapped(self: Any, *args: Any) -> T:
        try:
            return method(self, *args)
        except MPI.Exception as error:
            if not (is_death(error) or hides_death(self.comm, self.lock)):
                raise
            self.revoke()
            raise RanksLost("another rank has died") from error

    return wrapped


def unanimous(comm: MPI.Intracomm, lock: RLock, fine: bool) -> bool:
    """Whether all ranks live and say so; the same answer on all. Works when revoked, too.

    If one of them is ending the job, this process ends.
    """
    answer = _agree(comm, lock, GOING_ON | (FINE if fine else 0))
    if not answer & GOING_ON:
        # What is wrong has been said.
        os._exit(FAILED)
    return bool(answer & FINE)


def end(comm: MPI.Intracomm, lock: RLock) -> None:
    """Let all ranks end: launchers that let ranks outlive others let them outlive an abort."""
    _agree(comm, lock, 0)


def _agree(comm: MPI.Intracomm, lock: RLock, said: int) -> int:
    """The bits that all ranks have said, without `FINE` if a rank is dead."""
    flag = np.array([said], np.int32)
    try:
        with lock:
            request = comm.Iagree(flag)
        collectives.finish(request, lock)
    except MPI.Exception as error:
        if not is_death(error):
            raise
        return int(flag[0]) & ~FINE
    return int(flag[0])


def shrink(comm: MPI.Intracomm, nodes: list[str]) -> tuple[MPI.Intracomm, list[int]]:
    """A communicator of those that live, and which ranks they were; without rank 0 the job ends.

    Parameters
    ----------
    comm : Intracomm
    nodes : list of str
        Node of each rank, as far as it is known.
    """
    comm.Revoke()
    smaller = cast(MPI.Intracomm, comm.Shrink())
    own = smaller.Get_group()
    kept = list(own.Translate_ranks(list(range(own.size)), comm.Get_group()))
    if kept[0] != 0:
        if smaller.rank == 0:
            where = f" on {nodes[0]}" if nodes else ""
            sys.stderr.write(
                f"scip_mpi: rank 0{where} has died, which led the run. The job ends. {advice()}\n"
            )
            sys.stderr.flush()
        # All know, and leave by themselves: after an abort the launcher may hang here.
        time.sleep(GRACE)
        os._exit(FAILED)
    return smaller, kept
