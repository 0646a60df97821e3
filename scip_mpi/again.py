"""The images of a finished run, found again, and the stages that they went through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scip_mpi.config.reading import parse_config
from scip_mpi.config.schema import Config, Resources
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog
from scip_mpi.parallel.roles import Sight
from scip_mpi.pipeline import Stages
from scip_mpi.plan import Plan, find_images, make_plan, suited
from scip_mpi.results import illumination
from scip_mpi.stages import build_stages, lit_by

IN_TILES = "pictures of cells are not made of fields in tiles"


@dataclass(frozen=True)
class Source:
    """Where crops come from: the images of a run, and its stages on the CPU.

    Attributes
    ----------
    plan : Plan
    catalog : Catalog
    stages : Stages
    notes : sequence of str
        What is not as it was in the run.
    """

    plan: Plan
    catalog: Catalog
    stages: Stages
    notes: Sequence[str] = ()

    @property
    def lacks_light(self) -> bool:
        """Whether the functions that images were divided by are lost."""
        correction = self.stages.correction
        return self.plan.lit is not None and (correction is None or correction.illumination is None)


def in_tiles(config: Config) -> bool:
    """Whether fields are cut into tiles, so that one may be larger than memory."""
    return config.segment is not None and config.segment.tiles is not None


def open_source(out: Path, told: Mapping[str, Any], paths: Sequence[str] = ()) -> Source:
    """Find the images of a finished run again.

    Parameters
    ----------
    out : Path
        Its folder.
    told : mapping
        Its run.json.
    paths : sequence of str
        Where the images are; by default where they were.

    Raises
    ------
    UserError
        The run does not say where they are (a merge, or an older version's), they are not there
        any more, or the config no longer fits them; or fields are in tiles.
    """
    paths = paths or told.get("paths") or ()
    if not paths:
        raise UserError("run.json does not say where the images are")
    config = suited(parse_config(told["config"], "the run's config"), paths)
    if in_tiles(config):
        raise UserError(IN_TILES)
    config = config.model_copy(update={"resources": Resources(device="cpu")})
    catalog = find_images(config, paths)
    if len(catalog) != told["images"]:
        raise UserError(
            f"there are {len(catalog):,} images at {' '.join(paths)}, and the run had "
            f"{told['images']:,}: it is to be the same PATHs in the same order"
        )
    plan = make_plan(config, catalog, [Sight("this node")])
    stages, notes = build_stages(plan), []
    if plan.fingerprint != told["fingerprint"]:
        notes.append("the images or the program have changed since the run: masks may differ")
    if plan.lit is not None and plan.functions is None:
        folder = out / illumination.FOLDER
        if folder.is_dir():
            assert stages.correction is not None
            shapes = [(len(plan.channel_names), h, w) for h, w in plan.lit.shapes.tolist()]
            functions = illumination.read_functions(str(folder), plan.lit.names, shapes)
            lit = replace(stages.correction, illumination=lit_by(plan.lit, functions))
            stages = replace(stages, correction=lit)
        else:
            notes.append(
                "without the correction of illumination, which the run did not export: masks may "
                "differ"
            )
    return Source(plan, catalog, stages, notes)
