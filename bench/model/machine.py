"""What messages, sleeps and hand-outs cost: measured by `bench.model.probes`, used by `passes`."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from scip_mpi.parallel.link import Backoff

# Of the pauses of `Backoff`, one after the other.
GROWTH = 1.25


@dataclass(frozen=True)
class Machine:
    """Seconds that the parts of the protocol take.

    Attributes
    ----------
    latency, per_byte : float
        A message one way: without a body, and for each byte of it.
    assign, assign_image : float
        The manager's time to answer a rank that asks for a chunk, and for each image of it.
    report : float
        Its time to note that a chunk was measured, or rows written.
    find, find_rank : float
        Its time to find rows for a rank, and for each rank of the world.
    send : float
        The time to start a message.
    nap : float
        What a sleep takes beyond what was asked for.
    """

    latency: float = 4e-6
    per_byte: float = 4e-11
    assign: float = 30e-6
    assign_image: float = 1e-6
    report: float = 6e-6
    find: float = 7e-6
    find_rank: float = 1e-10
    send: float = 3.5e-6
    nap: float = 65e-6

    def one_way(self, size: float = 0) -> float:
        """Seconds until a message of so many bytes is there."""
        return self.latency + self.per_byte * size


def from_probes(rows: Mapping[str, float]) -> Machine:
    """The machine that the probes' figures describe.

    Raises
    ------
    KeyError
        A figure is missing: the probes are of another version.
    """
    small, large = rows["chunk of 1 images"], rows["chunk of 256 images"]
    few, many = rows["rows found among 2 ranks"], rows["rows found among 4096 ranks"]
    report = rows["rows reported"]
    return Machine(
        latency=rows["one way 0 bytes"],
        per_byte=(rows["one way 4194304 bytes"] - rows["one way 0 bytes"]) / 4194304,
        assign=max(small - report, 0.0),
        assign_image=max(large - small, 0.0) / 255,
        report=report,
        find=few,
        find_rank=max(many - few, 0.0) / 4094,
        send=rows["send"],
        nap=rows["nap beyond"],
    )


def read(path: Path) -> Machine:
    """The machine of a CSV that the probes wrote (``what,seconds``)."""
    with path.open(newline="") as handle:
        lines: Iterable[Mapping[str, str]] = csv.DictReader(handle)
        return from_probes({line["what"]: float(line["seconds"]) for line in lines})


@dataclass(frozen=True)
class Waiting:
    """When a rank that waits with back-off looks up: `scip_mpi.parallel.link.Backoff`.

    Parameters
    ----------
    longest : float
        Longest sleep; 0: it looks up at once.
    nap : float
        What each sleep takes beyond what was asked for.
    """

    longest: float
    nap: float = 0.0
    looks: list[float] = field(init=False)

    def __post_init__(self) -> None:
        pauses, pause = [], Backoff.shortest
        while pause < self.longest:
            pauses.append(pause + self.nap)
            pause *= GROWTH
        object.__setattr__(self, "looks", list(accumulate(pauses)))

    def until(self, since: float, arrival: float) -> float:
        """When a rank that waits since a moment hears what arrives."""
        if self.longest == 0 or arrival <= since:
            return max(since, arrival)
        waited = arrival - since
        k = bisect_left(self.looks, waited)
        if k < len(self.looks):
            return since + self.looks[k]
        last = self.looks[-1] if self.looks else 0.0
        pause = self.longest + self.nap
        return since + last + pause * -(-(waited - last) // pause)


def collective(ranks: int, numbers: int, machine: Machine) -> float:
    """Seconds of a reduction of so many int64 over ranks that enter it together.

    Step by step, each heard when the rank looks up: one per doubling for few numbers, two for
    many (MPICH's reduce-scatter and allgather), each moving half of what is left.
    """
    waiting, now, steps = Waiting(Backoff.longest, machine.nap), 0.0, (ranks - 1).bit_length()
    size = 8.0 * numbers
    if size <= 2048:
        sizes = [size] * steps
    else:
        halves = [size / 2 ** (k + 1) for k in range(steps)]
        sizes = halves + halves[::-1]
    for part in sizes:
        now = waiting.until(0.0, now + machine.one_way(part))
    return now
