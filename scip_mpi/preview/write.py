"""Writing the page of a preview."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import scip_mpi
from scip_mpi.batches import Int64Array
from scip_mpi.check import what_would_be_done
from scip_mpi.config import read_config
from scip_mpi.config.schema import Resources
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog
from scip_mpi.parallel.roles import Sight
from scip_mpi.plan import Plan, find_images, make_plan, suited
from scip_mpi.preview.shots import OBJECTS, PIXELS, Shot, sampled, take
from scip_mpi.preview.summary import filtered, problems
from scip_mpi.progress import open_progress
from scip_mpi.report import put
from scip_mpi.report.charts import legend
from scip_mpi.report.galleries import Cell
from scip_mpi.report.outlines import GAP
from scip_mpi.report.page import template
from scip_mpi.report.pictures import Picture, contrast_of, draw_smaller
from scip_mpi.stages import build_stages, tiles_of
from scip_mpi.timers import Timers

# Bytes of all pictures: masks of noise have long outlines.
BYTES = 20_000_000
# What a page of ours has in its head.
MARK = "preview of scip_mpi"


def preview(
    config_path: Path, paths: Sequence[str], number: int, page: Path, quiet: bool = False
) -> list[str]:
    """Segment a sample of images and write a page that shows it.

    Parameters
    ----------
    config_path : Path
    paths : sequence of str
    number : int
        Images of the sample.
    page : Path
        An earlier preview there is replaced.
    quiet : bool
        No progress.

    Returns
    -------
    list of str
        What was found, in lines.

    Raises
    ------
    UserError
        What a run would refuse too; or the page cannot be written there.
    """
    refuse_others(page)
    config = suited(read_config(config_path), paths)
    # Masks are the same on every device, and there may be none here.
    config = config.model_copy(update={"resources": Resources(device="cpu")})
    catalog = find_images(config, paths)
    here = Sight("this node")
    plan = make_plan(config, catalog, [here])
    lines = list(what_would_be_done(config_path, catalog, plan, here))
    chosen = sampled(len(catalog), number)
    shots, failures = take_all(plan, catalog, chosen, quiet)
    layers = list(plan.sets)
    if config.segment is not None and config.mask is not None:
        layers.append(OBJECTS)
    pictures, notes = draw(plan, catalog, shots, layers)
    found = problems(plan, shots)
    if plan.lit is not None and plan.functions is None:
        notes.append(
            "These images are without the correction of illumination, which is known only when "
            "all images were read: masks may differ."
        )
    objects = sum(shot.objects for shot in shots)
    text = template("preview.html").render(
        title=f"{config_path.name}: {MARK}",
        config_path=config_path,
        paths=[*paths] or list(config.load.paths or ()),
        program=scip_mpi.__version__,
        written=time.strftime("%Y-%m-%d %H:%M"),
        images=len(catalog),
        sampled=len(chosen),
        objects=objects,
        failures=failures,
        problems=found,
        notes=notes,
        channels=plan.channel_names,
        sets=layers,
        pictures=pictures,
        gap=GAP,
        filtered=filtered(plan, shots),
        no_filter=config.filter is None,
        lines=lines,
        config=config_path.read_text(encoding="utf-8", errors="replace"),
        legend=legend({"kept": "kept", "gone": "discarded"}),
    )
    try:
        put(page, text)
    except OSError as error:
        raise UserError(f"{page} cannot be written: {error.strerror}") from error
    return [
        f"images      {len(chosen):,} of {len(catalog):,}, {len(failures):,} failed",
        f"objects     {objects:,}",
        *(f"unreadable  {name}: {error}" for name, error in failures),
        *(f"problem     {problem}" for problem in found),
        f"preview     {page}",
    ]


def refuse_others(page: Path) -> None:
    """Refuse to replace what is no preview."""
    if page.is_dir():
        raise UserError(f"{page} is a folder; give the name of a page with -o")
    if page.exists() and MARK.encode() not in page.read_bytes()[:2000]:
        raise UserError(f"{page} is there, and is no preview; give another name with -o")
    if not page.parent.is_dir():
        raise UserError(f"there is no folder {page.parent} for {page.name}")


def take_all(
    plan: Plan, catalog: Catalog, chosen: Int64Array, quiet: bool
) -> tuple[list[Shot], list[tuple[str, str]]]:
    """The images of the sample, and the names and errors of those that failed."""
    stages, tiles, timers = build_stages(plan), tiles_of(plan, Path()), Timers()
    shots, failures = [], []
    progress = open_progress(quiet)
    try:
        progress.start("preview", len(chosen), "images")
        for image in chosen.tolist():
            references = catalog.references(image, image + 1)
            shot = take(stages, references, tiles, PIXELS // len(chosen), timers)
            if isinstance(shot, Shot):
                shots.append(shot)
            else:
                failures.append((catalog.image_names([image])[0], shot))
            progress.advance(1, isinstance(shot, str))
        progress.finish()
    finally:
        progress.close()
    return shots, failures


def draw(
    plan: Plan, catalog: Catalog, shots: Sequence[Shot], layers: Sequence[str]
) -> tuple[list[Picture], list[str]]:
    """Pictures of the sample in one contrast, as many as the page takes, and notes on them."""
    if not shots:
        return [], []
    contrast = contrast_of([shot.picture for shot in shots], len(plan.channel_names))
    cells = []
    for shot in shots:
        name = catalog.image_names([shot.image])[0]
        cells.append((Cell(shot.image, 1, name, said_of(plan, shot)), shot.picture))
    pictures = draw_smaller(cells, contrast, layers, 1)
    sizes = np.cumsum([picture.size for picture in pictures])
    there = int(np.searchsorted(sizes, BYTES, side="right"))
    notes = []
    if there < len(pictures):
        notes.append(f"{len(pictures) - there} images are left out, as the page would be too large")
    return pictures[:there], notes


def said_of(plan: Plan, shot: Shot) -> str:
    """What stands below a picture."""
    cells = "1 cell" if shot.objects == 1 else f"{shot.objects:,} cells"
    words = [cells] if plan.config.segment is not None or shot.objects != 1 else []
    for name, count in zip(plan.sets, shot.dropped.tolist(), strict=True):
        if count:
            what = "dropped" if shot.objects == 1 else f"{count:,} dropped"
            words.append(f"{what} by {name}" if name else what)
    if shot.factor > 1:
        words.append(f"{shot.factor} x {shot.factor} pixels are one")
    return ", ".join([*words, shot.part] if shot.part else words)
