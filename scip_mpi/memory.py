"""One account for everything a rank keeps: pixel cache, masks, outbox."""

from __future__ import annotations

from collections import Counter


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
