"""Mean over a square around each pixel of one plane, the image mirrored at its edges."""

from __future__ import annotations

from numba import njit

from scip_mpi.segmentation.morphology import mirror


@njit(cache=True, nogil=True, error_model="numpy")
def box_mean(plane, height, width, size, line, out):
    """Mean of the ``size`` x ``size`` pixels around each.

    A running sum down the columns, then along the rows, in scipy.ndimage.uniform_filter's order of
    operations: a pixel compared with its own mean depends on the last bit.

    Parameters
    ----------
    plane : at least (height, width)
    height, width : int
    size : int
        Odd.
    line : at least (max(height, width) + size) float64, scratch
    out : at least (height, width) float64, out
        Not ``plane``.
    """
    half = size // 2
    for x in range(width):
        for y in range(height + size - 1):
            line[y] = plane[mirror(y - half, height), x]
        total = 0.0
        for y in range(size):
            total += line[y]
        out[0, x] = total / size
        for y in range(1, height):
            total += line[y + size - 1] - line[y - 1]
            out[y, x] = total / size
    for y in range(height):
        for x in range(width + size - 1):
            line[x] = out[y, mirror(x - half, width)]
        total = 0.0
        for x in range(size):
            total += line[x]
        out[y, 0] = total / size
        for x in range(1, width):
            total += line[x + size - 1] - line[x - 1]
            out[y, x] = total / size
