"""Lengths and areas in micrometres: the size of a pixel, and what it makes of each column."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np

from scip_mpi import registry
from scip_mpi.batches import FloatArray
from scip_mpi.columns import ColumnPlan
from scip_mpi.config import Config
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import Catalog

# Sizes that differ by less, relatively, were the same before they were written as text.
TOLERANCE = 1e-6
_LENGTH = re.compile(r"pixel(?:\^(\d+))?")
_ADVICE = "give load.pixel_size, in micrometres, or write units: pixel"


def pixel_size(config: Config, catalog: Catalog) -> float | None:
    """Micrometres per pixel of all images; None where the table is to be in pixels.

    That of `load.pixel_size`, otherwise the images' own.

    Raises
    ------
    UserError
        Images do not tell it, or they differ in it.
    """
    if config.units == "pixel":
        return None
    if config.load.pixel_size is not None:
        return config.load.pixel_size
    sizes = catalog.numbers.get("pixel_size", np.full(len(catalog), math.nan))
    told = np.isfinite(sizes) & (sizes > 0)
    known = np.flatnonzero(told)
    for i in np.flatnonzero(~told).tolist():
        if not len(known) or _readable(config, catalog, i):
            raise UserError(
                f"units: um needs the size of a pixel, which {catalog.image_names([i])[0]} does "
                f"not tell (or its pixels are not square): {_ADVICE}"
            )
    low, high = (int(known[k]) for k in (sizes[known].argmin(), sizes[known].argmax()))
    if sizes[high] > sizes[low] * (1 + TOLERANCE):
        small, large = catalog.image_names([low, high])
        raise UserError(
            f"units: um needs pixels of one size: those of {small} are {sizes[low]:g} um, of "
            f"{large} {sizes[high]:g} um: run them apart, {_ADVICE}"
        )
    return float(sizes[known[0]])


def _readable(config: Config, catalog: Catalog, image: int) -> bool:
    """Whether an image can be read at all: one that cannot will be a failure, and tells nothing."""
    own = catalog.references(image, image + 1).alone()
    try:
        registry.find("loaders", config.load.format).probe(own.sources[0], int(own.within[0]))
    except UserError:
        return False
    return True


def lengths(columns: ColumnPlan, size: float) -> FloatArray:
    """What turns each column's pixels into micrometres: a power of the size, shape (columns,).

    1 for a column that is no length, area, or moment of one.
    """
    powers = (_LENGTH.fullmatch(f.unit) for f in columns.features)
    # By multiplication alone, which rounds the same way everywhere.
    return np.array([math.prod([size] * int(m[1] or 1)) if m else 1.0 for m in powers])


def in_micrometres(columns: ColumnPlan) -> ColumnPlan:
    """The same columns with ``um`` for ``pixel`` in their units."""
    features = [
        replace(f, unit=f.unit.replace("pixel", "um")) if _LENGTH.fullmatch(f.unit) else f
        for f in columns.features
    ]
    return replace(columns, features=features)
