"""Neighbours as CellProfiler's definition reads, with SciPy, object by object."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def disc(radius: float) -> NDArray[np.bool_]:
    reach = int(radius)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return y**2 + x**2 <= radius**2


def outlines(labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Pixels with one of another label around them, or on the edge of the field."""
    padded = np.pad(labels, 1, constant_values=-1)
    h, w = labels.shape
    around = [padded[1 + y : 1 + y + h, 1 + x : 1 + x + w] for y in (-1, 0, 1) for x in (-1, 0, 1)]
    found: NDArray[np.bool_] = np.any([a != labels for a in around], axis=0)
    return found


def twin(labels: NDArray[np.int32], distance: int) -> NDArray[np.float64]:
    """Number, percent touching, first and second closest distance, angle of every object."""
    numbers = np.unique(labels[labels > 0])
    centres = [np.argwhere(labels == k).mean(axis=0) for k in numbers]
    outline = outlines(labels)
    rows = []
    for k, centre in zip(numbers, centres, strict=True):
        own = labels == k
        near = np.unique(labels[ndimage.binary_dilation(own, disc(distance))])
        others = (labels > 0) & ~own
        close = ndimage.binary_dilation(others, disc(distance + 0.5))
        touching = 100 * (close & outline & own).sum() / (outline & own).sum()
        steps = [c - centre for j, c in zip(numbers, centres, strict=True) if j != k]
        steps.sort(key=np.linalg.norm)
        far = [np.linalg.norm(s) for s in steps[:2]] + [np.nan] * 2
        angle = np.nan
        if len(steps) > 1 and far[0] > 0:
            cosine = steps[0] @ steps[1] / (far[0] * far[1])
            angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        rows.append([len(set(near) - {0, k}), touching, *far[:2], angle])
    return np.array(rows, float).reshape(-1, 5)
