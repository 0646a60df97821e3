"""Objects of a field of view as what is connected above a threshold (``segment: threshold``)."""

from __future__ import annotations

import math
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.segmentation.components import label_plane, run_scratch
from scip_mpi.segmentation.planes import require_numpy
from scip_mpi.segmentation.tiles import levels


def threshold(
    batch: ImageBatch,
    xp: ModuleType,
    *,
    channel: int,
    threshold: Literal["li", "otsu", "triangle"] | float = "otsu",
) -> NDArray[np.int32]:
    """Label what is connected, by sides, above a threshold of one channel.

    Parameters
    ----------
    batch : ImageBatch
        Fields of view.
    xp : module
        numpy.
    channel : int
        The channel to segment.
    threshold : str or float
        ``li``, ``otsu`` or ``triangle`` of each plane by the counts of its values (65,536 bins of
        equal width at most; whole numbers of a narrower range one by one), or a value.

    Returns
    -------
    ndarray of int32, shape (batch.planes[-1],)
        Labels 1, 2, ... of each field in raster order of their first pixels, 0 elsewhere.

    Raises
    ------
    UserError
        The value is no number; ``xp`` is not numpy.
    """
    require_numpy(xp, "threshold")
    if not isinstance(threshold, str) and not math.isfinite(threshold):
        raise UserError(f"segment: settings.threshold must be a number, found {threshold:g}")
    labels = np.empty(batch.planes[-1], np.int32)
    for i, image in enumerate(batch):
        own = image[channel]
        value = plane_level(own, threshold) if isinstance(threshold, str) else threshold
        plane = labels[batch.planes[i] : batch.planes[i + 1]].reshape(own.shape)
        mask = (own > value).view(np.uint8)
        plane[:], _ = label_plane(mask, run_scratch.py_func(*own.shape))
    return labels


def plane_level(plane: NDArray[Any], word: levels.Word) -> float:
    """The threshold of one plane."""
    low, high = levels.value_range(plane).tolist()
    bins = levels.bins_for(plane.dtype, low, high)
    whole = levels.counts_whole(plane.dtype, low, high, bins)
    counts = levels.value_counts(plane, low, high, bins, word)
    return levels.level(word, counts, low, high, whole)
