"""Mask methods for the tests here: one that takes its time, and one that kills its rank."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import ModuleType

from scip_mpi.batches import BoolArray, ImageBatch, UInt8Array
from scip_mpi.parallel.world import launched_rank
from scip_mpi.segmentation.circle import circle


def slow(batch: ImageBatch, enabled: BoolArray, xp: ModuleType, *, flag: str) -> UInt8Array:
    """Discs; half a second for each image while there is no file FLAG."""
    for _ in range(len(batch)):
        if not Path(flag).exists():
            time.sleep(0.5)
    return circle(batch, enabled, xp)


def deadly(batch: ImageBatch, enabled: BoolArray, xp: ModuleType, *, rank: int) -> UInt8Array:
    """Discs, but one rank dies as if it had run out of memory."""
    if launched_rank(os.environ) == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    return circle(batch, enabled, xp)
