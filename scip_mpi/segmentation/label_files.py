"""Objects as another program found them, from label images (``segment: labels``)."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import numpy as np

from scip_mpi.batches import ImageBatch, Int64Array
from scip_mpi.errors import UserError


def labels(
    batch: ImageBatch,
    xp: ModuleType,
    *,
    channel: int,
    companions: Mapping[str, ImageBatch],
    companion: str = "labels",
) -> Int64Array:
    """Labels of every pixel from the label image beside each field.

    Parameters
    ----------
    batch : ImageBatch
        Fields of view; their pixels are not looked at, nor are ``xp`` and ``channel``.
    companions : mapping of str to ImageBatch
        Filled in by the program: a plane per field, by name.
    companion : str
        Which of them; one of ``load.companions``.

    Returns
    -------
    ndarray of int64, shape (batch.planes[-1],)
        Labels as they are in the file, gaps and all; 0 elsewhere.

    Raises
    ------
    UserError
        There is no such companion, or it has several channels.
    """
    if companion not in companions:
        if not len(batch):
            return np.zeros(0, np.int64)
        known = ", ".join(companions) or "none"
        raise UserError(
            f"segment: settings.companion: no companion is called {companion!r}; load.companions "
            f"has {known}"
        )
    if (companions[companion].shapes[:, 0] != 1).any():
        raise UserError(
            f"segment: settings.companion: {companion!r} has a mask for each channel, and is no "
            "label image"
        )
    return np.maximum(companions[companion].pixels, 0)
