"""Zernike moments of intensity and of the mask, as CellProfiler's (family ``zernike``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.regions import MASKS, MaskWord, regions
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared
from scip_mpi.features.zernike_basis import orders
from scip_mpi.features.zernike_kernel import fill

# Beyond it, sums of powers lose too many digits.
HIGHEST = 15
OF_INTENSITY = "CellProfiler's MeasureObjectIntensityDistribution"
OF_MASK = "CellProfiler's MeasureObjectSizeShape"


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    degree: int = 9,
    shape: bool = True,
) -> Family:
    """Moments of some channels.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``: one region for all channels; or ``own``: each channel's mask.
    degree : int
        Highest radial degree; 9 makes 30 moments.
    shape : bool
        Whether to measure the mask itself, too.

    Raises
    ------
    UserError
        A word is unknown, a list is empty, or the degree out of range.
    """
    pick([mask], MASKS, "mask")
    if not 0 <= degree <= HIGHEST:
        raise UserError(f"degree: from 0 to {HIGHEST}, found {degree}")
    places = channel_places(channels)
    return Family(
        "zernike",
        partial(_features, places, mask, degree, shape),
        partial(_compute, places, mask, degree, shape),
    )


def _features(
    places: tuple[int, ...] | None,
    mask: MaskWord,
    degree: int,
    shape: bool,
    channel_names: Sequence[str],
) -> list[Feature]:
    chosen = [channel_names[c] for c in chosen_channels(places, len(channel_names))]
    found = []
    for channel in chosen:
        found += _of_one("", channel, f"the intensities ({OF_INTENSITY})", degree)
    if shape:
        for channel in chosen if mask == "own" else ["combined"]:
            found += _of_one("shape_", channel, f"the mask ({OF_MASK})", degree)
    return found


def _of_one(prefix: str, channel: str, what: str, degree: int) -> list[Feature]:
    words = (("magnitude", "1" if prefix else "intensity"), ("phase", "radian"))
    return [
        Feature(
            f"zernike_{prefix}{word}_{n}_{m}_{channel}",
            channel,
            unit,
            f"{word.capitalize()} of Zernike's moment of degree {n}, order {m} of {what}.",
        )
        for word, unit in words
        for n, m in orders(degree)
    ]


def _compute(
    places: tuple[int, ...] | None,
    mask: MaskWord,
    degree: int,
    shape: bool,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    On the smallest circle around the centres of the mask's pixels, with y down and x to the right
    in units of its radius, the moment (n, m) is the sum of the pixels times R(n, m, r) exp(i m t),
    where r exp(i t) = y + i x. The magnitude is its absolute value over the number of pixels; for
    the mask itself, whose pixels are 1, over the circle's area. The phase is atan2(real part,
    imaginary part), CellProfiler's order; where the magnitude is nothing but rounding, so is the
    phase.

    All pixels of the mask are on the disc. (CellProfiler drops those of the two or three on the
    circle itself whose distance is rounded to more than 1, so that its values change by a part of
    about 1 / pixels with the place of an object in the image.)

    NaN where the mask has less than two pixels, whose circle has no radius, or a pixel that is not
    finite; the phase also where both parts are 0.

    References
    ----------
    CellProfiler, MeasureObjectIntensityDistribution and MeasureObjectSizeShape; cp_measure 0.3,
    ``get_radial_zernikes`` and ``get_zernike``; Boland, Markey and Murphy, "Automated recognition
    of patterns characteristic of subcellular structures", Cytometry 33, 1998.
    """
    if not len(batch):
        return
    chosen = chosen_channels(places, batch.channels)
    measured = 0 if not shape else len(chosen) if mask == "own" else 1
    where = regions(batch, masks, mask)
    fill(batch, masks, where, chosen, degree, measured, out, scratch)


FAMILY = replace(select(), select=select)
measure = FAMILY.measure
