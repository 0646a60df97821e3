"""YAML as text, its values and where each stands, so that every problem can name its line."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Problem:
    """Something wrong in a config: where (key path, line), what, and what was expected."""

    key: Key
    line: int | None
    message: str

    def text(self, source: str) -> str:
        """``scip.yml:14: mask.methods[0].kwargs.smoth: unknown key; did you mean 'smooth'?``."""
        where = source if self.line is None else f"{source}:{self.line}"
        path = key_path(self.key)
        return f"{where}: {path}: {self.message}" if path else f"{where}: {self.message}"


def key_path(key: Key) -> str:
    """``mask.methods[0].kwargs`` for ("mask", "methods", 0, "kwargs")."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


@dataclass
class Source:
    """Values of a YAML text, the line of each key, and the problems met while reading it."""

    values: Any
    lines: dict[Key, int]
    problems: list[Problem]

    def line(self, key: Key) -> int | None:
        """Line of a key, or of the nearest one above it that is there."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key)


def read_yaml(text: str) -> Source:
    """Parse YAML safely, noting lines and repeated keys; syntax errors become problems."""
    source = Source(None, {}, [])
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        source.values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or str(error).splitlines()[0]
        column = "" if mark is None else f" (column {mark.column + 1})"
        line = None if mark is None else mark.line + 1
        source.problems.append(Problem((), line, f"not valid YAML: {what}{column}"))
        return source
    except (ValueError, RecursionError) as error:
        source.problems.append(Problem((), None, f"not valid YAML: {error}"))
        return source
    if node is not None:
        _walk(node, (), source, set())
    return source


def _walk(node: yaml.Node, key: Key, source: Source, above: set[int]) -> None:
    if id(node) in above:
        source.problems.append(Problem(key, node.start_mark.line + 1, "refers to itself"))
        source.values = None
        return
    inside = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for name_node, value in node.value:
            name = name_node.value if isinstance(name_node, yaml.ScalarNode) else "?"
            line = name_node.start_mark.line + 1
            child = (*key, name)
            if name in seen and name_node.tag != "tag:yaml.org,2002:merge":
                source.problems.append(Problem(child, line, "is given twice"))
            seen.add(name)
            source.lines[child] = line
            _walk(value, child, source, inside)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            source.lines[(*key, i)] = value.start_mark.line + 1
            _walk(value, (*key, i), source, inside)
