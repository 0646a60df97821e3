"""How good predictions are: numbers from a confusion matrix."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, Int64Array


def confusion(given: Int64Array, predicted: Int64Array, classes: int) -> Int64Array:
    """Cells by given class (rows) and predicted class (columns)."""
    flat = np.bincount(given * classes + predicted, minlength=classes * classes)
    return flat.reshape(classes, classes)


def recall(matrix: NDArray[Any]) -> FloatArray:
    """Share of each class's cells that were predicted to be of it; NaN without any."""
    return _share(matrix.diagonal(), matrix.sum(axis=1))


def precision(matrix: NDArray[Any]) -> FloatArray:
    """Share of the cells predicted to be of each class that are of it; NaN without any."""
    return _share(matrix.diagonal(), matrix.sum(axis=0))


def balanced_accuracy(matrix: NDArray[Any]) -> float:
    """Mean recall of the classes that have cells."""
    return float(np.nanmean(recall(matrix)))


def accuracy(matrix: NDArray[Any]) -> float:
    """Share of all cells whose class was predicted."""
    return float(matrix.trace() / matrix.sum())


def summary(matrices: NDArray[Any], classes: list[str]) -> dict[str, Any]:
    """What repeated predictions of the same cells say: means, and spreads over the repeats.

    Parameters
    ----------
    matrices : ndarray, shape (repeats, k, k)
        A confusion matrix for each.
    classes : list of str
    """
    balanced = [balanced_accuracy(m) for m in matrices]
    plain = [accuracy(m) for m in matrices]
    recalls = np.array([recall(m) for m in matrices])
    # A class that is never predicted has no precision: of no predicted cell, none is right.
    precisions = np.nan_to_num([precision(m) for m in matrices])
    return {
        "balanced_accuracy": _mean_and_spread(balanced),
        "accuracy": _mean_and_spread(plain),
        "repeats": [round(b, 6) for b in balanced],
        "classes": [
            {
                "class": name,
                "cells": int(matrices[0, k].sum()),
                "recall": _mean_and_spread(recalls[:, k]),
                "precision": _mean_and_spread(precisions[:, k]),
            }
            for k, name in enumerate(classes)
        ],
        "confusion": np.asarray(matrices, np.float64).mean(axis=0).round(6).tolist(),
    }


def _mean_and_spread(values: Any) -> dict[str, float | None]:
    """Mean and standard deviation (of a sample; None of one value), None where there is none."""
    found = np.asarray(values, np.float64)
    if np.isnan(found).any():
        return {"mean": None, "sd": None}
    spread = round(float(found.std(ddof=1)), 6) if len(found) > 1 else None
    return {"mean": round(float(found.mean()), 6), "sd": spread}


def _share(part: NDArray[Any], whole: NDArray[Any]) -> FloatArray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)
