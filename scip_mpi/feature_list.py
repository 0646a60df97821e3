"""Every feature that a run can give: what it is, by whom, of which mask, and what it costs.

All of it is read from the families themselves and their docstrings.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scip_mpi import registry
from scip_mpi.errors import UserError
from scip_mpi.features.family import Family, Feature

# Stand for any channel, and in columns of two for any other one.
CHANNEL, OTHER = "<channel>", "<other>"
# What `bench/feature_costs.py` wrote down.
COSTS = Path(__file__).parent / "features" / "costs.csv"
HEAD = f"""\
# Features

Written by `make features`; do not edit. What a config asks for by the name of a family in
`feature_extraction`, per mask set. The columns of the table have `feat_` and the name of the mask
set in front. `{CHANNEL}` stands for each channel, `{OTHER}` for each other one. Masks are those of
the mask set: `own` is each channel's, `combined` the union of those of `mask.combined_indices`. An
object that the mask set did not keep has NaN everywhere.
"""


@dataclass(frozen=True)
class Cost:
    """CPU time of all columns of a family, as measured.

    Attributes
    ----------
    microseconds : float
        For each cell and ``per``.
    per : str
        ``channel`` or ``mask``; empty for the cell alone.
    measured : str
        When, and on what.
    """

    microseconds: float
    per: str
    measured: str


@dataclass(frozen=True)
class Listed:
    """A family and what is told of it.

    Attributes
    ----------
    name : str
    about : str
        One sentence.
    notes : list of str
        What else its docstring says, a text per paragraph.
    source : str
        The references of its definitions.
    settings : list of str
        Those that a config may give, with their defaults.
    cost : Cost, optional
        None where it was not measured.
    features : list of Feature
        Each once, of `CHANNEL`; with the mask that it is measured in.
    """

    name: str
    about: str
    notes: list[str]
    source: str
    settings: list[str]
    cost: Cost | None
    features: list[Feature]


def list_families(names: Sequence[str] = ()) -> list[Listed]:
    """What is known of some families; of all, those of installed packages too, by default.

    Raises
    ------
    UserError
        There is no such family.
    """
    known = registry.names("features")
    for name in names:
        if name not in known:
            close = registry.suggestion(name, known)
            raise UserError(f"no feature family {name!r}{close}; known are {', '.join(known)}")
    costs = read_costs(COSTS)
    return [listed(name, costs.get(name)) for name in names or known]


def listed(name: str, cost: Cost | None) -> Listed:
    """What is known of one family."""
    family = registry.find("features", name)
    module = importlib.import_module(registry.locate("features", name).partition(":")[0])
    about, _, of_module = documented(module)
    # Of a family with settings, the function that they are given to.
    _, notes, references = documented(getattr(family.compute, "func", family.compute))
    return Listed(
        name,
        re.sub(r" \(family ``\w+``\)", "", about),
        notes,
        references or of_module,
        settings_of(family),
        cost,
        features_of(family),
    )


def documented(thing: Any) -> tuple[str, list[str], str]:
    """A docstring's first paragraph, the others before its first section, and its references."""
    head, *sections = re.split(r"\n+(?=[^\n]+\n---+\n)", inspect.getdoc(thing) or "")
    summary, *others = [" ".join(p.split()) for p in re.split(r"\n\n+", head)]
    of_references = (s for s in sections if s.startswith("References\n"))
    # Without the heading and what underlines it.
    references = next(of_references, "").split("\n", 2)[-1]
    return summary, others, " ".join(references.split())


def features_of(family: Family) -> list[Feature]:
    """Every column once, of one channel, or of one and another; with its mask."""
    found = []
    for f in family.features([CHANNEL, OTHER]):
        if OTHER not in f.name or CHANNEL in f.name:
            mask = mask_of(family, f)
            found.append(Feature(f.name, f.channel, f.unit, f.definition, mask, f.source))
    return found


def mask_of(family: Family, feature: Feature) -> str:
    """The mask that a column is measured in, or those that a setting chooses from."""
    if feature.mask or not family.masked:
        return feature.mask or "none"
    given = registry.parameters(family.select).get("mask") if family.select else None
    return f"{given.default} (`mask`)" if given else ""


def settings_of(family: Family) -> list[str]:
    """Names of the settings of a family, with defaults where these say anything."""
    if family.select is None:
        return []
    found = registry.parameters(family.select).values()
    return [p.name if p.default is None else f"{p.name}: {_shown(p.default)}" for p in found]


def _shown(value: Any) -> str:
    """A default as a config has it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_shown, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_costs(path: Path) -> dict[str, Cost]:
    """What the families cost, as far as it was measured."""
    with path.open(newline="", encoding="utf-8") as handle:
        return {
            row["family"]: Cost(
                float(row["us"]), row["per"], f"{row['date'][:10]}, {row['machine']}"
            )
            for row in csv.DictReader(handle)
        }


def as_text(families: Iterable[Listed]) -> str:
    """For a terminal."""
    return "\n".join(_text(f) for f in families)


def _text(family: Listed) -> str:
    lines = [f"{family.name}: {family.about}", *(f"  {note}" for note in family.notes)]
    if family.source:
        lines.append(f"  source: {family.source}")
    if family.settings:
        lines.append(f"  settings: {', '.join(family.settings)}")
    lines.append(f"  cost: {_cost(family.cost)}")
    rows = [(f.name, f.unit, f.mask) for f in family.features]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for f, row in zip(family.features, rows, strict=True):
        line = "  ".join(text.ljust(width) for text, width in zip(row, wide, strict=True))
        lines.append(f"  {line}  {_definition(f)}")
    return "\n".join(lines).replace("``", "") + "\n"


def as_markdown(families: Iterable[Listed]) -> str:
    """As features.md has it."""
    families = list(families)
    summary = ["| family | columns | us | |", "|---|---|---|---|"]
    for f in families:
        cost = "" if f.cost is None else f"{f.cost.microseconds:.3g}"
        summary.append(f"| [`{f.name}`](#{f.name}) | {len(f.features)} | {cost} | {f.about} |")
    costs = (
        "us: microseconds of CPU for all columns of one cell and channel (or as its family says)."
    )
    parts = [HEAD, "\n".join(summary) + "\n", costs + "\n", *map(_chapter, families)]
    return "\n".join(parts).replace("``", "`")


def _chapter(family: Listed) -> str:
    paragraphs = [f"## {family.name}", family.about, *family.notes]
    if family.source:
        paragraphs.append(f"Source: {family.source}")
    if family.settings:
        paragraphs.append("Settings: " + ", ".join(f"`{s}`" for s in family.settings) + ".")
    paragraphs.append(f"Cost: {_cost(family.cost)}.")
    rows = ["| name | unit | mask | definition |", "|---|---|---|---|"]
    for f in family.features:
        definition = _definition(f).replace("|", r"\|")
        rows.append(f"| `{f.name}` | {f.unit} | {f.mask} | {definition} |")
    return "\n\n".join([*paragraphs, "\n".join(rows)]) + "\n"


def _definition(feature: Feature) -> str:
    return f"{feature.definition} {feature.source}".rstrip()


def _cost(cost: Cost | None) -> str:
    if cost is None:
        return "not measured"
    each = f"cell and {cost.per}" if cost.per else "cell"
    return f"{cost.microseconds:.3g} us for each {each} ({cost.measured})"
