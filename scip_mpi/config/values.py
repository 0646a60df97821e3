"""What single values of a config must be like: sizes, names, channels."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from scip_mpi.config.problems import shown
from scip_mpi.errors import UserError
from scip_mpi.registry import suggestion

# What the names of mask sets mean by themselves, in CellProfiler's words.
COMPARTMENTS = {
    "Cells": ("cell", "cells"),
    "Nuclei": ("nucleus", "nuclei"),
    "Cytoplasm": ("cyto", "cytoplasm"),
}
# How columns of no compartment begin; Crop is the bare image.
RESERVED_COMPARTMENTS = ("Metadata", "Image", "Crop")
UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def channel_problem(reference: int | str, names: Sequence[str]) -> str:
    """What is wrong with an index or a name of a channel; empty if nothing is."""
    if isinstance(reference, str):
        if reference in names:
            return ""
        close = suggestion(reference, names)
        return (
            f"no channel is called {reference!r}{close}{' The' if close else '; the'} channels are "
            f"{', '.join(names)}"
        )
    if 0 <= reference < len(names):
        return ""
    return f"no channel {reference}: the channels are 0 to {len(names) - 1} ({', '.join(names)})"


def as_reference(key: int | str, names: Sequence[str]) -> int | str:
    """A channel's index where a key of a mapping, always text in JSON, was a number."""
    if isinstance(key, str) and key not in names and key.isdecimal():
        return int(key)
    return key


def places(references: Sequence[int | str], names: Sequence[str], key: str) -> list[int]:
    """Places in ``names`` of channels given by index or name.

    Raises
    ------
    UserError
        There is no such channel.
    """
    found = [as_reference(r, names) for r in references]
    for reference in found:
        if problem := channel_problem(reference, names):
            raise UserError(f"{key}: {problem}")
    return [names.index(r) if isinstance(r, str) else r for r in found]


def memory_size(value: Any) -> int:
    """Bytes of a size such as ``2 GiB``, ``500 MB`` or ``1.5G``; a plain K, M or G is binary.

    Raises
    ------
    ValueError
        It is no size, or less than a byte.
    """
    match = None
    if isinstance(value, str):
        match = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]+)?)\s*([kmgt]?)(i?b)?\s*", value.lower())
    if match and (match[2] or match[3] != "ib"):
        base = 1000 if match[3] == "b" else 1024
        size = int(float(match[1]) * base ** UNITS[match[2]])
    elif isinstance(value, int) and not isinstance(value, bool):
        size = value
    else:
        raise ValueError(f"expected a size such as 2 GiB or 500 MB, found {shown(value)}")
    if size < 1:
        raise ValueError(f"must be at least a byte, found {shown(value)}")
    return size


def label(text: str) -> str:
    """A name that can stand in a column's name, and in a path within an HDF5 file."""
    if not text.strip() or text != text.strip():
        raise ValueError(f"must be a name without spaces around it, found {text!r}")
    if "/" in text or not text.isprintable():
        raise ValueError(f"must hold no / and only printable characters, found {text!r}")
    return text


def channel_name(text: str) -> str:
    """A channel cannot take the suffix of the combined mask's columns."""
    if text == "combined":
        raise ValueError("'combined' stands for the combined mask: give the channel another name")
    return text


def set_name(text: str) -> str:
    """A mask set cannot take the prefix of the bare image's columns."""
    if text == "raw":
        raise ValueError("'raw' stands for the image without masks: give the set another name")
    return text


def file_name(text: str) -> str:
    """A file in OUT itself, and not a hidden one."""
    if not text.isprintable() or re.search(r"[/\\]", text) or text.startswith(".") or not text:
        raise ValueError(f"must be the name of a file, without folders, found {text!r}")
    return text


def compartment(text: str) -> str:
    """A word that may begin the name of a column and is none of those that others begin with."""
    if not re.fullmatch("[A-Za-z][A-Za-z0-9]*", text):
        raise ValueError(f"must be a word of letters and digits such as Cells, found {text!r}")
    if text in RESERVED_COMPARTMENTS:
        raise ValueError(f"{text!r} is what other columns begin with: give it another name")
    return text


def compartments(sets: Sequence[str], given: Mapping[str, str]) -> dict[str, str]:
    """The compartment of each mask set: given, that of its own name, or, of a single set, Cells.

    Sets that have none by these rules are left out.
    """
    found = {}
    for name in sets:
        own = [c for c, words in COMPARTMENTS.items() if name.lower() in words]
        own += ["Cells"] if len(sets) == 1 else []
        if name in given or own:
            found[name] = given.get(name, own[0] if own else "")
    return found


def off(value: bool) -> bool:
    """SCIP accepts the key and does nothing; only false says what will happen."""
    if value:
        raise ValueError("masks are not exported yet: write false, or leave it out")
    return value


def all_as_none(value: Any) -> Any:
    """All channels are chosen by choosing none; a list is one of those that are."""
    if value == "all":
        return None
    return tuple(value) if isinstance(value, list) else value


def none_as_empty(value: Any) -> Any:
    """SCIP's configs leave keys without settings empty."""
    return {} if value is None else value
