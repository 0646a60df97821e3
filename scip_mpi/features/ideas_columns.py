"""Names and definitions of the columns of ``ideas``: what is published, and what was chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scip_mpi.batches import BoolArray, Int64Array
from scip_mpi.features.family import Feature

# name, unit, definition: of each channel, in order.
STATISTICS = (
    (
        "gradient_rms", "1",
        "Published: root mean square of the gradient, normalised for the level of intensity; "
        "chosen: central differences, the image's edge repeated, over the mask's pixels, and "
        "divided by their mean.",
    ),
    (
        "modulation", "1",
        "Published: (max - min) / (max + min) of the mask's pixels, from 0 to 1; chosen: of the "
        "pixels with their background, and a smallest one below 0 counts as 0.",
    ),
    (
        "aspect_ratio_intensity", "1",
        "Published: minor over major axis, weighted by intensity; chosen: of the ellipse with the "
        "same second moments, by the light above the background.",
    ),
    (
        "bright_detail_intensity_r3", "intensity",
        "Published: intensity of bright spots of at most 3 pixels in radius in the mask, less what "
        "surrounds them; chosen: sum of the image less its opening by a disc of radius 3.",
    ),
    (
        "bright_detail_intensity_r7", "intensity",
        "Published: intensity of bright spots of at most 7 pixels in radius in the mask, less what "
        "surrounds them; chosen: sum of the image less its opening by a disc of radius 7.",
    ),
    (
        "spot_count", "1",
        "Published: connected components of a mask of bright spots by their ratio to the cell; "
        "chosen: of pixels whose bright detail of radius 3 is at least `spot_ratio` times the mean "
        "of the mask's pixels, joined over corners.",
    ),
    (
        "symmetry_2", "1",
        "Published: tendency to one axis of elongation, hence two lobes; chosen: amplitude of the "
        "light about its centroid at twice the angle, weighted by the squared distance.",
    ),
    (
        "symmetry_3", "1",
        "Published: tendency to three lobes; chosen: as for two, at three times the angle.",
    ),
    (
        "symmetry_4", "1",
        "Published: tendency to four lobes; chosen: as for two, at four times the angle.",
    ),
    (
        "lobe_count", "1",
        "Published: 2, 3 or 4 by the largest symmetry, 1 if all are low; chosen: low is below "
        "`lobe_threshold`.",
    ),
)  # fmt: skip
PAIR = "bright_detail_similarity_r3"
PAIR_TEXT = (
    "Published: ln((1 + r) / (1 - r)), where r is the correlation, without means taken off, of the "
    "bright details of radius 3 of two channels, from 0 up; chosen: details outside a channel's "
    "mask are 0, and r is at most 1 - 1e-12."
)
PAIR_SOURCE = "(Beum et al., J. Immunological Methods 317, 2006.)"
NAMES = tuple(name for name, _, _ in STATISTICS)
WORDS = (*NAMES, PAIR)
(
    GRADIENT, MODULATION, ASPECT, DETAIL_3, DETAIL_7, SPOTS, SYMMETRY, _, _, LOBES,
) = range(len(NAMES))  # fmt: skip


def columns(
    chosen: BoolArray, channel_names: Sequence[str]
) -> tuple[list[Feature], Int64Array, Int64Array]:
    """The columns asked for, and where each goes; -1 for the others.

    Parameters
    ----------
    chosen : ndarray of bool, shape (C, 11)
        Of each channel; last whether it is in pairs.

    Returns
    -------
    features : list of Feature
    place : ndarray of int64, shape (C, 10)
    pairs : ndarray of int64, shape (C, C)
        Of two channels, the first one first.
    """
    found: list[Feature] = []
    place = np.full((len(chosen), len(NAMES)), -1, np.int64)
    pairs = np.full((len(chosen), len(chosen)), -1, np.int64)
    for c, s in np.argwhere(chosen[:, :-1]).tolist():
        name, unit, text = STATISTICS[s]
        channel = channel_names[c]
        place[c, s] = len(found)
        found.append(Feature(f"ideas_{name}_{channel}", channel, unit, text))
    both = np.flatnonzero(chosen[:, -1]).tolist()
    for k, a in enumerate(both):
        for b in both[k + 1 :]:
            pairs[a, b] = len(found)
            channel = f"{channel_names[a]}_{channel_names[b]}"
            name = f"ideas_{PAIR}_{channel}"
            found.append(Feature(name, channel, "1", PAIR_TEXT, source=PAIR_SOURCE))
    return found, place, pairs
