"""CellProfiler's colocalization of pairs of channels (family ``colocalization``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from scip_mpi.batches import BoolArray, FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.colocalization_kernel import COSTES, MEASURES, fill
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.regions import MASKS, MaskWord, regions
from scip_mpi.features.selection import channel_places, chosen_channels, pick
from scip_mpi.features.shared import Shared

# name, definition: the columns of each measure.
COLUMNS = {
    "pearson": (("pearson", "Pearson's correlation of the channels"),),
    "slope": (("slope", "Slope of the regression of the second channel on the first"),),
    "manders": (
        ("manders_1", "Part of the first channel's intensity above its threshold where both are"),
        ("manders_2", "Part of the second channel's intensity above its threshold where both are"),
    ),
    "overlap": (("overlap", "Correlation without means taken off, where both are above"),),
    "k": (
        ("k_1", "Products over squares of the first channel, where both are above"),
        ("k_2", "Products over squares of the second channel, where both are above"),
    ),
    "rwc": (
        ("rwc_1", "Manders' part of the first channel, pixels weighted by how alike their ranks"),
        ("rwc_2", "Manders' part of the second channel, pixels weighted by how alike their ranks"),
    ),
    "costes": (
        ("costes_1", "Manders' part of the first channel above thresholds by Costes' regression"),
        ("costes_2", "Manders' part of the second channel above thresholds by Costes' regression"),
    ),
}
SOURCE = "CellProfiler's MeasureColocalization"
USUAL = tuple(m for m in MEASURES if m != "costes")
# Costes' thresholds up to the largest value of pixels that are not unsigned whole numbers.
STEPS = 65535
if TYPE_CHECKING:
    MeasureWord = str
else:
    MeasureWord = Literal[MEASURES]


class Settings(NamedTuple):
    """What is measured; as in `select`."""

    channels: tuple[int, ...] | None
    pairs: tuple[tuple[int, int], ...] | None
    mask: MaskWord
    asked: tuple[bool, ...]
    threshold: float
    costes_top: float | None


def select(
    *,
    channels: Sequence[int | str] | None = None,
    pairs: Sequence[Sequence[int | str]] | None = None,
    mask: MaskWord = "combined",
    measures: Sequence[MeasureWord] = USUAL,
    threshold: float = 15.0,
    costes_top: float | None = None,
) -> Family:
    """Some measures of pairs of channels.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them), of which every pair is measured; all by
        default.
    pairs : sequence of pairs of int, optional
        These pairs alone, in place of ``channels``.
    mask : str
        ``combined``: one region for all pairs; or ``own``: pixels in either channel's mask.
    measures : sequence of str
        ``pearson``, ``slope``, ``manders``, ``overlap``, ``k``, ``rwc``, ``costes``; all but the
        last, which takes longest, by default.
    threshold : float
        Of ``manders``, ``overlap``, ``k`` and ``rwc``: percent of a channel's largest pixel that
        its pixels must reach.
    costes_top : float, optional
        Largest value that a pixel can have: up to there Costes' thresholds are tried in whole
        numbers, or in 65,535 steps where pixels are not whole. The largest of the pixels' type
        where that is unsigned, otherwise 65,535, by default.

    Raises
    ------
    UserError
        A word is unknown, a list is empty, a pair is none, or a number out of range.
    """
    pick([mask], MASKS, "mask")
    chosen = pick(measures, MEASURES, "measure")
    if not 0 <= threshold < 100:
        raise UserError(f"threshold: percent from 0 to below 100, found {threshold}")
    if costes_top is not None and not costes_top > 0:
        raise UserError(f"costes_top: a number above 0, found {costes_top}")
    if channels is not None and pairs is not None:
        raise UserError("give channels, of which every pair is measured, or pairs, not both")
    settings = Settings(
        channel_places(channels),
        None if pairs is None else _listed(pairs),
        mask,
        tuple(m in chosen for m in range(len(MEASURES))),
        float(threshold),
        costes_top,
    )
    return Family("colocalization", partial(_features, settings), partial(_compute, settings))


def _listed(pairs: Sequence[Sequence[int | str]]) -> tuple[tuple[int, int], ...]:
    if not pairs:
        raise UserError("pairs: an empty list selects nothing; leave it out for all")
    found = []
    for pair in pairs:
        places = channel_places(pair) or ()
        if len(places) != 2:
            raise UserError(f"pairs: each is two channels, found {list(pair)}")
        found.append((places[0], places[1]))
    return tuple(dict.fromkeys(found))


def _pairs(settings: Settings, count: int) -> Int64Array:
    """Places of the pairs, shape (p, 2)."""
    if settings.pairs is None:
        chosen = chosen_channels(settings.channels, count).tolist()
        found = list(combinations(chosen, 2))
    else:
        chosen_channels(tuple(c for pair in settings.pairs for c in pair), count)
        found = list(settings.pairs)
    return np.array(found, np.int64).reshape(-1, 2)


def _features(settings: Settings, channel_names: Sequence[str]) -> list[Feature]:
    found = []
    for a, b in _pairs(settings, len(channel_names)):
        both = f"{channel_names[a]}_{channel_names[b]}"
        for measure, asked in zip(MEASURES, settings.asked, strict=True):
            for name, text in COLUMNS[measure] if asked else ():
                found.append(Feature(f"coloc_{name}_{both}", both, "1", f"{text} ({SOURCE})."))
    twice = [name for name, count in Counter(f.name for f in found).items() if count > 1]
    if twice:
        raise UserError(f"two pairs would both be called {twice[0]!r}: give channels other names")
    return found


def _compute(
    settings: Settings,
    batch: ImageBatch,
    masks: SetMasks,
    shared: Shared,
    out: FloatArray,
    scratch: Scratch,
) -> None:
    """Fill the rows of the objects that the mask set kept.

    With x and y a pixel of either channel, sums over the mask, and "both" over its pixels with
    x >= tx and y >= ty, where tx is ``threshold`` percent of the largest x: Manders 1 is sum x
    (both) / sum x (x >= tx), overlap sum xy / sqrt(sum x^2 sum y^2), K 1 sum xy / sum x^2 (both).
    The rank-weighted part has x (R - |rx - ry|) / R for x above, with rx the number of distinct
    values below x in the channel, and R one more than the largest rank of either channel.

    NaN where the mask has no pixel, or one that is not finite; Pearson's correlation and the slope
    where a channel is constant (for one pixel, so); a ratio where what it divides by is 0, such as
    the overlap where no pixel is above both thresholds (CellProfiler: 0); Costes' also as
    `scip_mpi.features.costes.costes` says.

    References
    ----------
    CellProfiler, MeasureColocalization; cp_measure 0.3, ``measurecolocalization``; Singan et al.,
    "Dual channel rank-based intensity weighting for quantitative co-localization of microscopy
    images", BMC Bioinformatics 12:407, 2011; Costes et al., "Automatic and quantitative
    measurement of protein-protein colocalization in live cells", Biophysical Journal 86, 2004.
    """
    if not len(batch):
        return
    pairs = _pairs(settings, batch.channels)
    if not len(pairs):
        return
    asked: BoolArray = np.array(settings.asked)
    scale = _scale(settings, batch.pixels.dtype) if asked[COSTES] else (1.0, 1)
    where = regions(batch, masks, settings.mask)
    fill(batch, masks, where, pairs, asked, settings.threshold / 100, scale, out, scratch)


def _scale(settings: Settings, dtype: np.dtype[Any]) -> tuple[float, int]:
    """Largest value of a pixel, and number of thresholds up to there."""
    top = settings.costes_top
    if top is None:
        top = float(np.iinfo(dtype).max) if dtype.kind == "u" else float(STEPS)
    return top, int(top) if dtype.kind in "iu" and top >= 2 else STEPS


FAMILY = replace(select(), select=select)
measure = FAMILY.measure
