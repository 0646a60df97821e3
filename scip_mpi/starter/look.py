"""What sample images show: which channel has the objects, and whether an image is one cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray

BINS = 256
# An image with so many objects, in the middle of the sample, is a field of view.
FIELD_OBJECTS = 3
# One smaller than this is a cell whatever it shows.
FIELD_SIDE = 128
# Pixels of the smallest thing taken for an object.
LEAST_AREA = 20


@dataclass(frozen=True)
class Look:
    """What a sample of images shows.

    Attributes
    ----------
    contrast : list of float
        Of each channel, 0 to 1: the share of the pixels' variance that a threshold explains.
    main : int
        The channel of the highest contrast.
    objects : float
        Median number of objects that a threshold finds in it.
    field : bool
        Whether images are fields of view.
    dark : bool
        Whether objects are darker than what is around them.
    """

    contrast: list[float]
    main: int
    objects: float
    field: bool
    dark: bool


def look(images: Sequence[NDArray[Any]], field: bool | None = None) -> Look:
    """Look at a sample.

    Parameters
    ----------
    images : sequence of ndarray, shape (C, H, W)
    field : bool, optional
        Whether images are fields of view, where that is known.
    """
    found = [[separation(plane) for plane in image] for image in images]
    contrast = np.mean([[share for share, _ in planes] for planes in found], axis=0)
    main = int(np.argmax(contrast))
    counts, darker = [], []
    for image, planes in zip(images, found, strict=True):
        plane, threshold = np.asarray(image[main], np.float64), planes[main][1]
        border = np.concatenate([plane[0], plane[-1], plane[:, 0], plane[:, -1]])
        dark = float(np.median(border)) > threshold
        darker.append(dark)
        counts.append(count_objects(plane < threshold if dark else plane > threshold))
    objects = float(np.median(counts))
    side = float(np.median([min(image.shape[1:]) for image in images]))
    if field is None:
        field = objects >= FIELD_OBJECTS and side >= FIELD_SIDE
    return Look([round(float(c), 3) for c in contrast], main, objects, field,
                float(np.mean(darker)) > 0.5)  # fmt: skip


def separation(plane: NDArray[Any]) -> tuple[float, float]:
    """Otsu's threshold, and the share of the variance between its two sides; 0 of a flat plane."""
    values = np.asarray(plane, np.float64).reshape(-1)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 0.0
    # A few extreme pixels are not the contrast of the picture.
    lo, hi = np.percentile(values, (0.1, 99.9))
    if lo == hi:
        return 0.0, float(lo)
    counts, edges = np.histogram(np.clip(values, lo, hi), BINS, (lo, hi))
    middle = (edges[:-1] + edges[1:]) / 2
    share = counts / counts.sum()
    mean, variance = _moments(share, middle)
    below = np.cumsum(share)[:-1]
    first = np.cumsum(share * middle)[:-1]
    inside = (below > 0) & (below < 1)
    between = np.zeros(BINS - 1)
    weight = below[inside] * (1 - below[inside])
    between[inside] = (mean * below[inside] - first[inside]) ** 2 / weight
    best = int(between.argmax())
    return (float(between[best] / variance) if variance else 0.0), float(edges[best + 1])


def _moments(share: FloatArray, middle: FloatArray) -> tuple[float, float]:
    mean = float((share * middle).sum())
    return mean, float((share * (middle - mean) ** 2).sum())


def count_objects(mask: NDArray[np.bool_]) -> int:
    """Components of at least `LEAST_AREA` pixels."""
    from skimage.measure import label

    areas = np.bincount(label(mask, connectivity=2).reshape(-1))[1:]
    return int((areas >= LEAST_AREA).sum())
