"""Who does what: roles from what each rank sees, not from rank numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import groupby

from scip_mpi.errors import UserError


class Role(Enum):
    """What a rank does; it may have several roles at once."""

    MANAGER = "manager"
    SEGMENTER = "segmenter"
    FEATURIZER = "featurizer"


Roles = frozenset[Role]


@dataclass(frozen=True)
class Sight:
    """What a rank sees of its surroundings.

    Attributes
    ----------
    node : str
    devices : tuple of str
        Names of the devices that it can use, in the order of their numbers. Ranks of a node that
        see the same device have the same name for it.
    problem : str
        Why it can use none although there are some.
    """

    node: str
    devices: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Layout:
    """Who does what, and on which device.

    Attributes
    ----------
    nodes : list of str
        Node of every rank.
    roles : list of Roles
    devices : list of int or None
        Number of the device that each rank segments on, as that rank counts those it sees; None
        for the CPU.
    notes : list of str
        For the log.
    """

    nodes: list[str]
    roles: list[Roles]
    devices: list[int | None]
    notes: list[str]


def lay_out(
    sights: Sequence[Sight],
    segmenters: int,
    device: str = "cpu",
    per_device: int = 1,
    unfit: str = "",
) -> Layout:
    """Roles and devices of every rank.

    Where a node has devices, its first ranks segment, ``per_device`` of them on each, and all
    other ranks compute features; if then nobody is left for that, every rank does both.

    Parameters
    ----------
    sights : sequence of Sight
        What each rank sees, in rank order.
    segmenters : int
        Dedicated segmenting ranks where no device is used, as of `assign_roles`.
    device : {'auto', 'gpu', 'cpu'}
        ``gpu`` insists on one.
    per_device : int
        Ranks that share a device.
    unfit : str
        Why devices are of no use to this job, if they are not.

    Raises
    ------
    UserError
        ``gpu`` was asked for, and no node has a device that can be used.
    """
    taken = take_devices(sights, per_device)
    nodes = [sight.node for sight in sights]
    notes = []
    problems = {s.node: s.problem for s in sights if s.problem}
    if device == "cpu" or unfit or not any(k is not None for k in taken):
        reasons = [f"{node}: {problem}" for node, problem in problems.items()]
        if device == "gpu":
            where = "no GPU can be used on " + listed(nodes)
            why = unfit or "; ".join([where, *reasons])
            raise UserError(f"resources.device: gpu, but {why}; write auto or cpu to run without")
        if device == "auto" and (problems or (unfit and any(s.devices for s in sights))):
            notes.append(f"no GPU is used: {unfit or '; '.join(reasons)}")
        roles, more = assign_roles(sights, segmenters)
        return Layout(nodes, roles, [None] * len(sights), notes + more)
    notes += [f"no GPU is used on {node}: {problem}" for node, problem in problems.items()]
    with_device = {node for node, k in zip(nodes, taken, strict=True) if k is not None}
    without = [n for n in dict.fromkeys(nodes) if n not in with_device and n not in problems]
    if without:
        notes.append(f"no GPU is visible on {listed(without)}: the ranks there compute features")
    if segmenters:
        notes.append("resources.segmenters is passed over: the ranks with a GPU segment")
    both = all(k is not None for k in taken)
    if both and len(sights) > 1:
        notes.append("every rank has a GPU: all of them segment and compute features")
    roles = []
    for rank, number in enumerate(taken):
        held = {Role.FEATURIZER} if number is None or both else set()
        held |= set() if number is None else {Role.SEGMENTER}
        held |= {Role.MANAGER} if rank == 0 else set()
        roles.append(frozenset(held))
    return Layout(nodes, roles, taken, notes)


def take_devices(sights: Sequence[Sight], per_device: int) -> list[int | None]:
    """The number of the device that each rank takes, if there is one left for it.

    Of the devices that a rank sees it takes the one that the fewest ranks have, so that the first
    ranks of a node have one each before any is shared.
    """
    takers: Counter[tuple[str, str]] = Counter()
    taken: list[int | None] = []
    for sight in sights:
        counts = [takers[sight.node, name] for name in sight.devices]
        fewest = min(counts, default=per_device)
        if fewest >= per_device:
            taken.append(None)
        else:
            taken.append(counts.index(fewest))
            takers[sight.node, sight.devices[counts.index(fewest)]] += 1
    return taken


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


def describe_layout(layout: Layout, most: int = 8) -> Iterator[str]:
    """A line for each node: its ranks, their roles and devices; nodes beyond ``most`` are counted.

    ``node01: rank 0 manager + segmenter on device 0; ranks 1-15 featurizer``
    """
    ranks: dict[str, list[int]] = {}
    for rank, node in enumerate(layout.nodes):
        ranks.setdefault(node, []).append(rank)

    def task(rank: int) -> str:
        number = layout.devices[rank]
        return describe(layout.roles[rank]) + ("" if number is None else f" on device {number}")

    for node in list(ranks)[:most]:
        parts = []
        for what, group in groupby(ranks[node], task):
            own = list(group)
            parts.append(f"{ranges(own)} {what}")
        yield f"{node}: {'; '.join(parts)}"
    if len(ranks) > most:
        rest = [rank for node in list(ranks)[most:] for rank in ranks[node]]
        used = sum(layout.devices[rank] is not None for rank in rest)
        text = f"and {len(ranks) - most:,} more nodes with {len(rest):,} ranks"
        yield text + (f", {used:,} of them on a device" if used else "")


def ranges(ranks: Sequence[int]) -> str:
    """Ranks in ascending order as people write them: ``ranks 0-3, 8``."""
    parts = []
    for _, run in groupby(enumerate(ranks), lambda pair: pair[1] - pair[0]):
        own = [rank for _, rank in run]
        parts.append(f"{own[0]}" if len(own) == 1 else f"{own[0]}-{own[-1]}")
    return ("rank " if len(ranks) == 1 else "ranks ") + ", ".join(parts)


def listed(nodes: Sequence[str], most: int = 4) -> str:
    """Names of nodes, each once; those beyond ``most`` are counted."""
    names = list(dict.fromkeys(nodes))
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more nodes" if more > 0 else "")
