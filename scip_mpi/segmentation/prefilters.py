"""Which channels are worth masking at all: filters on a channel's pixels, before any mask.

Each returns bool (n, C), True for channels that pass and for those it was not asked about; several
filters combine with "and".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

import numpy as np
from numba import njit

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch
from scip_mpi.segmentation.folding import fold_smallest, fold_sum
from scip_mpi.segmentation.normality import normality_p
from scip_mpi.segmentation.planes import largest

SIGNIFICANCE = 0.05


def std(
    batch: ImageBatch, xp: ModuleType, *, channel_indices: Sequence[int], threshold: float
) -> BoolArray:
    """Whether the population standard deviation of a channel's pixels is above ``threshold``.

    Parameters
    ----------
    batch : ImageBatch
        Images.
    xp : module
        Not used: the filters run on CPUs, and take no part in a GPU's work.
    channel_indices : sequence of int
        Channels to look at.
    threshold : float
        In the pixels' unit.

    Returns
    -------
    ndarray of bool, shape (n, C)
        True for channels that pass, and for those not in ``channel_indices``.
    """
    return _listed(batch, channel_indices, statistics_of(batch)[:, :, 0] > threshold)


def value_range(
    batch: ImageBatch, xp: ModuleType, *, channel_indices: Sequence[int], threshold: float
) -> BoolArray:
    """Whether a channel's largest pixel exceeds its smallest by more than ``threshold``.

    Parameters and result as of `std`.
    """
    return _listed(batch, channel_indices, statistics_of(batch)[:, :, 1] > threshold)


def normaltest(batch: ImageBatch, xp: ModuleType, *, channel_indices: Sequence[int]) -> BoolArray:
    """Whether a channel's pixels are not normally distributed: p below 0.05.

    D'Agostino and Pearson's omnibus test (see `normality_p`). A channel of equal pixels, with fewer
    than 8 or with one that is NaN or infinite does not pass: nothing can be said of it.

    Parameters and result as of `std`.
    """
    return _listed(batch, channel_indices, statistics_of(batch)[:, :, 2] < SIGNIFICANCE)


def _listed(batch: ImageBatch, channel_indices: Sequence[int], passed: BoolArray) -> BoolArray:
    result = np.ones((len(batch), batch.channels), bool)
    if len(batch):
        listed = list(channel_indices)
        result[:, listed] = passed[:, listed]
    return result


def statistics_of(batch: ImageBatch) -> FloatArray:
    """Population std, range and p-value of normality of each channel, shape (n, C, 3)."""
    out = np.empty((len(batch), batch.channels, 3))
    if len(batch):
        height, width = largest(batch)
        values = np.empty((4, height * width))
        _statistics(batch.pixels, batch.offsets, batch.shapes, values, out)
    return out


@njit(cache=True, nogil=True, error_model="numpy")
def _statistics(pixels, offsets, shapes, values, out):
    epsilon = 2.0**-52
    value, second, third, fourth = values[0], values[1], values[2], values[3]
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        for c in range(channels):
            plane = pixels[offsets[i] + c * n : offsets[i] + (c + 1) * n]
            for k in range(n):
                value[k] = plane[k]
                second[k] = plane[k]
            low = fold_smallest(value, n, 1.0, third)
            high = -fold_smallest(value, n, -1.0, third)
            mean = fold_sum(second, n) / n
            for k in range(n):
                d = value[k] - mean
                square = d * d
                second[k] = square
                third[k] = square * d
                fourth[k] = square * square
            m2 = fold_sum(second, n) / n
            m3 = fold_sum(third, n) / n
            m4 = fold_sum(fourth, n) / n
            # What is left of equal pixels is rounding, of which the test must know nothing.
            p = np.nan
            if low == high:
                m2 = 0.0
            elif m2 > (epsilon * mean) ** 2:
                p = normality_p(m3 / (m2 * math.sqrt(m2)), m4 / (m2 * m2), n)
            out[i, c, 0] = math.sqrt(m2)
            out[i, c, 1] = high - low
            out[i, c, 2] = p
