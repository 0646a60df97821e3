"""Crops of cells and their masks, read and made again as in the run."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Int64Array, MaskBatch, UInt8Array
from scip_mpi.config.reading import parse_config
from scip_mpi.config.schema import Config, Resources
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog
from scip_mpi.parallel.roles import Sight
from scip_mpi.pipeline import Stages
from scip_mpi.plan import Plan, find_images, make_plan, suited
from scip_mpi.results import illumination
from scip_mpi.rows import cut_out
from scip_mpi.segmentation.bits import unpack_bits
from scip_mpi.segmenting import segment
from scip_mpi.stages import build_stages, lit_by
from scip_mpi.timers import Timers

# Cells of an image that are taken at random: a field may hold thousands.
CELLS = 20
IN_TILES = "pictures of cells are not drawn of fields in tiles"


@dataclass(frozen=True)
class Source:
    """Where crops come from: the images of a run, and its stages on the CPU.

    Attributes
    ----------
    plan : Plan
    catalog : Catalog
    stages : Stages
    notes : list of str
        What is not as it was in the run.
    """

    plan: Plan
    catalog: Catalog
    stages: Stages
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Crop:
    """A cell as the features saw it.

    Attributes
    ----------
    pixels : ndarray, shape (C, H, W)
        Corrected.
    masks : ndarray of uint8, shape (S, C, H, W)
    kept : ndarray of bool, shape (S,)
        Mask sets that did not drop it.
    at_border : ndarray of bool, shape (S,)
        Whether any mask of a set touches the border of the image.
    """

    pixels: NDArray[Any]
    masks: UInt8Array
    kept: BoolArray
    at_border: BoolArray


class Reader:
    """Reads images again, each once, until its time is up.

    Parameters
    ----------
    source : Source
    wanted : mapping of int to set of int
        By image, the labels of the cells that will be asked for.
    seconds : float
        Once so much has passed no further image is begun.
    timers : Timers
    """

    def __init__(
        self, source: Source, wanted: Mapping[int, Set[int]], seconds: float, timers: Timers
    ) -> None:
        self.source = source
        self.wanted = wanted
        self.timers = timers
        self.until = time.monotonic() + seconds
        self.known: dict[int, dict[int, Crop]] = {}
        self.problems: list[str] = []

    @property
    def over(self) -> bool:
        """Whether its time is up."""
        return time.monotonic() > self.until

    def cell(self, image: int, label: int) -> Crop | None:
        """A cell that was to be asked for; None if it cannot be read, or time is up."""
        if image not in self.known and not self.over:
            self.known[image] = {}
            self._read(image)
        return self.known.get(image, {}).get(label)

    def random(self, image: int) -> list[Crop]:
        """Some cells of an image at random, of one that was not read yet."""
        if image in self.known or self.over:
            return []
        self.known[image] = {}
        return self._read(image)

    def _read(self, image: int) -> list[Crop]:
        """Read an image; cells that will be asked for are kept, random ones returned."""
        stages = self.source.stages
        references = self.source.catalog.references(image, image + 1)
        record, raw = segment(stages, references, self.timers)
        assert raw is not None
        self.problems += [f.error for f in record.failed()]
        masks = record.objects()
        chosen = np.random.default_rng(image).permutation(len(masks))[:CELLS]
        asked = np.flatnonzero(np.isin(masks.label, list(self.wanted.get(image, ()))))
        masks = masks.take(np.concatenate([chosen, asked]))
        crops = cut_out(raw, masks)
        found = cut(stages, crops, masks.take(crops.index), raw.shapes[0, 1:]) if len(raw) else []
        self.known[image] |= dict(
            zip(masks.label[len(chosen) :].tolist(), found[len(chosen) :], strict=True)
        )
        return found[: len(chosen)]


def cut(stages: Stages, crops: ImageBatch, masks: MaskBatch, ends: Int64Array) -> list[Crop]:
    """Crops and masks of cells of one image, whose rows and columns are ``ends``."""
    pixels = stages.corrected_crops(crops, masks)
    sets = [unpack_bits(masks, s) for s in range(masks.sets)]
    found = []
    for k in range(len(masks)):
        lo, hi = pixels.offsets[k : k + 2]
        shape = tuple(pixels.shapes[k].tolist())
        box = masks.set_bbox[k] + np.tile(masks.bbox[k, :2], 2)
        at_border = (box[:, :2] <= 0).any(axis=1) | (box[:, 2:] >= ends).any(axis=1)
        found.append(
            Crop(
                pixels.image(k),
                np.stack([own[lo:hi].reshape(shape) for own in sets]),
                masks.kept[k],
                at_border & (masks.set_bbox[k, :, 0] >= 0),
            )
        )
    return found


def in_tiles(config: Config) -> bool:
    """Whether fields are cut into tiles, so that one may be larger than memory."""
    return config.segment is not None and config.segment.tiles is not None


def open_source(out: Path, told: Mapping[str, Any]) -> Source:
    """Find the images of a finished run again.

    Parameters
    ----------
    out : Path
        Its folder.
    told : mapping
        Its run.json.

    Raises
    ------
    UserError
        The run does not say where they are (a merge, or an older version's), they are not there
        any more, or the config no longer fits them; or fields are in tiles.
    """
    if not told.get("paths"):
        raise UserError("run.json does not say where the images are")
    config = suited(parse_config(told["config"], "the run's config"), told["paths"])
    if in_tiles(config):
        raise UserError(IN_TILES)
    config = config.model_copy(update={"resources": Resources(device="cpu")})
    catalog = find_images(config, told["paths"])
    plan = make_plan(config, catalog, [Sight("this node")])
    stages, notes = build_stages(plan), []
    if plan.images != told["images"]:
        raise UserError(f"there are {plan.images:,} images now, there were {told['images']:,}")
    if plan.fingerprint != told["fingerprint"]:
        notes.append("the images or the program have changed since the run: masks may differ")
    if plan.lit is not None and plan.functions is None:
        assert stages.correction is not None
        folder = out / illumination.FOLDER
        if folder.is_dir():
            shapes = [(len(plan.channel_names), h, w) for h, w in plan.lit.shapes.tolist()]
            functions: list[FloatArray] = illumination.read_functions(
                str(folder), plan.lit.names, shapes
            )
            lit = replace(stages.correction, illumination=lit_by(plan.lit, functions))
            stages = replace(stages, correction=lit)
        else:
            notes.append(
                "without the correction of illumination, which the run did not export: masks may "
                "differ"
            )
    return Source(plan, catalog, stages, notes)
