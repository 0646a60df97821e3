"""Masks of every oddness for hypothesis, and what kernels are told of them."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from scip_mpi.features.runs import find_runs, most_runs

Mask = NDArray[np.bool_]
KINDS = ("noise", "full", "empty", "pixel", "row", "column", "discs", "frame")


@st.composite
def masks(draw: st.DrawFn, tallest: int = 40, widest: int = 140) -> Mask:
    """One pixel, one row, discs with holes, several components, up to and along the border."""
    h, w = draw(st.integers(1, tallest)), draw(st.integers(1, widest))
    kind = draw(st.sampled_from(KINDS))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    mask = np.zeros((h, w), bool)
    y, x = int(rng.integers(h)), int(rng.integers(w))
    if kind == "noise":
        mask = rng.random((h, w)) < draw(st.sampled_from([0.1, 0.5, 0.9]))
    elif kind == "full":
        mask[:] = True
    elif kind == "pixel":
        mask[y, x] = True
    elif kind == "row":
        mask[y, x:] = True
    elif kind == "column":
        mask[y:, x] = True
    elif kind == "frame":
        mask[:] = True
        mask[1:-1, 1:-1] = False
    elif kind == "discs":
        rows, columns = np.mgrid[:h, :w]
        for k in range(draw(st.integers(1, 6))):
            centre = rng.integers(h), rng.integers(w)
            disc = np.hypot(rows - centre[0], columns - centre[1]) < rng.uniform(1, 15)
            # Every third disc is a hole in the others.
            mask = mask & ~disc if k % 3 == 2 else mask | disc
    return mask


def runs_of(mask: Mask, margin: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The runs of a mask, and a box around it, with a margin where there is room."""
    plane = np.ascontiguousarray(mask, dtype=np.uint8)
    box = np.zeros(4, np.int64)
    if mask.any():
        rows, columns = (np.flatnonzero(mask.any(axis=a)) for a in (1, 0))
        box[:2] = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
        box[2] = min(rows[-1] + 1 + margin, len(mask))
        box[3] = min(columns[-1] + 1 + margin, mask.shape[1])
    runs = np.empty((most_runs(np.array([[1, *mask.shape]])), 3), np.int64)
    return runs[: find_runs(plane, box, runs)], box
