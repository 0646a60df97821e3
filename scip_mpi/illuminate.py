"""The pass before the first one, where images are corrected for uneven light.

All ranks add up images, as they get free; the sums are exact, so that who added which makes no
difference. What the images are then divided by is made of the means, plane by plane.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scip_mpi import registry
from scip_mpi.batches import FloatArray
from scip_mpi.illumination import Sums, usable
from scip_mpi.job import EndedEarly, Job
from scip_mpi.loaders.contract import References
from scip_mpi.loaders.dispatch import Dispatch, received
from scip_mpi.parallel.deal import Step, deal
from scip_mpi.stages import lit_by


def correct_illumination(job: Job) -> None:
    """Find out how images are lit, if they are to be corrected for that. Collective.

    Raises
    ------
    EndedEarly
        A signal came.
    """
    plan, chosen = job.plan, job.plan.config.illumination_correction
    if chosen is None or plan.lit is None:
        return
    functions = plan.functions
    if functions is None:
        with job.timers.stage("illumination"):
            functions = smooth(job, add_up(job))
    correction = job.stages.correction
    assert correction is not None
    lit = replace(correction, illumination=lit_by(plan.lit, functions))
    job.stages = replace(job.stages, correction=lit)


def add_up(job: Job) -> dict[int, Sums]:
    """Exact sums of the images that this rank read, by group. Collective."""
    plan, lit = job.plan, job.plan.lit
    assert lit is not None
    sums: dict[int, Sums] = {}
    channels, dtype = len(plan.channel_names), np.dtype(plan.dtype)

    dispatch = None if job.catalog is None else Dispatch(job.catalog)

    def message(piece: int) -> bytes:
        assert dispatch is not None
        return dispatch.message(int(plan.bounds[piece]), int(plan.bounds[piece + 1]))

    def work(body: bytes, step: Step) -> None:
        job.beat()
        # After a signal what is dealt out still is passed over.
        if job.stop:
            return
        references: References = received(np.frombuffer(body, np.uint8))
        images, failures = job.stages.read(references)
        for group, image in zip(lit.of(images.index).tolist(), images, strict=True):
            if group not in sums:
                sums[group] = Sums.of(channels * int(lit.shapes[group].prod()), dtype)
            sums[group].add(image.reshape(-1))
        step(len(references), len(failures))

    job.progress.start("illumination", plan.images, "images")
    deal(job.world, plan.chunks, message, work, job.progress.advance)
    job.progress.finish()
    signals = job.world.bcast(job.world.gather(job.stop.signal if job.stop else None))
    for signal in signals:
        if signal is not None:
            raise EndedEarly(f"signal {signal}")
    return sums


def smooth(job: Job, sums: dict[int, Sums]) -> list[FloatArray]:
    """The functions of all groups, (C, H, W) each, on every rank. Collective.

    The sums are given up one by one. Each plane is smoothed by one rank.
    """
    plan, chosen, lit = job.plan, job.plan.config.illumination_correction, job.plan.lit
    assert chosen is not None
    assert lit is not None
    method = registry.find("illumination", chosen.method)
    channels, dtype = len(plan.channel_names), np.dtype(plan.dtype)
    given = plan.config.load.offset or 0.0
    offset = np.broadcast_to(np.array(given, np.float64), channels)
    own: dict[tuple[int, int], FloatArray] = {}
    for g, shape in enumerate(lit.shapes.tolist()):
        mine = sums.pop(g, None) or Sums.of(channels * shape[0] * shape[1], dtype)
        total = Sums(job.world.allreduce(mine.limbs), job.world.allreduce(mine.counts))
        planes = total.means().reshape(channels, *shape)
        for c in range(channels):
            if (g * channels + c) % job.world.size == job.world.rank and planes.size:
                job.beat()
                function = method(planes[c] - offset[c], **chosen.settings.own())
                own[g, c] = usable(np.asarray(function, np.float64))
    told = job.world.bcast(job.world.gather(own))
    found = {place: function for part in told for place, function in part.items()}
    return [
        np.stack([found.get((g, c), np.ones(shape)) for c in range(channels)])
        for g, shape in enumerate(lit.shapes.tolist())
    ]
