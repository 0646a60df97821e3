"""How much memory there is, and one account for everything a rank keeps of it."""

from __future__ import annotations

import os
import resource
from collections import Counter
from functools import cache
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


@cache
def machine_memory() -> int:
    """Bytes that processes may use here: of the machine, or what is allowed of them.

    Schedulers and containers set limits by control groups, people by ``ulimit -v``.
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    address_space, _ = resource.getrlimit(resource.RLIMIT_AS)
    limits = group_limits(OWN_GROUPS, GROUPS)
    if address_space != resource.RLIM_INFINITY:
        limits.append(address_space)
    return min([total, *limits])


def group_limits(own: Path, root: Path) -> list[int]:
    """Limits of memory of the control groups that a process is in, and of those above them.

    Parameters
    ----------
    own : Path
        The kernel's list of the groups, a line ``number:controllers:path`` for each hierarchy.
    root : Path
        Where the groups are mounted.
    """
    limits = []
    for line in own.read_text().splitlines() if own.exists() else []:
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            top = root / controllers
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            inner = top / path.lstrip("/")
            for group in (inner, *inner.parents):
                text = (group / name).read_text().strip() if (group / name).exists() else "max"
                if text != "max":
                    limits.append(int(text))
                if group == top:
                    break
    return limits


class MemoryAccount:
    """Bytes held by purpose, under one limit.

    Parameters
    ----------
    limit : int
        Bytes that may be held in all.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held: Counter[str] = Counter()
        self.peak = 0

    def reserve(self, purpose: str, size: int) -> bool:
        """Count ``size`` bytes if they fit under the limit; False, and nothing counted, if not."""
        if self.total() + size > self.limit:
            return False
        self.hold(purpose, size)
        return True

    def hold(self, purpose: str, size: int) -> None:
        """Count bytes that are held whether they fit or not."""
        self.held[purpose] += size
        self.peak = max(self.peak, self.total())

    def release(self, purpose: str, size: int) -> None:
        """Give bytes back."""
        if size > self.held[purpose]:
            raise ValueError(f"{purpose}: {size} bytes released, {self.held[purpose]} held")
        self.held[purpose] -= size

    def total(self) -> int:
        """Bytes held."""
        return sum(self.held.values())
