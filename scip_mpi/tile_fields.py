"""Large fields, as the steps that segment them in tiles see them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from scip_mpi.batches import ImageBatch, UInt8Array
from scip_mpi.loaders.contract import Failure, References
from scip_mpi.pipeline import Stages
from scip_mpi.segmentation.fields import FieldPlan, Segmenter
from scip_mpi.segmentation.tiles.grid import Box, Grid


@dataclass(frozen=True)
class Field:
    """One large field: its references, and its tiles."""

    references: References
    grid: Grid

    @property
    def image(self) -> int:
        """Its place in the catalog."""
        return int(self.references.index[0])


def segmenters_of(plan: FieldPlan) -> list[tuple[int, Segmenter]]:
    """Channels with labels of their own, the parents' first, and what labels them."""
    return [(plan.parent, plan.segmenter), *plan.children.items()]


def read_box(
    stages: Stages, references: References, grid: Grid, box: Box
) -> tuple[ImageBatch, dict[str, ImageBatch], list[Failure]]:
    """A part of an image as it was read, its companions, and why it could not be, if so."""
    raw, failures = stages.read(references, box)
    companions: dict[str, ImageBatch] = {}
    if stages.beside is not None and len(raw):
        size = (grid.height, grid.width)
        raw, companions, lacking = stages.beside(references, raw, window=box, size=size)
        failures = failures + lacking
    return raw, companions, failures


def plan_of(stages: Stages) -> FieldPlan:
    """How the fields become objects."""
    assert stages.fields is not None
    return stages.fields


def packed(failures: Sequence[Failure]) -> UInt8Array:
    """Failures as `scip_mpi.pipeline.failures_of` takes them."""
    return np.frombuffer(json.dumps([asdict(f) for f in failures]).encode(), np.uint8)
