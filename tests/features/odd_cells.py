"""Cells of every oddness for hypothesis, of two types of pixels, and moves that change little."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from masks import Mask, masks
from numpy.typing import NDArray
from scipy import ndimage

from scip_mpi.features.family import Family

# One of whole numbers and one that is not: each type of pixels is compiled for.
DTYPES = ("uint16", "float32")
Image = NDArray[Any]


@st.composite
def odd_cells(draw: st.DrawFn, channels: int = 1) -> tuple[Image, Mask]:
    """Noise, few levels, equal pixels, 0 and 65,535, negative ones; any mask."""
    mask = draw(masks(16, 24))
    dtype = draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    shape = (channels, *mask.shape)
    kind = draw(st.sampled_from(["noise", "levels", "equal", "wide"]))
    if kind == "noise":
        values = rng.integers(0, 300, shape)
    elif kind == "levels":
        values = rng.choice([0, 1, 2, 65535], shape)
    elif kind == "equal":
        values = np.full(shape, draw(st.sampled_from([0, 7, 65535])))
    else:
        values = rng.integers(0, 65536, shape)
    if dtype == "float32":
        return ((values - draw(st.sampled_from([0, 100]))) * 0.37).astype(dtype), mask
    return values.astype(dtype), mask


def few_cells(channels: int = 2, number: int = 6, seed: int = 0) -> tuple[list[Image], list[Mask]]:
    """Blobs of noise with room around them, whose innermost pixel is one alone."""
    rng = np.random.default_rng(seed)
    images, found = [], []
    while len(images) < number:
        h, w = rng.integers(24, 40, 2)
        mask = ndimage.gaussian_filter(rng.normal(size=(h, w)), 4) > 0.02
        mask[:3] = mask[-3:] = mask[:, :3] = mask[:, -3:] = False
        inner = ndimage.distance_transform_edt(mask)
        if mask.sum() > 40 and (inner == inner.max()).sum() == 1:
            images.append(rng.integers(1, 4000, (channels, h, w)).astype(np.uint16))
            found.append(mask)
    return images, found


Move = Callable[[Image], Image]


def measured(
    family: Family, images: list[Image], cell_masks: list[Mask], move: Move = np.asarray
) -> dict[str, NDArray[np.float64]]:
    """The family of cells moved, image and mask alike."""
    return family.measure(
        [np.ascontiguousarray(move(i)) for i in images],
        [np.ascontiguousarray(move(m)) for m in cell_masks],
        list("AB")[: len(images[0])],
    )


def padded(array: Image) -> Image:
    """With two rows above, one below, three columns on the left."""
    return np.pad(array, [(0, 0)] * (array.ndim - 2) + [(2, 1), (3, 0)])


def flipped(array: Image) -> Image:
    """Upside down."""
    return array[..., ::-1, :]


def turned(array: Image) -> Image:
    """By 90 degrees."""
    return np.rot90(array, axes=(-2, -1))
