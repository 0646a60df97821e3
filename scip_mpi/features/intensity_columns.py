"""The views of the intensity columns: over which pixels, and less what."""

from __future__ import annotations

from collections.abc import Sequence

from scip_mpi.features.family import Feature
from scip_mpi.features.order_statistics import N_STATISTICS, STATISTICS

# Prefix of the columns of a view, and the pixels it is taken over, in SCIP's order.
VIEWS = (
    ("", "In the channel's mask."),
    ("bgcorr_", "In the channel's mask, less the background."),
    ("edge_", "In the inner rim, 6 pixels wide, of the channel's mask."),
    ("bgcorr_edge_", "In the rim of the channel's mask, less the background."),
    ("combined_", "In the combined mask."),
    ("combined_bgcorr_", "In the combined mask, less the background."),
    ("combined_edge_", "In the inner rim, 6 pixels wide, of the combined mask."),
    ("combined_bgcorr_edge_", "In the rim of the combined mask, less the background."),
)
# What selections call them.
VIEW_WORDS = (
    "own", "bgcorr", "edge", "bgcorr_edge", "combined", "combined_bgcorr", "combined_edge",
    "combined_bgcorr_edge",
)  # fmt: skip
PER_CHANNEL = len(VIEWS) * N_STATISTICS


def features(channel_names: Sequence[str]) -> list[Feature]:
    """Eight views of eleven columns per channel."""
    return [
        Feature(
            f"{view}{name}_{channel}", channel, unit, f"{text} {where}",
            mask="combined" if view.startswith("combined_") else "own",
        )
        for channel in channel_names
        for view, where in VIEWS
        for name, unit, text in STATISTICS
    ]  # fmt: skip
