"""Offset, illumination and compensation: what is done to pixels before anything is masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array
from scip_mpi.errors import UserError
from scip_mpi.illumination_groups import IlluminationGroups


@dataclass(frozen=True)
class Illumination:
    """What images are divided by.

    Attributes
    ----------
    groups : IlluminationGroups
    starts : ndarray of int64, shape (G,)
        Where each group's function begins in ``functions``; a function is (C, H, W).
    functions : ndarray of float64
    """

    groups: IlluminationGroups
    starts: Int64Array
    functions: FloatArray

    def each(self, channels: int) -> list[FloatArray]:
        """The functions of all groups, (C, H, W) each."""
        parts = np.split(self.functions, self.starts[1:])
        shapes = self.groups.shapes.tolist()
        return [part.reshape(channels, *shape) for part, shape in zip(parts, shapes, strict=True)]


@dataclass(frozen=True)
class Correction:
    """A dark level per channel, and how channels are unmixed.

    Attributes
    ----------
    offset : ndarray of float64, shape (C,)
        Subtracted from each channel's pixels.
    unmix : ndarray of float64, shape (C, C)
        Corrected channel c is the sum over k of ``unmix[c, k]`` times channel k.
    illumination : Illumination, optional
        What channels are divided by in between.
    """

    offset: FloatArray
    unmix: FloatArray
    illumination: Illumination | None = None

    def __call__(
        self, batch: ImageBatch, image: Int64Array | None = None, corner: Int64Array | None = None
    ) -> ImageBatch:
        """The batch in single precision, corrected; negative values stay as they are.

        Parameters
        ----------
        batch : ImageBatch
            Images, or crops of objects.
        image : ndarray of int64, shape (n,), optional
            Of crops, the places of their images in the catalog.
        corner : ndarray of int64, shape (n, 2), optional
            Of crops, the first row and column in their images.
        """
        out = np.empty(batch.pixels.size, np.float32)
        given = (batch.pixels, batch.offsets, batch.shapes, self.offset, self.unmix)
        if self.illumination is None:
            _correct(*given, out)
        else:
            lit, n = self.illumination, len(batch)
            groups = lit.groups.of(batch.index if image is None else image)
            corners = np.zeros((n, 2), np.int64) if corner is None else corner
            _correct_lit(
                *given, lit.starts[groups], lit.groups.shapes[groups], corners, lit.functions, out
            )
        return replace(batch, pixels=out)


@njit(cache=True, nogil=True, error_model="numpy")
def _correct(pixels, offsets, shapes, offset, unmix, out):
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        for c in range(channels):
            for p in range(offsets[i], offsets[i] + n):
                total = 0.0
                for k in range(channels):
                    total += unmix[c, k] * (pixels[p + k * n] - offset[k])
                out[p + c * n] = total


@njit(cache=True, nogil=True, error_model="numpy")
def _correct_lit(pixels, offsets, shapes, offset, unmix, starts, sizes, corners, functions, out):
    """As `_correct`, each channel divided by its function at the pixel's place in the image."""
    for i in range(len(shapes)):
        channels, h, w = shapes[i]
        n = h * w
        height, width = sizes[i]
        for c in range(channels):
            for y in range(h):
                place = starts[i] + (corners[i, 0] + y) * width + corners[i, 1]
                p = offsets[i] + y * w
                for x in range(w):
                    total = 0.0
                    for k in range(channels):
                        value = pixels[p + x + k * n] - offset[k]
                        total += unmix[c, k] * (value / functions[place + x + k * height * width])
                    out[p + x + c * n] = total


def unmixing(spillover: FloatArray) -> FloatArray:
    """What undoes a spillover matrix.

    Parameters
    ----------
    spillover : ndarray of float64, shape (C, C)
        Row i: what part of channel i's own signal each channel sees, 1 on the diagonal.

    Returns
    -------
    ndarray of float64, shape (C, C)
        As in `Correction`: observed = spillover transposed times true (Bagwell and Adams, Annals of
        the New York Academy of Sciences 677, 1993).

    Raises
    ------
    UserError
        It cannot be undone.
    """
    if np.linalg.matrix_rank(spillover) < len(spillover):
        raise UserError("compensation.matrix cannot be undone: its rows are not independent")
    return np.linalg.inv(spillover.T).astype(np.float64)


def read_spillover(path: str, channel_names: Sequence[str]) -> FloatArray:
    """Spillover matrix of the channels from a CSV file.

    Its first column and its header name the channels, in any order; channels that it does not name
    neither spill nor are spilled into.

    Raises
    ------
    UserError
        It cannot be read, is not square, names unknown channels, or holds what is no number.
    """
    import pandas as pd

    where = f"compensation.matrix: {path}"
    try:
        table = pd.read_csv(path, index_col=0, skipinitialspace=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{where} cannot be read: {reason}") from None
    rows, columns = [str(r).strip() for r in table.index], [str(c).strip() for c in table.columns]
    if sorted(rows) != sorted(columns) or len(set(rows)) != len(rows):
        raise UserError(
            f"{where}: rows and columns must name the same channels, once each; the rows are "
            f"{', '.join(rows)}, the columns {', '.join(columns)}"
        )
    unknown = [r for r in rows if r not in channel_names]
    if unknown:
        raise UserError(
            f"{where}: no channel is called {unknown[0]!r}; the channels are "
            f"{', '.join(channel_names)}"
        )
    try:
        values = table.to_numpy(np.float64)
    except ValueError:
        raise UserError(f"{where} holds something that is no number") from None
    if not np.isfinite(values).all():
        raise UserError(f"{where} has empty or infinite cells")
    matrix = np.eye(len(channel_names))
    at = [channel_names.index(r) for r in rows]
    order = [columns.index(r) for r in rows]
    matrix[np.ix_(at, at)] = values[:, order]
    return matrix
