"""The page: everything in one file of HTML, which opens without a network."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import scip_mpi
from scip_mpi.again import Source
from scip_mpi.report.charts import legend
from scip_mpi.report.facts import LISTED, Facts
from scip_mpi.report.found import dropped_masks, empty_masks, what_was_found
from scip_mpi.report.galleries import choose_galleries, random_order
from scip_mpi.report.labels import read_labels
from scip_mpi.report.links import links
from scip_mpi.report.outlines import GAP
from scip_mpi.report.pictures import Pictures, draw_pictures
from scip_mpi.report.plane import make_map
from scip_mpi.report.ran import what_was_run
from scip_mpi.report.worries import worries
from scip_mpi.timers import Timers

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True)
class Wishes:
    """What a report is to show beside what stands in OUT.

    Attributes
    ----------
    source : Source or str
        Where crops are read again, or why they cannot be.
    labels : Path, optional
        A CSV of labels.
    timers : Timers
        Which count the images that are read.
    patient : bool
        Whether the reader has a minute for what takes long, as no other ranks wait.
    """

    source: Source | str
    labels: Path | None = None
    timers: Timers = field(default_factory=Timers)
    patient: bool = False


def render(facts: Facts, wishes: Wishes) -> str:
    """The page as text.

    Raises
    ------
    UserError
        The labels cannot be read.
    """
    sample = facts.sample
    labels = {}
    if wishes.labels is not None:
        codes, categories = sample.texts["image"]
        labels = read_labels(wishes.labels, sample.names, [categories[k] for k in codes])
    pictures = None
    if isinstance(wishes.source, Source):
        galleries, images = choose_galleries(facts), random_order(facts)
        pictures = draw_pictures(wishes.source, galleries, images, wishes.timers)
    empty = empty_masks(facts)
    there = max(int(facts.good.sum()), 1)
    dropped = {name: rows.sum() / there for name, rows in dropped_masks(facts).items()}
    found_at_border = _at_border(facts, pictures)
    return template("report.html").render(
        title=facts.out.resolve().name,
        program=scip_mpi.__version__,
        written=time.strftime("%Y-%m-%d %H:%M"),
        told=facts.told,
        worries=worries(facts, empty, dropped, found_at_border),
        ran=what_was_run(facts.told),
        found=what_was_found(facts, empty),
        failures=facts.failures,
        listed=LISTED,
        channels=facts.channels,
        sets=facts.sets,
        pictures=pictures,
        no_pictures=wishes.source if isinstance(wishes.source, str) else "",
        gap=GAP,
        map=make_map(facts, labels, wishes.patient),
        links=links(facts.out),
        legend=legend,
    )


def template(name: str) -> Template:
    """A page to be filled in."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("scip_mpi.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def _at_border(facts: Facts, pictures: Pictures | None) -> dict[str, tuple[int, int]]:
    """Without masks and segmentation a cell is the whole image, and touches its border."""
    masked = any(facts.sets) or "segment:" in facts.told["config"]
    return pictures.at_border if pictures is not None and masked else {}
