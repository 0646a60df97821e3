"""Haralick's features of co-occurrence matrices, by IBSI's definitions (family ``haralick``)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from scip_mpi.batches import FloatArray, ImageBatch, Int64Array, Scratch, SetMasks
from scip_mpi.errors import UserError
from scip_mpi.features.angles import Statistic, in_words, statistics_of
from scip_mpi.features.family import Family, Feature
from scip_mpi.features.grey import LEVELS, GreySettings, Levels, grey_levels, grey_settings, named
from scip_mpi.features.haralick_kernel import fill
from scip_mpi.features.haralick_values import NUMBER
from scip_mpi.features.regions import MaskWord
from scip_mpi.features.selection import pick
from scip_mpi.features.shared import Shared

FARTHEST = 64
# Haralick's order. Long names, as IBSI has them: they explain themselves, and short ones such as
# `variance` or `glnu` would mean different things in different matrices.
NAMES = (
    ("angular_second_moment", "Sum of the squared probabilities of pairs of levels (IBSI 8ZQL)"),
    ("contrast", "Mean squared difference of the levels of a pair (IBSI ACUI)"),
    ("correlation", "Correlation of the levels of a pair (IBSI NI2N)"),
    ("joint_variance", "Variance of the levels of pairs, Haralick's sum of squares (IBSI UR99)"),
    ("inverse_difference_moment", "Mean of 1 / (1 + squared difference) over pairs (IBSI WF0Z)"),
    ("sum_average", "Mean of the sum of the levels of a pair (IBSI ZGXS)"),
    ("sum_variance", "Variance of the sum of the levels of a pair (IBSI OEEB)"),
    ("sum_entropy", "Entropy, in bits, of the sum of the levels of a pair (IBSI P6QZ)"),
    ("joint_entropy", "Entropy, in bits, of pairs of levels (IBSI TU9B)"),
    ("difference_variance", "Variance of the difference of the levels of a pair (IBSI D3YU)"),
    ("difference_entropy", "Entropy, in bits, of the difference of levels of a pair (IBSI NTRS)"),
    ("information_correlation_1", "First measure of information correlation (IBSI R8DG)"),
    ("information_correlation_2", "Second measure of information correlation (IBSI JN9H)"),
)
# The rest of IBSI's.
FURTHER = (
    ("joint_maximum", "Probability of the most frequent pair of levels (IBSI GYBY)"),
    ("joint_average", "Mean of the levels of pairs (IBSI 60VM)"),
    ("difference_average", "Mean difference of the levels of a pair (IBSI TF7R)"),
    ("dissimilarity", "Mean difference of the levels of a pair (IBSI 8S9J)"),
    ("inverse_difference", "Mean of 1 / (1 + difference) over pairs (IBSI IB1Z)"),
    (
        "normalised_inverse_difference",
        "Mean of 1 / (1 + difference / number of levels) over pairs (IBSI NDRX)",
    ),
    (
        "normalised_inverse_difference_moment",
        "Mean of 1 / (1 + (difference / number of levels)^2) over pairs (IBSI 1QCO)",
    ),
    ("inverse_variance", "Sum over pairs of unlike levels of 1 / difference^2 (IBSI E8JP)"),
    ("autocorrelation", "Mean product of the levels of a pair (IBSI QWB0)"),
    ("cluster_tendency", "Variance of the sum of the levels of a pair (IBSI DG8W)"),
    ("cluster_shade", "Third moment of the sum of the levels of a pair (IBSI 7NFM)"),
    ("cluster_prominence", "Fourth moment of the sum of the levels of a pair (IBSI AE86)"),
)
EVERY = NAMES + FURTHER
WORDS = tuple(name for name, _ in EVERY)
if TYPE_CHECKING:
    Word = str
else:
    Word = Literal[WORDS]


class Settings(NamedTuple):
    """What `select` was told."""

    grey: GreySettings
    features: tuple[int, ...]
    distances: tuple[int, ...]
    statistics: Int64Array


def select(
    *,
    channels: Sequence[int | str] | None = None,
    mask: MaskWord = "combined",
    levels: Levels = LEVELS,
    distances: Sequence[int] = (1,),
    statistics: Sequence[Statistic] = ("mean", "range"),
    features: Sequence[Word] = WORDS[:NUMBER],
) -> Family:
    """Haralick's features with settings of one's own.

    Parameters
    ----------
    channels : sequence of int, optional
        Places of channels (a config may name them); all by default.
    mask : str
        ``combined``, or each channel's ``own``.
    levels : int or str
        Number of grey levels, 2 to 256, or ``given``: pixels are levels already, from 1 to 256.
    distances : sequence of int
        Between the pixels of a pair: so many rows, columns or both, 1 to 64. A distance other than
        1 stands in the column's name, as ``d3``.
    statistics : sequence of str
        ``mean`` and ``range`` over the angles (IBSI's 2D average), ``merged``: of the matrices of
        all angles added up (IBSI's 2D merged), or single angles: ``0deg``, ``45deg`` (to the upper
        right), ``90deg``, ``135deg``.
    features : sequence of str
        Haralick's 13 by default; IBSI has 12 more, of which three are others by another name.

    Raises
    ------
    UserError
        A setting is not one of those that there are.
    """
    far = sorted(set(distances))
    if not far or far[0] < 1 or far[-1] > FARTHEST:
        raise UserError(f"distances: numbers from 1 to {FARTHEST}, not {list(distances)}")
    settings = Settings(
        grey_settings(channels, mask, levels),
        tuple(pick(features, WORDS, "feature")),
        tuple(far),
        statistics_of(statistics),
    )
    return Family(
        "haralick", partial(_features, settings), partial(_compute, settings), select=select
    )


def _features(settings: Settings, channel_names: Sequence[str]) -> list[Feature]:
    return named(settings.grey, channel_names, partial(_of_channel, settings))


def _of_channel(settings: Settings, channel: str) -> list[Feature]:
    found = []
    for f in settings.features:
        name, text = EVERY[f]
        for s in settings.statistics:
            word, meaning = in_words(int(s))
            for d in settings.distances:
                far = "" if d == 1 else f"_d{d}"
                found.append(
                    Feature(
                        f"haralick_{name}_{word}{far}_{channel}",
                        channel,
                        "1",
                        f"{text}, distance {d}, {meaning}.",
                    )
                )
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

    Pixels of the mask get grey levels (`scip_mpi.features.grey`). A pair are two pixels of the mask
    so many rows, columns or both apart; it counts in both orders, so that matrices are symmetric.
    Entropies are in bits. Where all pixels of all pairs have one level, the correlation and the
    first measure of information correlation are 0 / 0: NaN. At an angle without a pair all is NaN;
    angles where a feature is NaN do not count in its mean and range.

    References
    ----------
    Haralick, Shanmugam and Dinstein, "Textural features for image classification", IEEE Trans.
    Systems, Man and Cybernetics 3(6), 1973; the definitions are those of IBSI's reference manual,
    arXiv:1612.07003, section 3.6.
    """
    if not len(batch):
        return
    grey = grey_levels(batch, masks, settings.grey, max(settings.distances), scratch)
    distances = np.array(settings.distances, np.int64)
    features = np.array(settings.features, np.int64)
    given = settings.grey.levels == 0
    fill(grey, settings.grey.most, given, features, distances, settings.statistics, out)


FAMILY = select()
measure = FAMILY.measure
