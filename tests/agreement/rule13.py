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


def hu_terms(mask: Mask) -> float:
    """Mean over components of the product of the magnitudes in Hu's invariants."""
    sizes = []
    for y, x in components(mask):
        third = [
            (np.abs(y - y.mean()) ** p * np.abs(x - x.mean()) ** (3 - p)).sum() / len(y) ** 2.5
            for p in range(4)
        ]
        sizes.append(sum(third) ** 4 * 64)
    return float(np.mean(sizes))


def terms(column: str, row: pd.Series, mask: Mask) -> float:
    """S of one value of SCIP's: from the mask it was computed on, or from its other columns."""
    moment = re.search(r"moments_central-(\d)-(\d)_", column)
    if moment:
        return moment_terms(mask, int(moment[1]), int(moment[2]), 0)
    if re.search(r"inertia_tensor-(0-1|1-0)_", column):
        return moment_terms(mask, 1, 1, 1)
    if "moments_hu-" in column:
        return hu_terms(mask)
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
