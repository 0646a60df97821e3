"""The crops and masks of cells, made again from the images of a finished run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from scip_mpi.again import Source, open_source
from scip_mpi.batches import Int64Array, UInt8Array
from scip_mpi.errors import UserError
from scip_mpi.results.finished import Part
from scip_mpi.rows import cut_out
from scip_mpi.segmentation.bits import unpack_bits
from scip_mpi.segmenting import segment
from scip_mpi.timers import Timers

# Images read at once.
TOGETHER = 64


@dataclass(frozen=True)
class Cell:
    """A cell as its features saw it: pixels (C, H, W), corrected, and masks (sets, C, H, W)."""

    pixels: NDArray[Any]
    masks: UInt8Array


def reopen(part: Part, paths: Sequence[str]) -> Source:
    """Find the images of a run again, all that was done to them included.

    Parameters
    ----------
    part : Part
        The run.
    paths : sequence of str
        Where they are; by default where they were.

    Raises
    ------
    UserError
        They are not those of the run, or the functions that they were divided by are lost.
    """
    if not paths and part.told.get("cwd") != os.getcwd() and not _absolute(part.told):
        raise UserError("crops are read from the images again: give their PATHs after OUT")
    source = open_source(part.out, part.told, paths)
    if source.lacks_light:
        raise UserError(
            "the run did not export what it divided its images by: with "
            "illumination_correction: {export: true} crops can be made again"
        )
    return source


def _absolute(told: Mapping[str, Any]) -> bool:
    """Whether a run says where its images are, whatever folder one is in."""
    paths = told.get("paths") or ["."]
    return all(os.path.isabs(path) for path in paths)


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
