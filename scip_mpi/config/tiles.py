"""What a config with ``segment.tiles`` cannot have: what would need all of a field at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scip_mpi.config.problems import Finding, Path

WATERSHED = ("watershed", "watershed_dapi")
SETTINGS: Path = ("segment", "settings")


def tile_findings(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything that cannot be done with fields in tiles."""
    segment = data["segment"]
    if data.get("illumination_correction") is not None:
        message = "not for fields in tiles: it needs all of a field; leave out segment.tiles"
        yield Finding(("illumination_correction",), message)
    background = data.get("background")
    each = background.items() if isinstance(background, dict) else [(None, background)]
    for channel, chosen in each:
        if chosen == "field_median":
            path = ("background",) if channel is None else ("background", channel)
            message = "field_median is not for fields in tiles: take ring, outside or a number"
            yield Finding(path, message)
    if segment.get("export"):
        message = "label images are not written of fields in tiles: leave out one of the two"
        yield Finding(("segment", "export"), message)
    yield from _settings(segment)


def _settings(segment: Mapping[str, Any]) -> Iterator[Finding]:
    settings = segment.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    children = settings.get("children")
    children = children if isinstance(children, dict) else {}
    if segment.get("method") in WATERSHED:
        places = [(SETTINGS, settings)]
        places += [
            ((*SETTINGS, "children", c), {**settings, **own})
            for c, own in children.items()
            if isinstance(own, dict)
        ]
        for path, given in places:
            if given.get("cell_diameter") is None:
                message = (
                    "fields in tiles need it: it cannot be found out from a part of the objects"
                )
                yield Finding((*path, "cell_diameter"), message)
    expansion = settings.get("expansion")
    parent = settings.get("parent_channel_index", settings.get("dapi_channel_index", 0))
    if isinstance(expansion, dict):
        for channel in expansion:
            if channel != parent:
                message = (
                    f"in tiles only the parents can grow (channel {parent}, as "
                    "parent_channel_index has it)"
                )
                yield Finding((*SETTINGS, "expansion", channel), message)
    halo = segment["tiles"].get("halo", 128) if isinstance(segment["tiles"], dict) else None
    grows = expansion.get(parent) if isinstance(expansion, dict) else expansion
    if isinstance(grows, int | float) and isinstance(halo, int | float) and grows >= halo:
        message = f"must be less than the tiles' halo ({halo}), found {grows}"
        yield Finding((*SETTINGS, "expansion"), message)
