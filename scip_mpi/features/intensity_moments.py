"""Moments of intensity (family ``moments``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.intensity_moments_kernel import fill
from scip_mpi.features.regions import MASKS, MaskWord, regions
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared

# Powers of rows and columns; those of the first order are 0 about the centre.
CENTRAL = ((0, 0), (0, 2), (0, 3), (1, 1), (1, 2), (2, 0), (2, 1), (3, 0))
INVARIANTS = 7


def select(*, channels: Sequence[int | str] | None = None, mask: MaskWord = "combined") -> Family:
    """The moments of some channels.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``: one region for all channels; or ``own``: each channel's mask.

    Raises
    ------
    UserError
        A word is unknown, or a list is empty.
    """
    pick([mask], MASKS, "mask")
    places = channel_places(channels)
    return Family("moments", partial(_features, places), partial(_compute, places, mask))


def _features(places: tuple[int, ...] | None, channel_names: Sequence[str]) -> list[Feature]:
    found = []
    for channel in (channel_names[c] for c in chosen_channels(places, len(channel_names))):
        for p, q in CENTRAL:
            unit = f"intensity pixel^{p + q}" if p + q else "intensity"
            text = f"Sum of the pixels times (row - centre)^{p} (column - centre)^{q}."
            found.append(Feature(f"moments_central_{p}_{q}_{channel}", channel, unit, text))
        for p, q in CENTRAL[1:]:
            text = f"Central moment ({p}, {q}) over the sum of the pixels ^(1 + {p + q} / 2)."
            found.append(Feature(f"moments_normalized_{p}_{q}_{channel}", channel, "1", text))
        for k in range(INVARIANTS):
            text = f"Hu's invariant {k + 1} of the normalised moments of the pixels."
            found.append(Feature(f"moments_hu_{k}_{channel}", channel, "1", text))
    return found


def _compute(
    places: tuple[int, ...] | None,
    mask: MaskWord,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    The centre is that of intensity. NaN where the mask has no pixel, or one that is not finite, or
    the pixels' sum is not above 0.

    References
    ----------
    scikit-image's ``moments_weighted_central``, ``moments_weighted_normalized`` and
    ``moments_weighted_hu``; Hu, "Visual pattern recognition by moment invariants", IRE Trans.
    Information Theory 8, 1962.
    """
    if len(batch):
        chosen = chosen_channels(places, batch.channels)
        fill(batch, masks, regions(batch, masks, mask), chosen, out)


FAMILY = replace(select(), select=select)
measure = FAMILY.measure
