"""From the plan to the functions that a rank runs: everything named in the config is looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from scip_mpi import illumination, registry, tallies, tile_store, verdict
from scip_mpi.batches import FloatArray, ImageBatch, Scratch, offsets_of
from scip_mpi.columns import selected
from scip_mpi.config.checks import ALIASES, CHANNEL_SETTINGS
from scip_mpi.config.schema import MaskMethod, Rule
from scip_mpi.config.values import places
from scip_mpi.correction import Correction, Illumination
from scip_mpi.illumination_groups import IlluminationGroups
from scip_mpi.loaders.companions import read_companions
from scip_mpi.loaders.contract import Failure, References, Window
from scip_mpi.measurements import filter_measurements
from scip_mpi.normalization import pixel_quantiles
from scip_mpi.pipeline import Beside, Stages
from scip_mpi.plan import Plan
from scip_mpi.results.folder import PRIVATE
from scip_mpi.results.labels import FOLDER, write_labels
from scip_mpi.rows import compute, cut_out, masked_pixels
from scip_mpi.segmentation.chain import MaskSet, PreFilter
from scip_mpi.segmentation.cleaning import Cleaning
from scip_mpi.segmentation.fields import FieldPlan, Fields, Segmenter
from scip_mpi.segmentation.gpu.recipes import Wanted
from scip_mpi.segmentation.gpu.use import DeviceUse
from scip_mpi.segmentation.tiles import stitch
from scip_mpi.segmentation.whole import whole
from scip_mpi.segmenting import segment
from scip_mpi.summaries import whole_table
from scip_mpi.tile_store import Tiles
from scip_mpi.timers import Timers


def build_stages(plan: Plan, out: Path | None = None, xp: Any = np) -> Stages:
    """Look up the loader, mask methods, filters and families that a plan names.

    Parameters
    ----------
    plan : Plan
    out : Path, optional
        Where label images go, if the plan wants them, and what is known of tiles.
    xp : module
        The array module that masks are made with.
    """
    config = plan.config
    loader = registry.find("loaders", config.load.format)
    dtype = np.dtype(plan.dtype)

    def read(
        references: References, window: Window | None = None
    ) -> tuple[ImageBatch, list[Failure]]:
        images, failures = loader.read(
            references, plan.channels, dtype, window, of=plan.sample.shape[0]
        )
        if plan.lit is not None:
            images, more = plan.lit.fitting(images)
            failures += more
        return images, failures

    sets: list[MaskSet] = []
    prefilters: list[PreFilter] = []
    if config.mask is None:
        if config.segment is None:
            sets = [MaskSet("", whole, {}, border=False)]
    else:
        sets = [mask_set(by_place(m, plan.channel_names)) for m in config.mask.methods]
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
    return Stages(
        read=read,
        beside=companions_reader(plan),
        correction=correction(plan),
        fields=field_plan(plan),
        sets=sets,
        prefilters=prefilters,
        main_channel=plan.main_channel,
        combined=plan.combined,
        backgrounds=plan.backgrounds,
        statistics=[m.statistic for m in plan.statistics],
        gates=[m.statistic for m in plan.gates],
        saturation=saturation(plan),
        columns=plan.columns,
        scale=plan.scale,
        families=[
            selected(registry.find("features", block.family), block.settings)
            for block in plan.columns.blocks
        ],
        xp=xp,
        export=label_export(plan, out),
        tiles=None if out is None else tiles_of(plan, out / PRIVATE / tile_store.FOLDER),
    )


def tiles_of(plan: Plan, folder: Path) -> Tiles | None:
    """How fields are cut into tiles, if they are, and where what is found of these is kept."""
    chosen = plan.config.segment.tiles if plan.config.segment is not None else None
    if chosen is None:
        return None
    probe = registry.find("loaders", plan.config.load.format).probe
    return Tiles(folder, chosen.size, chosen.halo, probe)


def companions_reader(plan: Plan) -> Beside | None:
    """What reads the pictures that belong to each image, if there are some."""
    if not plan.companions:
        return None
    return partial(read_companions, names=plan.companions, channels=plan.channels)


def mask_set(chosen: MaskMethod) -> MaskSet:
    """A mask set with the function that makes it."""
    method = registry.find("masks", chosen.method)
    cleaning = Cleaning(
        opening=chosen.opening,
        fill_holes=chosen.fill_holes,
        min_size=chosen.min_size,
        max_size=chosen.max_size,
        largest_component=chosen.largest_component,
    )
    return MaskSet(
        chosen.name,
        method,
        chosen.kwargs,
        border=chosen.border == "remove",
        cleaning=cleaning,
        companions="companions" in registry.parameters(method),
    )


def by_place(chosen: MaskMethod, names: Sequence[str]) -> MaskMethod:
    """The mask method with the channels that its settings name by their places."""
    named = {
        key: _place(chosen.kwargs[key], names)
        for key in CHANNEL_SETTINGS.get(chosen.method, ())
        if chosen.kwargs.get(key) is not None
    }
    return chosen.model_copy(update={"kwargs": {**chosen.kwargs, **named}})


def on_device(stages: Stages, plan: Plan, use: DeviceUse) -> Stages:
    """The same stages, on a device as far as that can: segmenters of fields and mask sets."""
    config, fields, sets = plan.config, stages.fields, list(stages.sets)
    if config.segment is not None and fields is not None:
        method = config.segment.method
        fields = replace(
            fields,
            segmenter=use.on_fields(fields.segmenter, method),
            children={c: use.on_fields(own, method) for c, own in fields.children.items()},
        )
    if config.mask is not None:
        sets = [
            use.on(own, chosen.method, measured_there(stages, s))
            for s, (own, chosen) in enumerate(zip(sets, config.mask.methods, strict=True))
        ]
    return replace(stages, fields=fields, sets=sets)


def measured_there(stages: Stages, mask_set: int) -> Wanted | None:
    """What a device measures of a mask set: only where it has the images as they were read."""
    channels = sorted({s.channel for s in stages.statistics if s.mask_set == mask_set})
    summary = mask_set == 0
    if stages.fields is not None or stages.correction is not None or not (channels or summary):
        return None
    on_cpu = partial(whole_table, saturation=stages.saturation, summary=summary, channels=channels)
    return Wanted(stages.saturation, summary, channels, on_cpu)


def label_export(plan: Plan, out: Path | None) -> Callable[[References, Fields], None] | None:
    """What writes the label images of a batch, if they are wanted."""
    if out is None or plan.config.segment is None or not plan.config.segment.export:
        return None
    wanted = plan.config.segment.export
    return partial(write_labels, out / FOLDER, form="tiff" if wanted is True else wanted)


def correction(plan: Plan) -> Correction | None:
    """What is done to pixels before anything else, if anything is."""
    given, channels = plan.config.load.offset, len(plan.channel_names)
    if given is None and plan.unmix is None and plan.lit is None:
        return None
    offset = np.broadcast_to(np.array(given or 0.0, np.float64), channels).copy()
    unmix = np.eye(channels) if plan.unmix is None else plan.unmix
    if plan.lit is None:
        return Correction(offset, unmix)
    # The functions themselves are known when all pixels were seen.
    functions = lit_by(plan.lit, plan.functions or ones(plan))
    return Correction(offset, unmix, functions)


def lit_by(groups: IlluminationGroups, functions: Sequence[FloatArray]) -> Illumination:
    """Illumination by the functions of all groups, (C, H, W) each."""
    starts = offsets_of(np.array([f.size for f in functions]))
    return Illumination(groups, starts[:-1], np.concatenate([f.reshape(-1) for f in functions]))


def ones(plan: Plan) -> list[FloatArray]:
    """Functions that change nothing."""
    assert plan.lit is not None
    return [np.ones((len(plan.channel_names), *shape)) for shape in plan.lit.shapes.tolist()]


def field_plan(plan: Plan) -> FieldPlan | None:
    """How objects are found in fields of view, if they are."""
    segment = plan.config.segment
    if segment is None:
        return None
    settings, names = segment.settings, plan.channel_names
    parent = plan.main_channel if plan.config.mask is None else _place(
        settings.parent_channel_index, names)  # fmt: skip
    method = registry.find("segmenters", segment.method)
    known = registry.parameters(method)
    takes_companions = "companions" in known
    # SCIP's configs name the channel of the nuclei beside that of the parents, which not every
    # method looks at.
    shared = {k: v for k, v in settings.own().items() if k in known or k not in ALIASES}

    def segmenter(own: Mapping[str, Any]) -> Segmenter:
        return Segmenter(method, {**shared, **own}, takes_companions)

    given = settings.children or {}
    children = given if isinstance(given, Mapping) else {channel: {} for channel in given}
    expansion = settings.expansion
    if not isinstance(expansion, Mapping):
        expansion = {parent: expansion} if expansion else {}
    subtract: list[tuple[int, int, int]] = []
    if settings.subtract is not None:
        left, right, target = settings.subtract.channels()
        subtract = [(_place(left, names), _place(right, names), _place(target, names))]
    return FieldPlan(
        parent=parent,
        segmenter=segmenter({}),
        children={_place(c, names): segmenter(own) for c, own in children.items()},
        subtract=subtract,
        expansion={_place(c, names): pixels for c, pixels in expansion.items()},
        min_size=settings.min_size,
        max_size=settings.max_size,
        drop_border=settings.border == "drop",
    )


def _place(channel: int | str, names: Sequence[str]) -> int:
    return places([channel], names, "segment.settings")[0]


def filter_tree(chosen: Rule, plan: Plan) -> verdict.Rule | verdict.Combination:
    """The filter's rules with the functions that decide them."""
    if chosen.parts():
        how: Literal["all", "any"] = "all" if chosen.all else "any"
        return verdict.Combination(how, [filter_tree(p, plan) for p in chosen.parts()])
    assert chosen.name is not None
    looked_at = filter_measurements(chosen, plan.sets, plan.channel_names)
    return verdict.Rule(
        decide=registry.find("filters", chosen.name),
        label=rule_label(chosen, plan),
        statistics=[plan.statistics.index(m) for m in looked_at],
        by_group=chosen.by is not None,
        settings=chosen.settings(),
    )


def rule_label(chosen: Rule, plan: Plan) -> str:
    """A rule for people: ``range of area of DNA in li``."""
    looked_at = filter_measurements(chosen, plan.sets, plan.channel_names)
    what = " and ".join(m.column.removeprefix("filter_") for m in looked_at)
    return f"{chosen.name} of {what}"


def saturation(plan: Plan) -> FloatArray:
    """The value from which a pixel counts as saturated, per channel; infinite if none is known.

    Given by `load.saturation` or `load.bit_depth`; otherwise what the format says, or the largest
    value of an integer type.
    """
    given = plan.config.load.saturation_levels(len(plan.channel_names))
    if given is not None:
        return np.asarray(given, np.float64)
    dtype = np.dtype(plan.dtype)
    top = float(np.iinfo(dtype).max) if dtype.kind in "iu" else np.inf
    top = plan.sample.saturation or top
    return np.full(len(plan.channel_names), top)


def made_up_light(chosen: Correction | None, batch: ImageBatch) -> Correction | None:
    """The correction with the illumination of the images of a batch, if it has one."""
    if chosen is None or chosen.illumination is None:
        return chosen
    shapes, places = batch.shapes[:, 1:], np.arange(len(batch))
    groups = IlluminationGroups(["made up"] * len(batch), shapes, batch.index, places)
    light = Illumination(groups, batch.offsets[:-1], np.ones(batch.pixels.size))
    return replace(chosen, illumination=light)


def warm_up(stages: Stages, plan: Plan) -> None:
    """Run every stage on two made-up images, so that all kernels are compiled and cached."""
    loader = registry.find("loaders", plan.config.load.format)
    getattr(loader, "warm_up", lambda: None)()
    tallies.warm_up()
    if stages.tiles is not None:
        stitch.warm_up()
    illumination.warm_up(np.dtype(plan.dtype))
    channels = len(plan.channel_names)
    rng = np.random.default_rng(0)
    images = []
    for size in (24, 26):
        rows, columns = np.mgrid[:size, :size] - size / 2
        cell = 40.0 * np.exp(-(rows**2 + columns**2) / 32) + rng.random((channels, size, size)) * 9
        images.append(cell.astype(plan.dtype))
    batch = ImageBatch.from_images(images, dtype=np.dtype(plan.dtype))
    references = References(
        [("",), ("",)], np.zeros(2, np.int64), batch.index, np.zeros(2, np.int32)
    )
    labels = ImageBatch.from_images([(i[0] > i[0].mean()).astype(np.int64) for i in images])
    companions = {name: labels for name in plan.companions}
    made_up = replace(
        stages,
        read=lambda *_: (batch, []),
        tiles=None,
        beside=lambda *_: (batch, companions, []),
        export=None,
        correction=made_up_light(stages.correction, batch),
    )
    timers = Timers()
    segmented, pixels = segment(made_up, references, timers)
    if stages.fields is not None:
        # The made-up cells may be none by the plan's own measure, and what comes after needs some.
        given = Segmenter(lambda *_, **__: labels.pixels, {})
        fields = replace(
            stages.fields,
            segmenter=given,
            children=dict.fromkeys(stages.fields.children, given),
            min_size=0,
            max_size=None,
            drop_border=False,
        )
        segmented, pixels = segment(replace(made_up, fields=fields), references, timers)
    assert pixels is not None
    masks = segmented.objects()
    if plan.config.normalization is not None:
        everything = list(masked_pixels(made_up, references, masks, cut_out(pixels, masks)))
        shape = (len(plan.sets), 1, channels)
        dtype = everything[0].batch.pixels.dtype
        bounds = pixel_quantiles(lambda: iter(everything), shape, (0, 1), dtype, lambda a: a)
        made_up = replace(made_up, bounds=bounds)
    # All objects, then some: those are cut out of their images.
    for rows in (slice(None), slice(1)):
        some = masks.take(rows)
        compute(made_up, references, some, cut_out(pixels, some), [], timers, Scratch())
