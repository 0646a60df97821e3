"""What an image costs here, by a few of them: what `check` goes by."""

from __future__ import annotations

import time
from dataclasses import dataclass

from scip_mpi.batches import Scratch, from_buffer, to_buffer
from scip_mpi.devices import DeviceLost, OutOfMemory
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog
from scip_mpi.pipeline import Segmented, Stages
from scip_mpi.plan import Plan
from scip_mpi.rows import compute
from scip_mpi.segmentation.gpu.opening import open_device
from scip_mpi.segmentation.gpu.use import DeviceUse
from scip_mpi.segmenting import segment
from scip_mpi.stages import build_stages, on_device
from scip_mpi.tile_objects import held_or_read
from scip_mpi.timers import Timers

# So many images are tried, if the first chunk has them; that they fill a device was not measured.
MOST = 64


@dataclass(frozen=True)
class Trial:
    """Seconds of wall time of an image, kernels compiled and files read once before.

    Attributes
    ----------
    images : int
        How many were tried.
    read, segment : float
        To read it; to segment and measure it.
    hold : float
        To take its masks in, by the rank that they were sent to.
    row : float
        To read it again and compute the features of its objects.
    lost : str
        Why the device was not used, if it was not.
    """

    images: int
    read: float
    segment: float
    hold: float
    row: float
    lost: str


def try_out(plan: Plan, catalog: Catalog, device: str) -> Trial:
    """Take images of the first chunk through both passes, masks made on the first device.

    Parameters
    ----------
    plan : Plan
    catalog : Catalog
    device : str
        Its name.

    Raises
    ------
    UserError
        None of these images can be read.
    """
    use = DeviceUse(None, device, lambda text: None)
    stages = build_stages(plan)
    try:
        dtype = stages.corrected_type(plan.dtype)
        use.device = open_device(device, plan.devices[0] or 0, dtype)
    except (DeviceLost, OutOfMemory) as error:
        use.lost = str(error)
    stages = on_device(stages, plan, use)
    count = min(int(plan.bounds[1]), MOST)

    def try_once() -> tuple[Timers, float]:
        try:
            return _both_passes(stages, catalog, count)
        except DeviceLost:
            # The next time it is left alone.
            return _both_passes(stages, catalog, count)

    try:
        try_once()
        timers, hold = try_once()
    finally:
        use.close()
    read = timers.wall["read"]
    return Trial(
        images=count,
        read=read / count,
        segment=(timers.wall["segment"] + timers.wall["measure"]) / count,
        hold=hold / count,
        row=(read + timers.wall["features"]) / count,
        lost=use.lost,
    )


def _both_passes(stages: Stages, catalog: Catalog, count: int) -> tuple[Timers, float]:
    """Where the time went, and the seconds to take the masks in."""
    timers = Timers()
    references = catalog.references(0, count)
    record, pixels = segment(stages, references, timers)
    if (record.found < 0).all():
        raise UserError(f"none of the first {count} images can be read: {record.failed()[0].error}")
    body = to_buffer(record)
    began = time.perf_counter()
    masks = from_buffer(Segmented, body).objects()
    hold = time.perf_counter() - began
    crops = held_or_read(stages, references, masks, pixels)
    compute(stages, references, masks, crops, [], timers, Scratch())
    return timers, hold
