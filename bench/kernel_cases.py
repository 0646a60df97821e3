"""The program's kernels, and their plain twins from the tests, as cases of the benchmark."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import harness
import numpy as np
from kernel_inputs import COMBINED, SMOOTH, Cells

from scip_mpi.batches import ImageBatch, Scratch
from scip_mpi.features import (
    colocalization,
    cp_intensity,
    cp_shape,
    focus,
    gabor,
    gldm,
    glrlm,
    glszm,
    granularity,
    haralick,
    ideas,
    intensity,
    intensity_moments,
    lbp,
    neighbors,
    ngtdm,
    radial,
    raw,
    shape,
    spots,
    texture,
    zernike,
)
from scip_mpi.features.family import Family, whole_sets
from scip_mpi.features.shared import prepare
from scip_mpi.segmentation.crops import cut_crops, label_facts
from scip_mpi.segmentation.li import li
from scip_mpi.segmentation.otsu import otsu
from scip_mpi.segmentation.prefilters import normaltest
from scip_mpi.segmentation.spot import spot

SPOT = 5
US = "scip_mpi"
# Twins and peers do so many channels of a field: the others cost the same.
CHANNELS = 2
# What most peers measure.
FIVE = "intensity, five statistics"
# As CellProfiler does by default.
FINE = "haralick, 256 levels"
FAMILIES: dict[str, Family] = {
    "shape": shape.FAMILY,
    "intensity": intensity.FAMILY,
    FIVE: intensity.select(views=["own"], stats=["mean", "max", "min", "std", "median"]),
    "texture": texture.FAMILY,
    "co-occurrence": texture.select(sobel=[]),
    "Sobel": texture.select(properties=[]),
    "raw": raw.FAMILY,
    "haralick": haralick.FAMILY,
    FINE: haralick.select(levels=256),
    "glrlm": glrlm.FAMILY,
    "glszm": glszm.FAMILY,
    "ngtdm": ngtdm.FAMILY,
    "gldm": gldm.FAMILY,
    "lbp": lbp.FAMILY,
    "focus": focus.FAMILY,
    "gabor": gabor.FAMILY,
    "ideas": ideas.FAMILY,
    "spots": spots.FAMILY,
    "cp_intensity": cp_intensity.FAMILY,
    "radial": radial.FAMILY,
    "zernike": zernike.FAMILY,
    "colocalization": colocalization.FAMILY,
    "Costes": colocalization.select(measures=["costes"]),
    "granularity": granularity.FAMILY,
    "cp_shape": cp_shape.FAMILY,
    "moments": intensity_moments.FAMILY,
}


def each(kernel: str, channels: int) -> int:
    """How many channels, masks or pairs of channels of a cell a kernel does."""
    special = {"shape": channels + 1, "cp_shape": 1, "colocalization": math.comb(channels, 2)}
    return special.get("colocalization" if kernel == "Costes" else kernel, channels)


@dataclass(frozen=True)
class Case:
    """One way to do one thing.

    Attributes
    ----------
    kernel : str
        What is done: a mask method or a feature family.
    given : str
        ``crops`` or ``field``.
    who : str
        Whose code.
    how : str
        What of it is called.
    columns : int
        Values that come out for each cell and channel (mask, pair: `each`); 0 for a mask.
    units : int
        Cells times channels (masks, pairs) that a call does.
    call : callable
    """

    kernel: str
    given: str
    who: str
    how: str
    columns: int
    units: int
    call: Callable[[], Any]


def ours(cells: Cells) -> list[Case]:
    """Every kernel of the program, on crops and on the field that holds them."""
    batch, channels = cells.batch, cells.batch.channels
    field = ImageBatch.from_images([cells.field])
    units = len(cells) * channels
    found = []
    for given, images in (("crops", batch), ("field", field)):
        for kernel, call in _masks(images).items():
            found.append(Case(kernel, given, US, "compiled", 0, units, call))
    own_field = ImageBatch.from_images([cells.own_field()], dtype=np.uint8)
    for kernel, family in FAMILIES.items():
        features = len(family.features([str(c) for c in range(channels)]))
        parts = each(kernel, channels)
        out = np.full((len(cells), features), np.nan)
        scratch = Scratch()

        def on_crops(family: Family = family, out: Any = out, scratch: Scratch = scratch) -> None:
            family.compute(batch, cells.sets, prepare(family.needs, batch), out, scratch)

        def on_field(family: Family = family, out: Any = out, scratch: Scratch = scratch) -> None:
            row = np.zeros(len(cells), np.int64)
            crops = cut_crops(field, row, cells.bbox)
            own = cut_crops(own_field, row, cells.bbox).pixels
            sets = whole_sets(crops, own, COMBINED)
            family.compute(crops, sets, prepare(family.needs, crops), out, scratch)

        columns, done = features // parts, len(cells) * parts
        found.append(Case(kernel, "crops", US, "compiled", columns, done, on_crops))
        found.append(Case(kernel, "field", US, "compiled, with cutting", columns, done, on_field))
    found.append(_neighbors(cells))
    return found


def _neighbors(cells: Cells) -> Case:
    """Neighbours of the cells of the field, for each cell."""
    count = len(cells)
    boxes = np.empty((count + 1, 4), np.int64)
    label_facts(cells.labels, count, boxes, *np.empty((2, count + 1), np.int64))
    numbers = np.arange(1, count + 1)
    known = neighbors.Neighborhood(5)
    return Case(
        "neighbors", "field", US, "compiled, within 5 pixels", known.columns, count,
        lambda: known(cells.labels, numbers, boxes[1:]),
    )  # fmt: skip


def _masks(images: ImageBatch) -> dict[str, Callable[[], Any]]:
    everywhere = np.ones((len(images), images.channels), bool)
    listed = list(range(images.channels))
    return {
        "li": lambda: li(images, everywhere, np, smooth=[SMOOTH] * images.channels),
        "otsu": lambda: otsu(images, everywhere, np),
        "spot": lambda: spot(images, everywhere, np, spotsize=SPOT),
        "normaltest": lambda: normaltest(images, np, channel_indices=listed),
    }


def twins(few: Cells, cells: Cells) -> list[Case]:
    """What the kernels agree with, with scikit-image, SciPy and NumPy, plane by plane.

    ``few`` cells as crops, some channels of ``cells`` as a field.

    Raises
    ------
    ImportError
        The tests, or what they need, are not installed.
    """
    for folder in ("features", "segmentation"):
        sys.path.append(str(harness.ROOT / "tests" / folder))
    import mask_twins
    import twins as family_twins
    from scipy import stats

    channels = few.batch.channels
    images = list(few.batch)
    masks: dict[str, Callable[[Any], Any]] = {
        "li": lambda plane: mask_twins.twin_li(plane, SMOOTH),
        "otsu": mask_twins.twin_otsu,
        "spot": lambda plane: mask_twins.twin_spot(plane, SPOT),
        "normaltest": lambda plane: stats.normaltest(plane.astype(float), axis=None).pvalue,
    }
    found = []
    for kernel, twin in masks.items():
        for given, pictures in (("crops", images), ("field", [cells.field[:CHANNELS]])):

            def call(twin: Any = twin, pictures: Any = pictures) -> None:
                for picture in pictures:
                    for plane in picture:
                        twin(plane)

            units = len(few) * channels if given == "crops" else len(cells) * CHANNELS
            found.append(Case(kernel, given, "twin", "scikit-image, SciPy", 0, units, call))
    families: dict[str, tuple[int, Callable[[Any, Any, Any], Any]]] = {
        "shape": (59, lambda _, own, union: family_twins.shape(own, union)),
        "intensity": (88, family_twins.intensity),
        "texture": (56, family_twins.texture),
        "raw": (11, lambda image, *_: family_twins.raw(image)),
    }
    for kernel, (columns, twin) in families.items():
        parts = each(kernel, channels)

        def whole(twin: Any = twin) -> None:
            for image, own, union in zip(images, few.own, few.union, strict=True):
                twin(image, own, union)

        found.append(
            Case(kernel, "crops", "twin", "scikit-image, SciPy", columns, len(few) * parts, whole)
        )
    import texture_peers

    return [*found, *texture_peers.twins(few)]
