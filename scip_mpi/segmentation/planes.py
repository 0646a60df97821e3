"""Small facts about the planes of a batch that all mask methods need."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError


def largest(batch: ImageBatch) -> tuple[int, int]:
    """Height and width that hold every image of a batch."""
    height, width = batch.shapes[:, 1:].max(axis=0)
    return int(height), int(width)


def scaling(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Factor and lower limit by which pixels become floating point, as scikit-image's img_as_float.

    Unsigned integers go to 0..1, signed ones to -1..1 (the most negative value is cut off at -1);
    floating point stays as it is.
    """
    if dtype.kind == "u":
        return 1.0 / np.iinfo(dtype).max, 0.0
    if dtype.kind == "i":
        return 1.0 / np.iinfo(dtype).max, -1.0
    return 1.0, -math.inf


def require_numpy(xp: ModuleType, method: str) -> None:
    """Refuse array modules for which a method has no kernels.

    Raises
    ------
    UserError
        ``xp`` is not numpy.
    """
    if xp is not np:
        raise UserError(
            f"mask.methods: {method} runs on CPUs only, not with {xp.__name__}; "
            "run it without a GPU, or choose another method"
        )


def per_channel(given: float | Sequence[float], channels: int, key: str) -> list[float]:
    """One number for each channel, where a setting may be one for all.

    Parameters
    ----------
    given : float or sequence of float
    channels : int
        0 where there are no images, and so nothing to compare a length with.
    key : str
        What messages start with, such as ``mask.methods: li: kwargs.smooth``.

    Returns
    -------
    list of float
        One per channel; at least one, so that it can be looked at without images.

    Raises
    ------
    UserError
        There are not as many numbers as channels.
    """
    if not isinstance(given, Sequence | np.ndarray):
        return [float(given)] * max(channels, 1)
    values = [float(v) for v in given]
    if channels and len(values) != channels:
        raise UserError(
            f"{key} has {len(values)} values, the images have {channels} channels; "
            "give one number for all channels, or one for each"
        )
    return values
