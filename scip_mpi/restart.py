"""What a run takes over from one that ended before its time.

In OUT/.scip_mpi/ there is `run`: what the run is, and how its images were cut into chunks; `table`:
where in the unfinished table each dataset lies; and of each rank and start a journal of the chunks
measured and the rows written (`scip_mpi.recording`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scip_mpi import disk, identity
from scip_mpi.batches import Int64Array, UInt8Array, from_buffer, to_buffer
from scip_mpi.checkpoint.journal import Found, look, read_single, write_single
from scip_mpi.checkpoint.records import Kind, Record
from scip_mpi.checkpoint.spans import Spans
from scip_mpi.errors import UserError
from scip_mpi.holdings import Holdings
from scip_mpi.job import Job
from scip_mpi.loaders.contract import Catalog
from scip_mpi.parallel.manager import featurizers
from scip_mpi.parallel.world import World
from scip_mpi.pipeline import Segmented
from scip_mpi.plan import Plan
from scip_mpi.recording import Outcome, RowsRecord
from scip_mpi.results.folder import PRIVATE, RUN, Claim


@dataclass(frozen=True)
class RunRecord:
    """What the run is: its facts as JSON, and the bounds of its chunks."""

    facts: UInt8Array
    bounds: Int64Array


def take_up(
    plan: Plan, catalog: Catalog, claim: Claim, say: Callable[[str], None]
) -> tuple[Plan, Found]:
    """Find out how far an unfinished run has come, or begin a new one.

    Returns
    -------
    Plan, Found
        With the chunks of the first start, as records are by chunk.

    Raises
    ------
    UserError
        The unfinished run is another one, or its checkpoint cannot be read.
    """
    folder = claim.out / PRIVATE
    if not claim.unfinished:
        record = RunRecord(identity.to_payload(plan.facts), plan.bounds)
        write_single(folder / RUN, Kind.RUN, 0, to_buffer(record))
        # The names of folders that were made are safe from a power cut, too.
        disk.settle([claim.out, claim.out.parent])
        return plan, Found()
    held = read_single(folder / RUN, Kind.RUN)
    if held is None:
        raise UserError(
            f"OUT {claim.out} holds an unfinished run, and what it was can no longer be read; "
            "--overwrite removes it and starts anew"
        )
    record = from_buffer(RunRecord, held[1])
    different = identity.differences(identity.from_payload(record.facts), plan.facts, catalog.files)
    if different:
        raise UserError(
            f"OUT {claim.out} holds another run, which is unfinished:\n  "
            + "\n  ".join(different)
            + "\nMake it as it was to go on with that run; --overwrite removes it and starts anew"
        )
    found = look(folder)
    bounds = record.bounds.copy()
    for path in found.damaged:
        say(f"note: {path} is damaged: what cannot be read there is computed again")
    costs = np.add.reduceat(catalog.costs(), bounds[:-1])
    return replace(plan, bounds=bounds, costs=costs), found


def adopt(job: Job, holdings: Holdings) -> dict[int, int]:
    """Share out the chunks that were measured before; every rank takes in its own. Collective.

    They stay in the journals that they are in. One that cannot be read is measured again, and so is
    one with a failed image that is to end the run now.

    Returns
    -------
    dict of int to int
        On rank 0, the rank that holds each chunk, by its first image.
    """
    dealt = job.world.bcast(None if job.found is None else deal(job.plan, job.found.measured))
    if dealt is None or not any(dealt):
        return {}
    ends_run = job.plan.config.on_error == "abort"
    mine, lost = [], 0
    for record in dealt[job.world.rank]:
        body = record.read()
        if body is None:
            lost += 1
        elif not (ends_run and from_buffer(Segmented, body).failed()):
            holdings.adopt(body, record)
            mine.append(record.key)
    told = job.world.gather((mine, lost))
    if told is None:
        return {}
    holders = {lo: rank for rank, (los, _) in enumerate(told) for lo in los}
    lost = sum(n for _, n in told)
    if lost:
        job.progress.say(f"note: {lost:,} chunks of the checkpoint are damaged: done again")
    return holders


def deal(plan: Plan, measured: Mapping[int, Record]) -> list[list[Record]]:
    """The records that each rank takes over: like cost for all that compute features."""
    ranks = featurizers(plan.roles)
    place = {int(lo): k for k, lo in enumerate(plan.bounds[:-1])}
    records = [measured[lo] for lo in sorted(measured) if lo in place]
    costs = plan.costs[[place[record.key] for record in records]]
    dealt: list[list[Record]] = [[] for _ in plan.roles]
    ends = np.cumsum(costs)
    for record, end, cost in zip(records, ends.tolist(), costs.tolist(), strict=True):
        # By the middle of its part of the whole.
        k = int((end - cost / 2) * len(ranks) / int(ends[-1]))
        dealt[ranks[k]].append(record)
    return dealt


def adopt_rows(world: World, records: Sequence[Record], rows: int, outcome: Outcome) -> Spans:
    """Find out which rows are written, and what there was to say of them. Collective.

    Parameters
    ----------
    records : sequence of Record
        All that say that rows are in the table; the same on every rank.
    rows : int
        Rows of the table.
    outcome : Outcome
        This rank's; what it reads of the rows is added.
    """
    if not records:
        return Spans()
    mine = records[world.rank :: world.size]
    told = world.gather([_ranges(record) for record in mine])
    chosen: list[bool] = []
    ranges: list[tuple[int, int]] = []
    if told is not None:
        there = np.zeros(rows, bool)
        for k in range(len(records)):
            own = told[k % world.size][k // world.size]
            # A rank that outlived its run for a moment may have written what another has, too.
            chosen.append(all(0 <= lo < hi <= rows and not there[lo:hi].any() for lo, hi in own))
            if chosen[-1]:
                for lo, hi in own:
                    there[lo:hi] = True
                ranges += own
    chosen, ranges = world.bcast((chosen, ranges))
    for record, fits in zip(mine, chosen[world.rank :: world.size], strict=True):
        body = record.read() if fits else None
        if body is not None:
            outcome.add(from_buffer(RowsRecord, body).outcome())
    return Spans(ranges)


def _ranges(record: Record) -> list[tuple[int, int]]:
    body = record.read()
    return [] if body is None else list(map(tuple, from_buffer(RowsRecord, body).spans.tolist()))
