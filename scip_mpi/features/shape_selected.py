"""Some of the shape columns, without the work of the others; of the largest component too."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.component import N_SHAPE
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.selection import Part, channel_places, pick, wanted
from scip_mpi.features.shape_columns import column, one_mask
from scip_mpi.features.shape_kernel import fill
from scip_mpi.features.shared import Shared

MASKS = ("own", "combined")
COMPONENTS = ("mean", "largest")
NAMES = tuple(name for name, _, _ in one_mask())
# `moments_hu` stands for moments_hu-0 to -6, and so on.
GROUPS = tuple(dict.fromkeys(name.partition("-")[0] for name in NAMES if "-" in name))
WORDS = (*(name for name in NAMES if "-" not in name), *GROUPS)
WORDS = (*WORDS, *(name for name in NAMES if "-" in name))
PREFIXES = ("", "largest_")
TEXTS = ("Mean over components.", "Of the component with the most pixels.")
if TYPE_CHECKING:
    Component = str
    MaskWord = str
    Property = str
else:
    Component = Literal[COMPONENTS]
    MaskWord = Literal[MASKS]
    Property = Literal[WORDS]


def select(
    *,
    component: Component = "mean",
    properties: Sequence[Property] | None = None,
    masks: Sequence[MaskWord] | None = None,
    channels: Sequence[int | str] | None = None,
) -> Family:
    """Some properties of some masks.

    Parameters
    ----------
    component : str
        ``mean``, over all components; or ``largest``, of the component with the most pixels, the
        first in raster order of several: columns ``largest_...``, which the full family lacks.
    properties : sequence of str, optional
        Names of columns without the channel, or of a group of them such as ``moments_hu``; all 59
        by default.
    masks : sequence of str, optional
        ``own``, ``combined``; both by default.
    channels : sequence of int, optional
        Places of channels (a config may name them) whose own masks are meant; all by default.

    Raises
    ------
    UserError
        A word is unknown, or a list is empty.
    """
    (largest,) = pick([component], COMPONENTS, "component")
    words = [WORDS[k] for k in pick(properties, WORDS, "property")]
    chosen = [j for j, n in enumerate(NAMES) if n in words or n.partition("-")[0] in words]
    columns = tuple(largest * N_SHAPE + j for j in chosen)
    extra = bool(largest)
    parts = {
        "own": Part(columns, channel_places(channels), extra=extra),
        "combined": Part(columns, combined=True, extra=extra),
    }
    return joined(tuple(parts[MASKS[m]] for m in pick(masks, MASKS, "mask")))


def joined(parts: tuple[Part, ...]) -> Family:
    """The family with the columns of some selections."""
    return Family(
        "shape", partial(_features, parts), partial(_compute, parts), parts=parts, joined=joined
    )


def _chosen(parts: Sequence[Part], channels: int) -> BoolArray:
    """What is asked for, shape (2, 1 + channels, 59): means over components, then the largest."""
    found = wanted(parts, channels, 2 * N_SHAPE).reshape(1 + channels, 2, N_SHAPE)
    return np.ascontiguousarray(found.swapaxes(0, 1))


def _features(parts: Sequence[Part], channel_names: Sequence[str]) -> list[Feature]:
    chosen = _chosen(parts, len(channel_names))
    masks = ("combined", *channel_names)
    properties = one_mask()
    found = []
    for largest, row, j in np.argwhere(chosen):
        name, unit, text = properties[j]
        name, text = f"{PREFIXES[largest]}{name}", f"{text} {TEXTS[largest]}"
        found.append(column(name, masks[row], unit, text))
    return found


def _compute(
    parts: Sequence[Part],
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    fill(batch, masks, _chosen(parts, batch.channels), out)
