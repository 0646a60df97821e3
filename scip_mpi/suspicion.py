"""Images that kill the process that works on them: found on a restart, and failures from then on.

Such an image (a fault in a C library, more memory than there is) ends its rank, and with it the
job. What the ranks had in hand then is tried apart (`scip_mpi.apart`) by the next start, or the one
after that; an image whose process dies, and dies again while nothing else is going on, is fatal.
That a rank was killed, however often, is never enough.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scip_mpi.apart import STAGES, Death, UntriedError, deaths
from scip_mpi.batches import ImageBatch
from scip_mpi.checkpoint.hands import Held, suspects
from scip_mpi.checkpoint.journal import Found
from scip_mpi.items import Work
from scip_mpi.job import Job
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.pipeline import sparing

# Runs of suspected images that are named.
LISTED = 5


@dataclass(frozen=True)
class Tried:
    """What a rank found of the suspects that it tried; ``problem`` says why it could not, if so."""

    died: list[Death]
    problem: str
    halted: bool


def set_apart(job: Job) -> None:
    """Find out which images are fatal, and let all ranks know of them. Collective."""
    fatal, parts = job.world.bcast(None if job.found is None else suspected(job, job.found))
    if parts:
        told = job.world.gather(try_all(job, parts[job.world.rank :: job.world.size]))
        if told is not None:
            fatal |= judge(job, told)
        fatal = job.world.bcast(fatal)
    if fatal:
        job.fatal = fatal
        unread = [f for f in fatal.values() if f.stage == STAGES[0]]
        job.stages = sparing(job.stages, unread, job.plan.dtype)


def suspected(job: Job, found: Found) -> tuple[dict[int, Failure], list[References]]:
    """What is known to be fatal, and runs of images that may be; on rank 0."""
    assert job.catalog is not None
    bodies = [record.read() for record in found.fatal]
    known = [Failure(**json.loads(bytes(body))) for body in bodies if body is not None]
    fatal = {failure.index: failure for failure in known}
    for held in found.held:
        if held.crash:
            job.progress.say(
                f"note: in start {held.start + 1} of this run, rank {held.rank} crashed "
                f"({held.crash}){' at ' + shown([held.lo, held.hi]) if held.lo < held.hi else ''}"
            )
    images = np.setdiff1d(suspects(found.held), sorted(fatal))
    if not len(images):
        forget([held for held in found.held if held.lo >= held.hi])
        return fatal, []
    runs = [(r[0], r[-1] + 1) for r in np.split(images, np.flatnonzero(np.diff(images) > 1) + 1)]
    more = f" and {len(runs) - LISTED:,} more" if len(runs) > LISTED else ""
    job.progress.say(
        f"note: {', '.join(map(shown, runs[:LISTED]))}{more} may be what ended earlier starts: "
        "each image is tried in a process of its own"
    )
    return fatal, [job.catalog.references(int(lo), int(hi)) for lo, hi in runs]


def try_all(job: Job, parts: Sequence[References]) -> Tried:
    """Try this rank's part of the suspects, all ranks at once."""
    died: list[Death] = []
    try:
        for references in parts:
            died += deaths(job.plan, references, job.stop.__bool__, job.beat)
    except UntriedError as error:
        return Tried(died, f"rank {job.world.rank} on {job.world.node()}: {error}", bool(job.stop))
    return Tried(died, "", bool(job.stop))


def judge(job: Job, told: Sequence[Tried]) -> dict[int, Failure]:
    """Try again what died, one by one while nothing else is going on: the fatal ones; on rank 0."""
    assert job.catalog is not None
    assert job.found is not None
    fatal: dict[int, Failure] = {}
    problems = [tried.problem for tried in told if tried.problem]
    for first in sorted((d for tried in told for d in tried.died), key=lambda d: d.index):
        references = job.catalog.references(first.index, first.index + 1)
        again = try_all(job, [references])
        problems += [again.problem] if again.problem else []
        for death in again.died:
            failure = Failure(
                death.index,
                death.stage,
                f"fatal: it ends the process that works on it ({death.cause}), and was left out",
            )
            job.recorder.fatal(failure)
            fatal[death.index] = failure
            name = job.catalog.image_names([death.index])[0]
            job.progress.say(f"note: image {death.index} ({name}) is {failure.error}")
    if any(tried.halted for tried in told) or job.stop:
        return fatal
    for problem in problems:
        job.progress.say(f"note: images could not be tried, and are done as usual: {problem}")
    if not fatal and not problems:
        job.progress.say("note: none of them ended its process: they are done as usual")
    forget(job.found.held)
    return fatal


def forget(held: Iterable[Held]) -> None:
    """Suspect nothing more for what was in hand then."""
    for one in held:
        one.path.unlink(missing_ok=True)


def shown(span: Sequence[int]) -> str:
    """Images, for people."""
    lo, hi = span
    return f"image {lo}" if hi - lo == 1 else f"images {lo} to {hi - 1}"


def without(work: Work, fatal: Mapping[int, Failure]) -> Work:
    """The work of a run but for the objects of fatal images, whose rows stay empty."""
    image = work.masks.image[work.crops.index]
    keep = np.flatnonzero(~np.isin(image, list(fatal)))
    if len(keep) == len(image):
        return work
    noted = [fatal[index] for index in np.setdiff1d(image, image[keep]).tolist()]
    crops = ImageBatch.from_images(
        [work.crops.image(k) for k in keep.tolist()],
        work.crops.index[keep],
        work.crops.pixels.dtype,
    )
    return replace(work, crops=crops, failures=work.failures + noted)
