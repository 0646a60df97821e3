"""When a feature agrees with SCIP's: |ours - SCIP| <= 1e-6 |SCIP| + 1e-12 S.

S is the sum of the absolute values of the terms that are summed: where they cancel, the sum is
known to 1e-12 of S and no better, in SCIP as well.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.measure import label

Mask = NDArray[np.uint8]


def components(mask: Mask) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows and columns of the pixels of each 8-connected component."""
    labels = label(mask, connectivity=2)
    return [np.nonzero(labels == k) for k in range(1, labels.max() + 1)]


def moment_terms(mask: Mask, p: int, q: int, power: float) -> float:
    """Mean over components of the absolute terms of a central moment, over area^power."""
    sizes = []
    for y, x in components(mask):
        terms = np.abs(y - y.mean()) ** p * np.abs(x - x.mean()) ** q
        sizes.append(terms.sum() / len(y) ** power)
    return float(np.mean(sizes))


def hu_terms(mask: Mask, which: int) -> float:
    """Mean over components of a Hu invariant in which every term counts by its magnitude."""
    sizes = []
    for y, x in components(mask):
        dy, dx, n = np.abs(y - y.mean()), np.abs(x - x.mean()), len(y)
        n20, n02, n11 = ((dy**p * dx ** (2 - p)).sum() / n**2 for p in (2, 0, 1))
        n30, n03, n21, n12 = ((dy**p * dx ** (3 - p)).sum() / n**2.5 for p in (3, 0, 2, 1))
        s, t, u, v, d = n30 + n12, n21 + n03, n30 + 3 * n12, 3 * n21 + n03, n20 + n02
        sizes.append(
            (
                d,
                d * d + 4 * n11 * n11,
                u * u + v * v,
                s * s + t * t,
                u * s * (s * s + 3 * t * t) + v * t * (3 * s * s + t * t),
                d * (s * s + t * t) + 4 * n11 * s * t,
                v * s * (s * s + 3 * t * t) + u * t * (3 * s * s + t * t),
            )[which]
        )
    return float(np.mean(sizes))


def terms(column: str, row: pd.Series, mask: Mask) -> float:
    """S of one value of SCIP's: from the mask it was computed on, or from its other columns."""
    moment = re.search(r"moments_central-(\d)-(\d)_", column)
    if moment:
        return moment_terms(mask, int(moment[1]), int(moment[2]), 0)
    if re.search(r"inertia_tensor-(0-1|1-0)_", column):
        return moment_terms(mask, 1, 1, 1)
    invariant = re.search(r"moments_hu-(\d)_", column)
    if invariant:
        return hu_terms(mask, int(invariant[1]))
    if "glcm_std_" in column:
        # Of two angles: the difference of two numbers of about their mean.
        return abs(row[column.replace("glcm_std_", "glcm_mean_")])
    if re.search(r"_std_[^_]+$", column):
        # Of equal values: what is left of their differences to the mean.
        return abs(row[re.sub(r"_std_([^_]+)$", r"_max_\1", column)])
    return 0.0


def isotropic(mask: Mask) -> bool:
    """Whether some component has exactly equal second moments, in whole numbers."""
    for y, x in components(mask):
        n = len(y)
        if n * (y * y).sum() - y.sum() ** 2 == n * (x * x).sum() - x.sum() ** 2:
            return True
    return False
