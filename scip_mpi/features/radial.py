"""CellProfiler's distribution of intensity over rings (family ``radial``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from scip_mpi.batches import FloatArray, ImageBatch, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.radial_kernel import Rings, fill
from scip_mpi.features.regions import MASKS, MaskWord, regions
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared

# name, definition: the columns of a ring.
STATISTICS = (
    ("fraction", "Part of the mask's whole intensity that lies in"),
    ("mean_fraction", "Part of the intensity over part of the pixels that lie in"),
    ("cv", "Coefficient of variation of the mean intensities of eight wedges of"),
)
SOURCE = "CellProfiler's MeasureObjectIntensityDistribution"
MOST_RINGS = 100


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    bins: int = 4,
    scaled: bool = True,
    maximum_radius: float = 100.0,
) -> Family:
    """Rings of some channels.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``: one region for all channels; or ``own``: each channel's mask.
    bins : int
        Number of rings.
    scaled : bool
        Whether rings divide the way from the centre to the edge; otherwise the way to
        ``maximum_radius``, and one more ring, ``overflow``, is all beyond.
    maximum_radius : float
        In pixels.

    Raises
    ------
    UserError
        A word is unknown, a list is empty, or a number out of range.
    """
    pick([mask], MASKS, "mask")
    if not 1 <= bins <= MOST_RINGS:
        raise UserError(f"bins: from 1 to {MOST_RINGS}, found {bins}")
    if not maximum_radius > 0:
        raise UserError(f"maximum_radius: a number above 0, found {maximum_radius}")
    places, rings = channel_places(channels), Rings(bins, scaled, float(maximum_radius))
    return Family(
        "radial", partial(_features, places, rings), partial(_compute, places, mask, rings)
    )


def _features(
    places: tuple[int, ...] | None, rings: Rings, channel_names: Sequence[str]
) -> list[Feature]:
    of = f"rings between the mask's centre and {'edge' if rings.scaled else 'maximum_radius'}"
    words = [
        (f"{k + 1}of{rings.bins}", f"ring {k + 1} of {rings.bins} {of}") for k in range(rings.bins)
    ]
    if not rings.scaled:
        words.append(("overflow", "what is beyond maximum_radius"))
    return [
        Feature(f"radial_{name}_{ring}_{channel}", channel, "1", f"{text} {where} ({SOURCE}).")
        for channel in (channel_names[c] for c in chosen_channels(places, len(channel_names)))
        for name, text in STATISTICS
        for ring, where in words
    ]


def _compute(
    places: tuple[int, ...] | None,
    mask: MaskWord,
    rings: Rings,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    The centre is the pixel of the mask farthest from the outside, the first in raster order where
    several are; what is beyond the crop is outside. With d the length of the shortest path from
    there within the mask, over sides and corners of pixels, and e a pixel's distance to the
    outside, ring k of n holds the pixels with k - 1 <= n d / (d + e + 0.001) < k. Pixels that no
    path leads to do not count. A ring has eight wedges: above the centre or not, right of it or
    not, farther from it in rows than in columns or not; those without a pixel do not count.

    NaN: everything where the mask has no pixel, or one that is not finite; fractions where the
    intensities sum to 0; the mean fraction and the variation where the ring has no pixel
    (CellProfiler: 0), the variation also where the mean of the wedges is 0.

    References
    ----------
    CellProfiler, MeasureObjectIntensityDistribution; cp_measure 0.3, ``get_radial_distribution``.
    """
    if len(batch):
        chosen = chosen_channels(places, batch.channels)
        fill(batch, masks, regions(batch, masks, mask), chosen, rings, out, scratch)


FAMILY = replace(select(), select=select)
measure = FAMILY.measure
