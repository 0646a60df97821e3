"""Who does what: roles from what each rank sees, not from rank numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Role(Enum):
    """What a rank does; it may have several roles at once."""

    MANAGER = "manager"
    SEGMENTER = "segmenter"
    FEATURIZER = "featurizer"


Roles = frozenset[Role]


@dataclass(frozen=True)
class Sight:
    """What a rank sees of its surroundings: its node, and the devices visible there."""

    node: str
    devices: int = 0


def assign_roles(sights: Sequence[Sight], segmenters: int) -> tuple[list[Roles], list[str]]:
    """Roles of every rank, and notes for the log.

    Parameters
    ----------
    sights : sequence of Sight
        What each rank sees, in rank order.
    segmenters : int
        Dedicated segmenting ranks, spread over the nodes: the first rank of each node, then the
        second, and so on. 0: every rank segments and computes features.

    Returns
    -------
    list of frozenset of Role, list of str
        Rank 0 is always the manager, whatever else it does.
    """
    size = len(sights)
    notes = []
    dedicated = min(segmenters, size - 1)
    if dedicated < segmenters:
        notes.append(
            f"{segmenters} dedicated segmenters asked for, but of {size} rank(s) at least one must "
            f"compute features: {dedicated} it is"
        )
    on_node: dict[str, int] = {}
    places = []
    for rank, sight in enumerate(sights):
        places.append((on_node.get(sight.node, 0), rank))
        on_node[sight.node] = on_node.get(sight.node, 0) + 1
    first = {rank for _, rank in sorted(places)[:dedicated]}
    roles = []
    for rank in range(size):
        if dedicated == 0:
            held = {Role.SEGMENTER, Role.FEATURIZER}
        else:
            held = {Role.SEGMENTER} if rank in first else {Role.FEATURIZER}
        roles.append(frozenset(held | ({Role.MANAGER} if rank == 0 else set())))
    return roles, notes


def describe(roles: Roles) -> str:
    """Roles in words, in a fixed order."""
    return " + ".join(r.value for r in Role if r in roles)
