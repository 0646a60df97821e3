"""Crops as pictures: channels side by side, masks as outlines."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, UInt8Array

# Pixels of a strip of channels at most: larger crops are shown smaller.
STRIP_PIXELS = 60_000
# Pixels between two channels, and the grey level beside pictures.
GAP = 2
BESIDE = 128


def strip(
    pixels: NDArray[np.generic], contrast: FloatArray, factor: int, tile: tuple[int, int]
) -> UInt8Array:
    """The channels of a crop side by side, in grey levels, each in the middle of a tile.

    Parameters
    ----------
    pixels : ndarray, shape (C, H, W)
    contrast : ndarray of float64, shape (C, 2)
        What is black and what is white in each channel.
    factor : int
        Squares of so many pixels become one, their mean.
    tile : (int, int)
        Rows and columns of a tile.

    Returns
    -------
    ndarray of uint8, shape (rows, C * (columns + GAP) - GAP)
    """
    height, width = tile
    out = np.full((height, len(pixels) * (width + GAP)), BESIDE, np.uint8)
    for c, (plane, (low, high)) in enumerate(zip(pixels, contrast, strict=True)):
        image = grey(smaller(plane, factor), low, high)
        top, left = corner(image.shape, tile)
        left += c * (width + GAP)
        out[top : top + image.shape[0], left : left + image.shape[1]] = image
    return out[:, :-GAP]


def corner(shape: Sequence[int], tile: Sequence[int]) -> tuple[int, int]:
    """Where in a tile a picture in its middle begins."""
    return (tile[0] - shape[0]) // 2, (tile[1] - shape[1]) // 2


def smaller(plane: NDArray[np.generic], factor: int) -> FloatArray:
    """Means of squares; those at the right and lower edges may be cut."""
    values = plane.astype(np.float64)
    if factor == 1:
        return values
    rows, columns = (np.arange(0, n, factor) for n in values.shape)
    sums = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    ones = np.ones(values.shape)
    return sums / np.add.reduceat(np.add.reduceat(ones, rows, axis=0), columns, axis=1)


def grey(values: FloatArray, low: float, high: float) -> UInt8Array:
    """Values between two levels as grey levels; NaN is black."""
    scaled = (np.nan_to_num(values, nan=low) - low) / (high - low if high > low else 1.0)
    return np.round(np.clip(scaled, 0, 1) * 255).astype(np.uint8)


def shrink_by(shape: Sequence[int], most: int = STRIP_PIXELS) -> int:
    """By how much crops of a shape (C, H, W) are made smaller, to have so many pixels at most."""
    return max(1, int(np.ceil(np.sqrt(np.prod(np.array(shape, np.float64)) / most))))


def png(image: UInt8Array) -> str:
    """A picture as a data URI."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def outline(mask: NDArray[Any], scale: float, down: float, right: float) -> str:
    """The border of a mask between its pixels and others, as a path of SVG.

    Parameters
    ----------
    mask : ndarray of integers, shape (H, W)
        Of labels each has a border, those that touch too.
    scale : float
        What places in the mask are multiplied by.
    down, right : float
        What is added to them then.
    """
    padded = np.pad(mask, 1)
    parts = []
    # Between a row and the next, then between a column and the next.
    for axis in (0, 1):
        along = padded if axis == 0 else padded.T
        edges = (along[1:] != along[:-1])[:, 1:-1]
        for at in np.flatnonzero(edges.any(axis=1)).tolist():
            steps = np.flatnonzero(np.diff(np.concatenate([[0], edges[at].view(np.int8), [0]])))
            for first, last in steps.reshape(-1, 2).tolist():
                x, y = (first, at) if axis == 0 else (at, first)
                word, length = "hv"[axis], tidy((last - first) * scale)
                parts.append(f"M{tidy(x * scale + right)} {tidy(y * scale + down)}{word}{length}")
    return "".join(parts)


def tidy(value: float) -> str:
    """A coordinate to a hundredth of a pixel."""
    return f"{round(value, 2):g}"
