"""Objects of fields of view: what is connected above a level (segmenter ``above``)."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label

from scip_mpi.batches import ImageBatch


def above(batch: ImageBatch, xp: ModuleType, *, channel: int, level: float) -> NDArray[np.int32]:
    """Label the objects of one channel.

    Parameters
    ----------
    batch : ImageBatch
        Fields of view.
    xp : module
        numpy.
    channel : int
        The channel to segment: the program gives it, from ``parent_channel_index``.
    level : float
        A key of ``settings``.

    Returns
    -------
    ndarray of int32, shape (batch.planes[-1],)
        Labels 1, 2, ... of each field, 0 elsewhere.
    """
    labels = np.zeros(batch.planes[-1], np.int32)
    for i, image in enumerate(batch):
        found = label(image[channel] > level, connectivity=1)
        labels[batch.planes[i] : batch.planes[i + 1]] = found.reshape(-1)
    return labels
