"""What a run would do, without doing it: for ``check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from scip_mpi import registry
from scip_mpi.config import read_config
from scip_mpi.config.schema import Config, Rule
from scip_mpi.devices import visible_devices
from scip_mpi.errors import UserError
from scip_mpi.illumination import Sums
from scip_mpi.loaders.contract import Catalog
from scip_mpi.parallel.roles import Sight, describe, describe_layout
from scip_mpi.parallel.shares import best, shares
from scip_mpi.plan import Plan, find_images, make_plan, suited
from scip_mpi.stages import rule_label, tiles_of
from scip_mpi.trial import try_out
from scip_mpi.units import pixel_size

SAMPLE = 5


def check(config_path: Path, paths: list[str], ranks: int) -> Iterator[str]:
    """Validate the config, list the images, read a few, and say what a run would do.

    Touches no file, starts no MPI.

    Raises
    ------
    UserError
        What a run would refuse too; or none of the sampled images can be read.
    """
    config = suited(read_config(config_path), paths)
    catalog = find_images(config, paths)
    seen = visible_devices() if config.resources.device != "cpu" else ((), "")
    here = Sight("this node", *seen)
    plan = make_plan(config, catalog, [here] * max(ranks, 1))
    yield from what_would_be_done(config_path, catalog, plan, here)


def what_would_be_done(
    config_path: Path, catalog: Catalog, plan: Plan, here: Sight
) -> Iterator[str]:
    """Say what a run of a plan would do, and read a few images for it.

    Raises
    ------
    UserError
        None of the sampled images can be read.
    """
    config = plan.config
    yield f"config      {config_path}: valid"
    yield from _images(catalog, plan)
    yield from _sample(catalog, plan)
    yield f"channels    {', '.join(plan.channel_names)}"
    yield "masks       " + (", ".join(plan.sets) if any(plan.sets) else "none: whole images")
    if plan.lit is not None:
        yield from _illumination(plan)
    if config.segment is not None and config.segment.tiles is not None:
        tiles = config.segment.tiles
        yield (
            f"tiles       fields larger than {tiles.size:,} pixels are cut, with {tiles.halo:,} "
            "pixels around each tile"
        )
    chosen = config.filter
    yield "filter      " + (
        "off" if chosen is None else f"{described(chosen, plan)}; {chosen.action}"
    )
    yield f"stages      {stages_in_order(config)}"
    before = "read for the light; then " if plan.lit is not None and plan.functions is None else ""
    yield f"passes      {before}read + segment + measure; then read + compute features + write"
    yield f"columns     {len(plan.columns):,} in X, by family: " + ", ".join(
        f"{family} {count:,}" for family, count in Counter(plan.columns.families).items()
    )
    if plan.scale is not None:
        yield f"units       lengths and areas in um, {pixel_size(config, catalog):g} um a pixel"
    yield f"chunks      {plan.chunks:,} of {np.diff(plan.bounds).max():,} images at most"
    layout = Counter(describe(r) for r in plan.roles)
    yield f"ranks       {len(plan.roles)}: " + ", ".join(f"{n} x {r}" for r, n in layout.items())
    for line in describe_layout(plan.layout):
        yield f"layout      {line}"
    if plan.devices[0] is not None and tiles_of(plan, Path()) is None:
        yield f"per GPU     {recommend(plan, catalog, here.devices[plan.devices[0]])}"
    yield f"table       about {size(plan.table_bytes(plan.images))} for a cell per image"
    yield f"memory      up to {size(plan.memory)} a rank for masks and pixels between the passes"
    yield f"fingerprint {plan.fingerprint[:16]}"
    for note in plan.notes:
        yield f"note        {note}"


def recommend(plan: Plan, catalog: Catalog, device: str) -> str:
    """How many ranks should compute features beside one that segments on a GPU, and why."""
    try:
        trial = try_out(plan, catalog, device)
    except UserError as error:
        return f"nothing can be recommended: {error}"
    found = shares(trial.segment, trial.hold, trial.read, trial.row)
    chosen = best(found)
    count = f"{chosen.features} or more" if chosen is found[-1] else f"about {chosen.features}"
    where = f"on the CPU ({trial.lost})" if trial.lost else f"on {device}"
    read, segment, row = (f"{1e3 * s:.2f} ms" for s in (trial.read, trial.segment, trial.row))
    return (
        f"feature ranks beside each that segments: {count} (by {trial.images} images: {read} to "
        f"read one, {segment} to segment it {where}, {row} for its features)"
    )


def stages_in_order(config: Config) -> str:
    """What happens to an image, in the order in which it does; only what is on."""
    asked = {
        "project": config.project is not None,
        "offset": config.load.offset is not None,
        "illumination": config.illumination_correction is not None,
        "compensation": config.compensation is not None,
        "segment": config.segment is not None,
        "mask": config.mask is not None,
        "background": True,
        "normalization": config.normalization is not None,
    }
    return " > ".join(name if on else f"({name} off)" for name, on in asked.items())


def described(chosen: Rule, plan: Plan) -> str:
    """A filter in words."""
    if not chosen.parts():
        return rule_label(chosen, plan)
    how = " and " if chosen.all else " or "
    return f"({how.join(described(part, plan) for part in chosen.parts())})"


def _images(catalog: Catalog, plan: Plan) -> Iterator[str]:
    text = f"images      {len(catalog):,} in {len(catalog.files):,} files"
    if catalog.skipped:
        text += f"; {catalog.skipped:,} other files do not match and are left out"
    yield text
    counts = np.bincount(catalog.group, minlength=len(catalog.groups))
    shown = [f"{g} ({n:,})" for g, n in zip(catalog.groups, counts, strict=True)][:8]
    more = len(catalog.groups) - len(shown)
    yield f"groups      {', '.join(shown)}" + (f" and {more:,} more" if more else "")


def _illumination(plan: Plan) -> Iterator[str]:
    chosen, lit = plan.config.illumination_correction, plan.lit
    assert chosen is not None
    assert lit is not None
    pixels = len(plan.channel_names) * int(lit.shapes.prod(axis=1).sum())
    text = f"light       {chosen.method} by {chosen.key}: {len(lit.names):,} groups"
    if plan.functions is not None:
        yield f"{text}, computed before: {chosen.settings.precomputed}"
        return
    held = pixels * Sums.of(1, np.dtype(plan.dtype)).limbs.nbytes
    yield f"{text}; up to {size(held)} of sums a rank"


def _sample(catalog: Catalog, plan: Plan) -> Iterator[str]:
    loader = registry.find("loaders", plan.config.load.format)
    chosen = np.unique(np.linspace(0, len(catalog) - 1, SAMPLE).astype(np.int64))
    tiles, shapes, problems = tiles_of(plan, Path()), [], []
    for i in chosen.tolist():
        references = catalog.references(i, i + 1)
        grid = None if tiles is None else tiles.grid(references)
        batch, failures = loader.read(
            references,
            plan.channels,
            np.dtype(plan.dtype),
            # Of a field that may be larger than memory, the first tile.
            None if grid is None else grid.core(0),
            of=plan.sample.shape[0],
        )
        if grid is not None and len(batch):
            shapes.append((batch.channels, grid.height, grid.width))
        else:
            shapes += [tuple(s) for s in batch.shapes.tolist()]
        problems += [f"{catalog.image_names([i])[0]}: {f.error}" for f in failures]
    for problem in problems:
        yield f"unreadable  {problem}"
    if not shapes:
        raise UserError(f"none of {len(chosen)} sampled images can be read: {problems[0]}")
    heights, widths = [s[1] for s in shapes], [s[2] for s in shapes]
    yield (
        f"sizes       {len(shapes)} sampled: {plan.sample.shape[0]} channels of {plan.dtype}, "
        f"{min(heights)} to {max(heights)} rows, {min(widths)} to {max(widths)} columns"
    )


def size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:,.0f} {unit}" if unit == "bytes" else f"{count:,.1f} {unit}"
        count /= 1024
    return f"{count:,.1f} TiB"
