"""What is wrong with a config, in words: where, what was expected, what was found."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from scip_mpi.errors import UserError
from scip_mpi.registry import suggestion

# Keys and list indices from the top of the config.
Path = tuple[str | int, ...]

EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "path_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "is_instance_of": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
}


@dataclass(frozen=True)
class Finding:
    """Something wrong at a key path; its line, where the path does not tell."""

    path: Path
    message: str
    line: int | None = None


@dataclass(frozen=True)
class Problem:
    """Something the user must mend.

    Attributes
    ----------
    key_path : str
        Such as ``mask.methods[0].kwargs.smooth``; empty for the config as a whole.
    line : int or None
        Line in the file, from 1.
    message : str
        What is wrong and what to do.
    """

    key_path: str
    line: int | None
    message: str


class ConfigError(UserError):
    """Everything that is wrong with a config, at once.

    Attributes
    ----------
    name : str
        The file.
    problems : list of Problem
    """

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        super().__init__(name, problems)
        self.name = name
        self.problems = list(problems)

    def __str__(self) -> str:
        lines = [
            f"{self.name}{f':{p.line}' if p.line else ''}: "
            f"{f'{p.key_path}: ' if p.key_path else ''}{p.message}"
            for p in self.problems
        ]
        if len(lines) == 1:
            return lines[0]
        return "\n  ".join([f"the config has {len(lines)} problems", *lines])


def key_path(path: Path) -> str:
    """A path in writing: ``mask.methods[0].name``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def problems_of(findings: Iterable[Finding], lines: Mapping[Path, int]) -> list[Problem]:
    """Findings with their lines, in the order of the file, each said once."""
    problems = {}
    for f in findings:
        known = [n for n in range(len(f.path), 0, -1) if f.path[:n] in lines]
        # The whole config's own line says nothing, except where nothing else can be said.
        line = lines[f.path[: known[0]]] if known else None if f.path else lines.get(())
        found = Problem(key_path(f.path), f.line or line, f.message)
        problems[found.key_path, found.line, found.message] = found
    return sorted(problems.values(), key=lambda p: p.line or 0)


def shown(value: Any) -> str:
    """A value of a config in words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    text = repr(value) if len(repr(value)) <= 60 else repr(value)[:56] + "..."
    return f"the text {text}" if isinstance(value, str) else text


def findings_of(
    error: ValidationError, data: Any, schema: Any = None, prefix: Path = ()
) -> list[Finding]:
    """What pydantic found wrong with data, a finding per key path.

    Parameters
    ----------
    error : ValidationError
    data : object
        What was validated, as plain data.
    schema : type, optional
        The model that it was validated against, to tell which keys are known.
    prefix : tuple, optional
        Where ``data`` stands in the config.
    """
    by_path: dict[Path, list[Any]] = {}
    for e in error.errors(include_url=False):
        by_path.setdefault(_path_in(data, e["loc"], e["type"] == "missing"), []).append(e)
    return [
        _not_yet((*prefix, *path), errors[0]["input"])
        if errors[0]["type"] == "none_required"
        else Finding((*prefix, *path), _message(path, errors, schema))
        for path, errors in by_path.items()
        # One branch of a union fits as far as deeper errors say: the others' are beside the point.
        if not any(len(p) > len(path) and p[: len(path)] == path for p in by_path)
    ]


def _path_in(data: Any, loc: tuple[str | int, ...], missing: bool) -> Path:
    """An error's location without the names of union branches that pydantic puts between."""
    path: list[str | int] = []
    for i, part in enumerate(loc):
        index = isinstance(data, list) and isinstance(part, int)
        if index or (isinstance(data, dict) and part in data):
            data = data[part]
        elif not (missing and i == len(loc) - 1):
            continue
        path.append(part)
    return tuple(path)


def _message(path: Path, errors: list[Any], schema: Any) -> str:
    for e in errors:
        ctx = e.get("ctx", {})
        match e["type"]:
            case "missing":
                return "required key is missing"
            case "extra_forbidden":
                return unknown_key(str(path[-1]), known_keys(schema, path[:-1]))
            case "greater_than_equal":
                return f"must be at least {ctx['ge']}, found {shown(e['input'])}"
            case "greater_than":
                return f"must be greater than {ctx['gt']}, found {shown(e['input'])}"
            case "less_than_equal":
                return f"must be at most {ctx['le']}, found {shown(e['input'])}"
            case "too_short" | "string_too_short":
                return "must not be empty"
            case "value_error":
                return str(ctx["error"])
            case "literal_error":
                words = re.findall(r"'([^']*)'", ctx["expected"])
                close = suggestion(e["input"], words) if isinstance(e["input"], str) else ""
                return f"expected {ctx['expected']}, found {shown(e['input'])}{close}"
    words = list(dict.fromkeys(EXPECTED[e["type"]] for e in errors if e["type"] in EXPECTED))
    if not words:
        return f"{errors[0]['msg']}, found {shown(errors[0]['input'])}"
    value = errors[0]["input"]
    return f"expected {' or '.join(words)}, found {shown(value)}{_hint(words, value)}"


def _hint(words: Sequence[str], value: Any) -> str:
    if "text" in words and isinstance(value, bool):
        return ": YAML reads yes, no, on and off as true or false; put the word in quotes"
    if "text" in words and isinstance(value, int | float):
        return "; put it in quotes"
    if "a number" in words and isinstance(value, str) and _number(value):
        return f"; write {_number(value)}"
    return ""


def _number(text: str) -> str:
    """How a number must be written for YAML 1.1 to read it, which takes 1e3 for text."""
    if not re.fullmatch(r"[-+]?[0-9]+\.?[0-9]*([eE][-+]?[0-9]{1,3})?", text):
        return ""
    number = repr(float(text))
    mantissa, e, exponent = number.partition("e")
    return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else number


def unknown_key(key: str, known: Iterable[str]) -> str:
    """What to say of a key that nothing knows."""
    known = list(known)
    close = suggestion(key, known)
    if close:
        return f"unknown key{close}"
    return f"unknown key; known here: {', '.join(known) or 'none'}"


def known_keys(schema: Any, path: Path) -> list[str]:
    """Keys that a model knows at a path."""
    models = _models_in(schema)
    for part in path:
        if isinstance(part, str):
            fields = [m.model_fields[part] for m in models if part in m.model_fields]
            models = [m for f in fields for m in _models_in(f.annotation)]
    return [name for m in models for name in m.model_fields]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in typing.get_args(annotation) for m in _models_in(a)]


def _not_yet(path: Path, value: Any) -> Finding:
    """A section whose step does not exist yet is refused, never left out silently."""
    section = path[-1]
    advice = f"leave `{section}:` empty"
    if isinstance(value, dict) and isinstance(value.get("method"), str):
        message = f"unknown method {value['method']!r}; available: none yet: {advice}"
        return Finding((*path, "method"), message)
    return Finding(path, f"{section} is not available yet: {advice}")
