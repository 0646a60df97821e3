"""Writes docs/config.md: every key of a config, from its schema and from the registry.

python docs/config_reference.py > docs/config.md; a test says when that is to be done again.
"""

from __future__ import annotations

import importlib
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from scip_mpi import registry
from scip_mpi.config import json_schema
from scip_mpi.feature_list import documented

Schema = Mapping[str, Any]

HEAD = """\
# Config reference

Written by `make reference`; do not edit. A config is one YAML file. Only `load` and
`feature_extraction` must be there; another section that is left out, or empty, is a step that is
not done. Channels are named or counted from 0 among `load.channels`. `python -m scip_mpi schema`
prints the same as JSON Schema, for editors.
"""

# Kinds of the registry, where a config names them, and where it gives their own keys.
KINDS = {
    "loaders": ("Loaders", "load.format", "load.kwargs"),
    "illumination": (
        "Illumination methods",
        "illumination_correction.method",
        "illumination_correction.settings",
    ),
    "segmenters": ("Segmenters", "segment.method", "segment.settings"),
    "prefilters": ("Filters of pixels", "mask.filters.method", "mask.filters.settings"),
    "masks": ("Mask methods", "mask.methods.method", "mask.methods.kwargs"),
    "filters": ("Filters of cells", "filter.name", "filter"),
}
# Parameters that the program gives itself.
OURS = {
    "segmenters": ("channel", "companions"),
    "masks": ("companions",),
    "prefilters": ("channel_indices",),
}


def reference() -> str:
    """The whole page."""
    schema = json_schema()
    parts = [HEAD, *_sections(schema), *(part for kind in KINDS for part in _kind(kind))]
    return "\n".join(parts)


def _sections(schema: Schema) -> Iterator[str]:
    """A table for the config itself, and one for each section, in the order of the config."""
    shown: list[str] = []
    waiting = ["Config"]
    models = {"Config": schema, **schema["$defs"]}
    while waiting:
        name = waiting.pop(0)
        if name in shown:
            continue
        shown.append(name)
        model = models[name]
        if name == "Config":
            yield "## The sections\n"
        else:
            yield f"## {name}\n\n{_plain(model['description'])}\n"
        yield "| key | values | default | |\n|---|---|---|---|"
        required = model.get("required", [])
        inside: list[str] = []
        for key, found in model["properties"].items():
            default = "required" if key in required else _default(found)
            about = _about(found) or _about_of(found, models)
            yield f"| `{key}` | {_values(found)} | {default} | {about} |"
            inside += _names(found)
        yield ""
        waiting = inside + waiting


def _kind(kind: str) -> Iterator[str]:
    """What the program has of one kind, and the keys of each."""
    title, where, own = KINDS[kind]
    yield f"## {title}\n\nNamed in `{where}`; their own keys stand in `{own}`.\n"
    yield "| name | what | keys |\n|---|---|---|"
    for name in registry.BUILT_IN[kind]:
        found = registry.find(kind, name)
        function = found.discover if kind == "loaders" else found
        about = importlib.import_module(found.__name__) if kind == "loaders" else found
        keys = _keys(function, OURS.get(kind, ()))
        yield f"| `{name}` | {_cell(documented(about)[0])} | {keys} |"
    yield ""


def _keys(function: Callable[..., Any], ours: Sequence[str]) -> str:
    """The keyword-only parameters that a config may give, with their types and defaults."""
    found = []
    for p in registry.parameters(function).values():
        if p.name not in ours:
            kind = "" if p.annotation is Any else _annotation(p.annotation)
            need = "required" if p.required else ""
            need = need or ("" if p.default is None else f"default `{json.dumps(p.default)}`")
            said = "; ".join(part for part in (kind, need) if part)
            found.append(f"`{p.name}`" + (f": {said}" if said else ""))
    return "<br>".join(found)


def _annotation(given: Any) -> str:
    """A type in words, None left out."""
    origin, inside = typing.get_origin(given), typing.get_args(given)
    if origin is typing.Annotated:
        return _annotation(inside[0])
    if origin is typing.Literal:
        return ", ".join(f"`{v}`" for v in inside)
    if origin in (typing.Union, types.UnionType):
        return ", or ".join(_annotation(a) for a in inside if a is not type(None))
    words = {str: "text", int: "integer", float: "number", bool: "true, false"}
    if given in words:
        return words[given]
    name = getattr(origin or given, "__name__", str(given)).lower()
    if name in ("sequence", "list", "tuple"):
        return f"list of {_one(_annotation(inside[0]))}" if inside else "list"
    return "mapping" if name in ("mapping", "dict") else name


def _values(found: Schema) -> str:
    """What a key may hold, in words."""
    if "$ref" in found:
        name = found["$ref"].rsplit("/", 1)[-1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in found:
        ways = [_values(way) for way in found["anyOf"] if way.get("type") != "null"]
        return ", or ".join(dict.fromkeys(ways))
    if "const" in found:
        return f"`{found['const']}`"
    if "enum" in found:
        return ", ".join(f"`{word}`" for word in found["enum"])
    if found.get("title") == "Selections":
        return "a family with its settings"
    kind = found.get("type")
    if kind == "array":
        return f"list of {_one(_values(found['items']))}"
    if kind == "object" and isinstance(found.get("additionalProperties"), dict):
        return f"mapping of names to {_one(_values(found['additionalProperties']))}"
    words = {"boolean": "`true`, `false`", "string": "text", "object": "mapping"}
    if isinstance(kind, list):
        kind = kind[0]
    return words.get(str(kind), str(kind)) + _bounds(found)


def _one(said: str) -> str:
    """Words that stand for one thing, though they name several ways."""
    return f"({said})" if ", or " in said else said


def _bounds(found: Schema) -> str:
    """What a number must keep to."""
    said = (
        ("minimum", "{} or more"),
        ("exclusiveMinimum", "above {}"),
        ("maximum", "{} at most"),
    )
    parts = [text.format(found[key]) for key, text in said if key in found]
    return f" ({', '.join(parts)})" if parts else ""


def _default(found: Schema) -> str:
    value = found.get("default")
    if value in (None, {}, []) or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value)}`"


def _about(found: Schema) -> str:
    """The description of a key, wherever it stands."""
    ways = [found, *found.get("anyOf", ())]
    return _cell(next((w["description"] for w in ways if "description" in w), ""))


def _about_of(found: Schema, models: Mapping[str, Schema]) -> str:
    """The description of the section that a key holds."""
    inside = _names(found)
    return _cell(models[inside[0]]["description"]) if inside else ""


def _names(found: Any) -> list[str]:
    """The sections that a key may hold."""
    if isinstance(found, dict):
        if "$ref" in found:
            return [found["$ref"].rsplit("/", 1)[-1]]
        return [name for part in found.values() for name in _names(part)]
    return [name for part in found for name in _names(part)] if isinstance(found, list) else []


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
