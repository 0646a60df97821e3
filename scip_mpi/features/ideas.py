"""Sharpness, bright details, spots and lobes by IDEAS's names (family ``ideas``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.ideas_columns import WORDS, columns
from scip_mpi.features.ideas_kernel import fill
from scip_mpi.features.regions import MaskWord, regions
from scip_mpi.features.selection import Part, channel_places, pick, wanted
from scip_mpi.features.shared import Shared

if TYPE_CHECKING:
    Statistic = str
else:
    Statistic = Literal[WORDS]


class Settings(NamedTuple):
    """What is asked for, and how it is measured; see `select`."""

    part: Part
    mask: MaskWord
    spot_ratio: float
    lobe_threshold: float


def select(
    *,
    statistics: Sequence[Statistic] | None = None,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "own",
    spot_ratio: float = 0.5,
    lobe_threshold: float = 0.35,
) -> Family:
    """Some features of some channels, and of pairs of these.

    Parameters
    ----------
    statistics : sequence of str, optional
        All eleven by default.
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``own``: each channel's mask, as IDEAS's default masks are; or ``combined``.
    spot_ratio : float
        Least bright detail of a spot's pixel, over the mean of the mask's pixels.
    lobe_threshold : float
        Least symmetry of lobes. The default lies between that of an ellipse of aspect ratio 0.7 and
        that of four discs that touch.

    Raises
    ------
    UserError
        A word is unknown, a list is empty, or a number out of range.
    """
    if not spot_ratio > 0:
        raise UserError(f"spot_ratio must be above 0, not {spot_ratio}")
    if not 0 < lobe_threshold <= 1:
        raise UserError(f"lobe_threshold must be above 0 and at most 1, not {lobe_threshold}")
    pick([mask], ("combined", "own"), "mask")
    part = Part(tuple(pick(statistics, WORDS, "statistic")), channel_places(channels))
    chosen = Settings(part, mask, float(spot_ratio), float(lobe_threshold))
    return Family("ideas", partial(features, chosen), partial(compute, chosen), parts=(part,))


def features(settings: Settings, channel_names: Sequence[str]) -> list[Feature]:
    """Ten columns per channel, then one per pair of channels."""
    return columns(_chosen(settings, len(channel_names)), channel_names)[0]


def compute(
    settings: Settings,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    IDEAS's manual describes its features in words. Each definition here says what is published and
    what had to be chosen, so values resemble IDEAS's and do not equal them.

    The light of a pixel is what it is above the background, at least 0; the background is that of
    the config, by default the mean of the channel's pixels outside the mask, 0 where the mask fills
    the crop. Bright details are taken from the whole crop, mirrored at its edges.

    All are NaN where the mask is empty. Also NaN are: the gradient and the spot count where the
    mean of the pixels is not above 0, since there is no level to go by; the modulation where the
    largest pixel is not above 0; aspect ratio, symmetries and lobe count where there is no light or
    all of it is in one pixel, which has no direction; the similarity where one of the channels has
    no bright detail in its mask.

    References
    ----------
    Amnis, "IDEAS Image Data Exploration and Analysis Software User's Manual"; George et al.,
    "Quantitative measurement of nuclear translocation events using similarity analysis of
    multispectral cellular images obtained in flow", J. Immunological Methods 311, 2006.
    """
    names = [""] * batch.channels
    _, place, pairs = columns(_chosen(settings, batch.channels), names)
    fill(
        batch, regions(batch, masks, settings.mask), masks, place, pairs,
        settings.spot_ratio, settings.lobe_threshold, out, scratch,
    )  # fmt: skip


def _chosen(settings: Settings, channels: int) -> BoolArray:
    return wanted([settings.part], channels, len(WORDS))[1:]


FAMILY = replace(select(), select=select)
measure = FAMILY.measure
