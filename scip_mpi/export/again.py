"""The crops and masks of cells, made again from the images of a finished run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.config import parse_config
from scip_mpi.config.schema import Resources
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog
from scip_mpi.parallel.roles import Sight
from scip_mpi.pipeline import Stages
from scip_mpi.plan import Plan, find_images, make_plan, suited
from scip_mpi.results import illumination
from scip_mpi.results.finished import Part
from scip_mpi.rows import cut_out
from scip_mpi.segmentation.bits import unpack_bits
from scip_mpi.segmenting import segment
from scip_mpi.stages import build_stages, lit_by
from scip_mpi.timers import Timers

# Images read at once.
TOGETHER = 64


@dataclass(frozen=True)
class Source:
    """The images of a run, and what was done to them, on the CPU."""

    plan: Plan
    catalog: Catalog
    stages: Stages
    notes: list[str]


@dataclass(frozen=True)
class Cell:
    """A cell as its features saw it: pixels (C, H, W), corrected, and masks (sets, C, H, W)."""

    pixels: NDArray[Any]
    masks: UInt8Array


def open_source(part: Part, paths: Sequence[str]) -> Source:
    """Find the images of a run again.

    Parameters
    ----------
    part : Part
        The run.
    paths : sequence of str
        Where they are.

    Raises
    ------
    UserError
        They are not those of the run, or the functions that they were divided by are lost.
    """
    if not paths and not parse_config(part.told["config"], "the run's config").load.paths:
        raise UserError("crops are read from the images again: give their PATHs after OUT")
    config = suited(parse_config(part.told["config"], "the run's config"), paths)
    if config.segment is not None and config.segment.tiles is not None:
        raise UserError("crops are not made of fields in tiles")
    config = config.model_copy(update={"resources": Resources(device="cpu")})
    catalog = find_images(config, paths)
    if len(catalog) != part.told["images"]:
        raise UserError(
            f"there are {len(catalog):,} images at {' '.join(paths)}, and the run had "
            f"{part.told['images']:,}: give the same PATHs in the same order"
        )
    plan = make_plan(config, catalog, [Sight("this node")])
    notes = []
    if plan.fingerprint != part.told["fingerprint"]:
        notes.append("the images or the program have changed since the run: masks may differ")
    stages = build_stages(plan)
    if plan.lit is not None and plan.functions is None:
        folder = part.out / illumination.FOLDER
        if not folder.is_dir():
            raise UserError(
                "the run did not export what it divided its images by: with "
                "illumination_correction: {export: true} crops can be made again"
            )
        assert stages.correction is not None
        shapes = [(len(plan.channel_names), h, w) for h, w in plan.lit.shapes.tolist()]
        functions = illumination.read_functions(str(folder), plan.lit.names, shapes)
        lit = replace(stages.correction, illumination=lit_by(plan.lit, functions))
        stages = replace(stages, correction=lit)
    return Source(plan, catalog, stages, notes)


def images_and_labels(file: h5py.File) -> tuple[Int64Array, Int64Array]:
    """Which image, by its place in the catalog, and which object of it each row is.

    Raises
    ------
    UserError
        The table is of several runs.
    """
    names = file["obs/_index"].asstr()[()].tolist()
    parts = [name.split("_") for name in names]
    if any(len(p) != 2 for p in parts):
        raise UserError(
            f"{names[0]} names no image and object: of merged tables, make crops run by run"
        )
    pairs = np.array(parts, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def cells(
    source: Source, image: Int64Array, label: Int64Array
) -> Iterator[tuple[Int64Array, list[Cell | None]]]:
    """Cells, a few images at a time: their places among those asked for, and what they are.

    None stands for a cell whose image cannot be read any more, or that is not found in it.

    Parameters
    ----------
    source : Source
    image : ndarray of int64
        Ascending, places in the catalog.
    label : ndarray of int64
        Of the object.
    """
    lo = 0
    while lo < len(image):
        first = int(image[lo])
        hi = int(np.searchsorted(image, first + TOGETHER))
        last = int(image[hi - 1]) + 1
        found = _read(source, first, last, set(image[lo:hi].tolist()))
        keys = zip(image[lo:hi].tolist(), label[lo:hi].tolist(), strict=True)
        yield np.arange(lo, hi), [found.get(key) for key in keys]
        lo = hi


def _read(source: Source, lo: int, hi: int, wanted: set[int]) -> dict[tuple[int, int], Cell]:
    """Cells of images of a stretch of the catalog, by image and label."""
    rows = np.array(sorted(i - lo for i in wanted if lo <= i < hi), np.int64)
    found: dict[tuple[int, int], Cell] = {}
    for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        references = source.catalog.references(lo + int(run[0]), lo + int(run[-1]) + 1)
        record, raw = segment(source.stages, references, Timers())
        assert raw is not None
        masks = record.objects()
        crops = cut_out(raw, masks)
        masks = masks.take(crops.index)
        pixels = source.stages.corrected_crops(crops, masks)
        sets = [unpack_bits(masks, s) for s in range(masks.sets)]
        for k, key in enumerate(zip(masks.image.tolist(), masks.label.tolist(), strict=True)):
            part = slice(*pixels.offsets[k : k + 2].tolist())
            shape = tuple(pixels.shapes[k].tolist())
            own = [bits[part].reshape(shape) for bits in sets]
            found[key] = Cell(np.asarray(pixels.image(k)), np.stack(own))
    return found
