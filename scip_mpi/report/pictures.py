"""Galleries as pictures: the chosen cells read again, all channels in the same contrast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scip_mpi.again import Source
from scip_mpi.batches import FloatArray
from scip_mpi.report.crops import Crop, Reader
from scip_mpi.report.galleries import Cell, Gallery
from scip_mpi.report.outlines import GAP, corner, outline, png, shrink_by, strip
from scip_mpi.timers import Timers

# Seconds in which random images are read again for the contrast, and then those of the galleries.
RANDOM_SECONDS = 2.5
SECONDS = 6.0
# Bytes of all pictures: masks of noise have long outlines.
BYTES = 7_000_000
# Images of which the contrast is, pixels of each cell that count, and what is black and white.
RANDOM = 60
PIXELS = 2000
QUANTILES = (0.005, 0.995)


@dataclass(frozen=True)
class Picture:
    """A cell as it is drawn.

    Attributes
    ----------
    cell : Cell
    png : str
    width, height : int
    outlines : dict of str to str
        A path for each mask set, by its name.
    """

    cell: Cell
    png: str
    width: int
    height: int
    outlines: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return len(self.png) + sum(map(len, self.outlines.values()))


@dataclass(frozen=True)
class Pictures:
    """All galleries.

    Attributes
    ----------
    galleries : list of (Gallery, list of Picture)
    contrast : ndarray of float64, shape (C, 2)
    random : int
        Cells that the contrast is of.
    at_border : dict of str to (int, int)
        Of each mask set, how many of the random cells have a mask that touches the image's border,
        and of how many that have any.
    notes : list of str
    """

    galleries: list[tuple[Gallery, list[Picture]]]
    contrast: FloatArray
    random: int
    at_border: dict[str, tuple[int, int]]
    notes: list[str]


def draw_pictures(
    source: Source, galleries: Sequence[Gallery], images: Sequence[int], timers: Timers
) -> Pictures:
    """Read the cells again and draw them.

    Parameters
    ----------
    source : Source
    galleries : sequence of Gallery
    images : sequence of int
        Images in random order, for the contrast.
    timers : Timers
    """
    wanted: dict[int, set[int]] = {}
    for cell in (cell for gallery in galleries for cell in gallery.cells):
        wanted.setdefault(cell.image, set()).add(cell.label)
    reader = Reader(source, wanted, RANDOM_SECONDS, timers)
    random = [crop for image in images[:RANDOM] for crop in reader.random(image)]
    reader.until += SECONDS
    drawn: list[tuple[Gallery, list[Picture]]] = []
    shown = asked = size = left = 0
    sets = source.plan.sets
    contrast = contrast_of(random, len(source.plan.channel_names))
    for gallery in galleries:
        crops = [(cell, reader.cell(cell.image, cell.label)) for cell in gallery.cells]
        there = [(cell, crop) for cell, crop in crops if crop is not None]
        shown, asked = shown + len(there), asked + len(crops)
        found = draw(there, contrast, sets)
        size += sum(picture.size for picture in found)
        if size > BYTES:
            left += len(found)
        else:
            drawn.append((gallery, found))
    notes = list(source.notes)
    if reader.problems:
        notes.append(f"{len(reader.problems)} images can no longer be read: {reader.problems[0]}")
    elif shown < asked:
        notes.append(f"{asked - shown} cells are left out, as images took long to segment again")
    if left:
        notes.append(f"{left} cells are left out, as the page would be too large")
    touching = {}
    for s, name in enumerate(sets):
        masked = [crop for crop in random if crop.kept[s]]
        touching[name] = sum(bool(crop.at_border[s]) for crop in masked), len(masked)
    return Pictures(drawn, contrast, len(random), touching, notes)


def contrast_of(crops: Sequence[Crop], channels: int) -> FloatArray:
    """What is black and what is white in each channel, by the pixels of some cells."""
    out = np.tile([0.0, 1.0], (channels, 1))
    if crops:
        parts = []
        for crop in crops:
            flat = crop.pixels.reshape(channels, -1)
            parts.append(flat[:, :: max(1, flat.shape[1] // PIXELS)].astype(np.float64))
        pixels = np.concatenate(parts, axis=1)
        # A channel of NaN has no contrast.
        for c in np.flatnonzero(np.isfinite(pixels).any(axis=1)).tolist():
            out[c] = np.nanquantile(pixels[c], QUANTILES)
    return out


def draw(
    cells: Sequence[tuple[Cell, Crop]], contrast: FloatArray, sets: Sequence[str]
) -> list[Picture]:
    """The cells of a gallery, all at one scale."""
    if not cells:
        return []
    shapes = np.array([crop.pixels.shape for _, crop in cells])
    return draw_smaller(cells, contrast, sets, shrink_by(shapes.max(axis=0)))


def draw_smaller(
    cells: Sequence[tuple[Cell, Crop]], contrast: FloatArray, sets: Sequence[str], factor: int
) -> list[Picture]:
    """Cells, or whole images, of which squares of so many pixels become one."""
    sizes = np.array([crop.pixels.shape[1:] for _, crop in cells])
    sizes = -(-sizes // factor)
    tile = int(sizes[:, 0].max()), int(sizes[:, 1].max())
    found = []
    for (cell, crop), size in zip(cells, sizes.tolist(), strict=True):
        image = strip(crop.pixels, contrast, factor, tile)
        top, left = corner(size, tile)
        paths = {}
        for s, name in enumerate(sets):
            if crop.kept[s]:
                paths[name] = "".join(
                    outline(mask, 1 / factor, top, left + c * (tile[1] + GAP))
                    for c, mask in enumerate(crop.masks[s])
                )
        found.append(Picture(cell, png(image), image.shape[1], image.shape[0], paths))
    return found
