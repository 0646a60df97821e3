"""From the plan to the functions that a rank runs: everything named in the config is looked up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from scip_mpi import registry
from scip_mpi.batches import FloatArray, ImageBatch, Scratch
from scip_mpi.config.schema import MaskMethod
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.pipeline import Stages, Statistic, compute, segment
from scip_mpi.plan import Plan
from scip_mpi.segmentation.chain import MaskSet, PreFilter
from scip_mpi.segmentation.cleaning import Cleaning
from scip_mpi.segmentation.whole import whole
from scip_mpi.timers import Timers


def build_stages(plan: Plan, xp: Any = np) -> Stages:
    """Look up the loader, mask methods, filters and families that a plan names."""
    config = plan.config
    loader = registry.find("loaders", config.load.format)
    dtype = np.dtype(plan.dtype)

    def read(references: References) -> tuple[ImageBatch, list[Failure]]:
        return loader.read(references, plan.channels, dtype, of=plan.sample.shape[0])

    if config.mask is None:
        sets = [MaskSet("", whole, {}, border=False)]
        prefilters = []
    else:
        sets = [mask_set(m) for m in config.mask.methods]
        prefilters = [
            PreFilter(
                registry.find("prefilters", f.method),
                {
                    **dict(f.settings or {}),
                    "channel_indices": f.channels(plan.channel_names),
                },
            )
            for f in config.mask.filters or ()
        ]
    names = {block.family for block in plan.columns.blocks}
    return Stages(
        read=read,
        sets=sets,
        prefilters=prefilters,
        main_channel=plan.main_channel,
        combined=plan.combined,
        statistic=statistic(plan),
        saturation=saturation(plan),
        columns=plan.columns,
        families={name: registry.find("features", name) for name in sorted(names)},
        xp=xp,
    )


def mask_set(chosen: MaskMethod) -> MaskSet:
    """A mask set of the config: its method, looked up, and what follows it."""
    method = registry.find("masks", chosen.method)
    return MaskSet(
        name=chosen.name,
        method=method,
        kwargs=dict(chosen.kwargs),
        border=chosen.border == "remove",
        cleaning=Cleaning(
            opening=chosen.opening,
            fill_holes=chosen.fill_holes,
            min_size=chosen.min_size,
            max_size=chosen.max_size,
            largest_component=chosen.largest_component,
        ),
        companions="companions" in registry.parameters(method),
    )


def statistic(plan: Plan) -> Statistic | None:
    """What the top-level filter measures."""
    chosen = plan.config.filter
    if chosen is None:
        return None
    channel = chosen.channel_index(plan.channel_names)
    return Statistic(
        chosen.statistic, channel, -1 if chosen.mask is None else plan.sets.index(chosen.mask)
    )


def saturation(plan: Plan) -> FloatArray:
    """The value from which a pixel counts as saturated, per channel; infinite if none is known.

    Given by `load.saturation` or `load.bit_depth`; otherwise the largest value of an integer type.
    """
    given = plan.config.load.saturation_levels(len(plan.channel_names))
    if given is not None:
        return np.asarray(given, np.float64)
    dtype = np.dtype(plan.dtype)
    top = float(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf
    return np.full(len(plan.channel_names), top)


def compiled_before() -> bool:
    """Whether this machine's cache holds compiled kernels of this program."""
    set_by_user = os.environ.get("NUMBA_CACHE_DIR")
    cache = Path(set_by_user) if set_by_user else Path(__file__).parent
    return next(cache.rglob("*.nbi"), None) is not None


def warm_up(stages: Stages, plan: Plan) -> None:
    """Run every stage on two made-up images, so that all kernels are compiled and cached."""
    channels = len(plan.channel_names)
    rng = np.random.default_rng(0)
    images = []
    for size in (24, 26):
        rows, columns = np.mgrid[:size, :size] - size / 2
        cell = 40.0 * np.exp(-(rows**2 + columns**2) / 32) + rng.random((channels, size, size)) * 9
        images.append(cell.astype(plan.dtype))
    batch = ImageBatch.from_images(images, dtype=np.dtype(plan.dtype))
    references = References(["", ""], np.zeros(2, np.int64), batch.index, np.zeros(2, np.int32))
    made_up = Stages(**{**vars(stages), "read": lambda _: (batch, [])})
    timers = Timers()
    segmented, pixels = segment(made_up, references, timers)
    compute(made_up, references, segmented.objects(), pixels, timers, Scratch())
