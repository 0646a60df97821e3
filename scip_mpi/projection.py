"""Several planes in z made one: their maximum, mean, median or sum, or the sharpest of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

# Their order is part of an image's place in its file: new ones come last.
OPERATIONS = ("max", "mean", "median", "sum", "best_focus")

# Plane(z) -> the plane, shape (C, H, W)
Plane = Callable[[int], NDArray[Any]]


def projected_type(operation: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Type of the pixels of a projection.

    ``max`` and ``best_focus`` keep the planes' type. ``mean`` and ``median`` give float32 of
    integers of 8 and 16 bits and of float32, and float64 of others. ``sum`` gives integers of 32
    bits of those of 8 and 16, of 64 bits of wider ones, and float64 of floating point: it cannot
    overflow but for the last.

    Parameters
    ----------
    operation : str
        One of `OPERATIONS`.
    dtype : dtype
    """
    if operation in ("max", "best_focus"):
        return dtype
    if operation == "sum":
        if dtype.kind == "f":
            return np.dtype(np.float64)
        return np.dtype(f"{dtype.kind}{4 if dtype.itemsize <= 2 else 8}")
    small = dtype.itemsize <= 2 or dtype == np.float32
    return np.dtype(np.float32 if small else np.float64)


def project(operation: str, plane: Plane, planes: int) -> NDArray[Any]:
    """One image of the planes of a stack, each channel for itself.

    ``max``, ``mean``, ``median`` and ``sum`` are those of each pixel over the planes; of an even
    number of planes the median is the mean of the middle two. Integers are summed exactly, floating
    point in double precision, plane after plane; a mean or median is rounded once, to
    `projected_type`. ``best_focus`` takes, for each channel, the plane with the greatest
    `sharpness`, of equal ones the first: channels come to focus at different heights, and so no
    channel depends on which others are read.

    Parameters
    ----------
    operation : str
        One of `OPERATIONS`.
    plane : callable
        Gives one plane, shape (C, H, W), of the same shape and type each time.
    planes : int
        How many there are, at least one.

    Returns
    -------
    ndarray, shape (C, H, W)
        Of `projected_type`.
    """
    first = plane(0)
    kind = projected_type(operation, first.dtype.newbyteorder("="))
    others = (plane(z) for z in range(1, planes))
    if operation == "max":
        out = first.astype(kind)
        for other in others:
            np.maximum(out, other, out=out)
        return out
    if operation == "best_focus":
        return _sharpest(first.astype(kind), others)
    if operation == "median":
        return np.median(np.stack([first, *others]), axis=0).astype(kind)
    total = first.astype(projected_type("sum", first.dtype))
    for other in others:
        total += other
    return total if operation == "sum" else (total / planes).astype(kind)


def _sharpest(first: NDArray[Any], others: Iterable[NDArray[Any]]) -> NDArray[Any]:
    best = [sharpness(channel) for channel in first]
    for other in others:
        for c, channel in enumerate(other):
            found = sharpness(channel)
            if found > best[c]:
                best[c], first[c] = found, channel
    return first


def sharpness(plane: NDArray[Any]) -> float:
    """Sum of the squared differences of neighbouring pixels along rows and columns.

    It orders planes of one size as the root mean square of these differences does, which is what
    ``focus`` is elsewhere. NaN and infinite pixels make it NaN, which is never the greatest.

    Parameters
    ----------
    plane : ndarray, shape (H, W)
    """
    return float(_sharpness(np.ascontiguousarray(plane, np.float64)))


def warm_up() -> None:
    """Have the kernel compiled, and cached, by a rank that others wait for."""
    sharpness(np.zeros((2, 2)))


@njit(cache=True, nogil=True, error_model="numpy")
def _sharpness(plane):
    height, width = plane.shape
    total = 0.0
    for y in range(height):
        for x in range(width):
            value = plane[y, x]
            if x + 1 < width:
                d = plane[y, x + 1] - value
                total += d * d
            if y + 1 < height:
                d = plane[y + 1, x] - value
                total += d * d
    return total
