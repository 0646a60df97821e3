"""Names of the texture columns."""

from __future__ import annotations

from collections.abc import Sequence

from scip_mpi.features.cooccurrence import DISTANCES, PROPERTIES
from scip_mpi.features.family import Feature
from scip_mpi.features.gradient import SOBEL

# Of one mask: the properties, mean and std over the angles at both distances; then the gradient.
PAIRS = len(PROPERTIES) * 2 * len(DISTANCES)
PER_MASK = PAIRS + len(SOBEL)


def features(channel_names: Sequence[str]) -> list[Feature]:
    """28 columns per channel for its own mask, then 28 for the combined mask."""
    found = []
    for channel in channel_names:
        for prefix, mask, word in (
            ("", "the channel's mask", "own"),
            ("combined_", "the combined mask", "combined"),
        ):
            for name, text in PROPERTIES:
                for over in ("mean", "std"):
                    for distance in DISTANCES:
                        where = f"{over.capitalize()} over angles, distance {distance}, in {mask}."
                        column = f"{prefix}glcm_{over}_{name}_{distance}_{channel}"
                        found.append(Feature(column, channel, "1", f"{text} {where}", word))
            for over in SOBEL:
                text = f"{over.capitalize()} of the Sobel gradient magnitude in {mask}."
                column = f"{prefix}sobel_{over}_{channel}"
                found.append(Feature(column, channel, "intensity", text, word))
    return found
