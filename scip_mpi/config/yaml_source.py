"""From YAML text to plain data, with the line of every key.

Only what JSON knows too: mappings with text keys, lists, text, numbers, true and false, null.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from scip_mpi.config.problems import Finding, Path

TAG = "tag:yaml.org,2002:"
# `=`, `<<` and dates mean nothing special in a config.
TEXT_TAGS = {TAG + "str", TAG + "timestamp", TAG + "value", TAG + "merge"}
SCALAR_TAGS = TEXT_TAGS | {TAG + "null", TAG + "bool", TAG + "int", TAG + "float"}
# No config comes near these; aliases of aliases could grow without end.
MOST_NODES = 1_000_000
DEEPEST = 50


@dataclass
class Source:
    """What a YAML text says.

    Attributes
    ----------
    data : object
        Plain data; None where the text could not be read at all.
    lines : dict of key path to int
        The line, from 1, of each key and list item.
    findings : list of Finding
        What is wrong with the text as YAML.
    readable : bool
        Whether ``data`` says all that the text does; otherwise nothing more can be checked.
    """

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    readable: bool = True


def read_yaml(text: str) -> Source:
    """Read YAML text; never raises."""
    source = Source()
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        _syntax_error(source, error)
        return source
    except yaml.YAMLError as error:
        source.readable = False
        source.findings.append(Finding((), f"not valid YAML: {str(error).splitlines()[0]}"))
        return source
    except RecursionError:
        source.readable = False
        source.findings.append(Finding((), "nested too deeply"))
        return source
    if node is not None:
        source.lines[()] = node.start_mark.line + 1
        walk = _Walk(source, loader)
        source.data = walk.value(node, ())
    return source


def _syntax_error(source: Source, error: yaml.MarkedYAMLError) -> None:
    source.readable = False
    mark = error.problem_mark or error.context_mark
    words = [w for w in (error.context, error.problem) if w]
    message = f"not valid YAML: {', '.join(words)}"
    if mark is not None:
        source.lines[()] = mark.line + 1
        message = message.replace("not valid YAML:", f"not valid YAML, column {mark.column + 1}:")
    if "'\\t'" in message:
        message += "; indent with spaces, not tabs"
    source.findings.append(Finding((), message))


class _Walk:
    """Turns nodes into data: PyYAML's own constructor keeps no lines and lets keys repeat."""

    def __init__(self, source: Source, loader: yaml.SafeLoader) -> None:
        self.source = source
        self.loader = loader
        self.open: list[yaml.Node] = []
        self.nodes = 0

    def wrong(self, path: Path, message: str, line: int | None = None) -> None:
        self.source.readable = False
        self.source.findings.append(Finding(path, message, line))

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.nodes += 1
        if any(node is o for o in self.open):
            self.wrong(path, "an alias that holds itself")
        elif len(self.open) > DEEPEST:
            self.wrong(path, "nested too deeply")
        elif self.nodes > MOST_NODES:
            if self.nodes == MOST_NODES + 1:
                self.wrong(path, "the config is too large")
        elif isinstance(node, yaml.MappingNode) and node.tag == TAG + "map":
            return self.inside(node, self.mapping, path)
        elif isinstance(node, yaml.SequenceNode) and node.tag == TAG + "seq":
            return self.inside(node, self.sequence, path)
        elif isinstance(node, yaml.ScalarNode) and node.tag in SCALAR_TAGS:
            return self.scalar(node, path)
        else:
            shown = node.tag.replace(TAG, "!!")
            self.wrong(path, f"the YAML tag {shown} is not understood here: leave it out")
        return None

    def inside(self, node: yaml.Node, read: Any, path: Path) -> Any:
        self.open.append(node)
        result = read(node, path)
        self.open.pop()
        return result

    def sequence(self, node: yaml.SequenceNode, path: Path) -> list[Any]:
        for i, item in enumerate(node.value):
            self.source.lines[(*path, i)] = item.start_mark.line + 1
        return [self.value(item, (*path, i)) for i, item in enumerate(node.value)]

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        data: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == TAG + "merge":
                continue
            line = key_node.start_mark.line + 1
            key = self.key(key_node, path, line)
            if key is None:
                continue
            if key in first:
                self.wrong((*path, key), f"given twice: also in line {first[key]}", line)
                continue
            first[key] = line
            self.source.lines[(*path, key)] = line
            data[key] = self.value(value_node, (*path, key))
        for merged in self.merged(node, path):
            data = {**merged, **data}
        return data

    def key(self, node: yaml.Node, path: Path, line: int) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            self.wrong(path, "a key must be text, not a list or a mapping", line)
        elif node.tag in TEXT_TAGS:
            return self.text(node.value, path)
        else:
            self.wrong(path, f"a key must be text: put {node.value or 'it'} in quotes", line)
        return None

    def merged(self, node: yaml.MappingNode, path: Path) -> Iterator[dict[str, Any]]:
        """Mappings that ``<<`` brings in, those that win first."""
        for key_node, value_node in node.value:
            if key_node.tag != TAG + "merge":
                continue
            several = isinstance(value_node, yaml.SequenceNode)
            for part in value_node.value if several else [value_node]:
                line = key_node.start_mark.line + 1
                if isinstance(part, yaml.MappingNode):
                    before = dict(self.source.lines)
                    data = self.value(part, path)
                    # Lines of keys that the mapping has of its own stay.
                    self.source.lines.update(before)
                    if data is not None:
                        yield data
                else:
                    self.wrong(path, "<< needs a mapping, or a list of them", line)

    def scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        if node.tag in TEXT_TAGS:
            return self.text(node.value, path)
        try:
            value = self.loader.construct_object(node)
        except (ValueError, KeyError, IndexError):
            kind = node.tag.replace(TAG, "!!")
            self.wrong(path, f"{node.value[:40]!r} cannot be read as {kind}")
            return None
        if isinstance(value, float) and not math.isfinite(value):
            self.wrong(path, f"{node.value} is not a finite number")
        if node.tag == TAG + "int" and not _as_read(node.value, value):
            self.wrong(
                path,
                f"YAML reads {node.value} as {value}: write {value}, or put it in quotes for text",
            )
        return value

    def text(self, value: str, path: Path) -> str | None:
        if any("\ud800" <= c <= "\udfff" for c in value):
            self.wrong(path, f"{value!r} is not valid text: half of a surrogate pair")
            return None
        return value


def _as_read(text: str, value: int) -> bool:
    """Whether a number means what people read; 010 is 8 to YAML, and 1:30 is 90."""
    plain = text.replace("_", "")
    if re.fullmatch(r"[-+]?[0-9]+", plain):
        return int(plain) == value
    return ":" not in plain
