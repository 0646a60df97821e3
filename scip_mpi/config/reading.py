"""From a file to a config, or to everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, ValidationError, create_model

from scip_mpi import registry
from scip_mpi.config.checks import channel_findings, default_names, findings_in
from scip_mpi.config.problems import (
    ConfigError,
    Finding,
    Problem,
    findings_of,
    key_path,
    problems_of,
    shown,
)
from scip_mpi.config.schema import Config
from scip_mpi.config.yaml_source import read_yaml
from scip_mpi.errors import UserError


def read_config(path: str | Path) -> Config:
    """Read a config from a YAML file.

    Raises
    ------
    ConfigError
        The file cannot be read, or anything in it is wrong.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(str(path), [Problem("", None, f"cannot be read: {reason}")]) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        message = f"is not UTF-8 text: byte 0x{raw[error.start]:02x}; save the file as UTF-8"
        raise ConfigError(str(path), [Problem("", line, message)]) from None
    return parse_config(text, str(path))


def parse_config(text: str, name: str) -> Config:
    """Read a config from YAML text.

    Parameters
    ----------
    text : str
        YAML.
    name : str
        What messages call it.

    Raises
    ------
    ConfigError
        With everything that is wrong.
    """
    source = read_yaml(text)
    findings = list(source.findings)
    config = None
    if source.readable and not isinstance(source.data, dict):
        found = "an empty file" if source.data is None else shown(source.data)
        message = f"expected sections such as `load:` and `feature_extraction:`, found {found}"
        findings.append(Finding((), message))
    elif source.readable:
        # An empty section is a missing one; an unknown one is wrong, empty or not.
        known = Config.model_fields
        data = {k: v for k, v in source.data.items() if v is not None or k not in known}
        try:
            config = Config.model_validate_json(json.dumps(data))
        except ValidationError as error:
            findings += findings_of(error, data, Config)
        told = {f.path for f in findings}
        findings += [f for f in findings_in(data) if f.path not in told]
    if findings or config is None:
        raise ConfigError(name, problems_of(findings, source.lines))
    return config


def resolve_channels(
    config: Config,
    channels_in_file: int,
    numbers: Sequence[int] | None = None,
    known_names: Sequence[str] | None = None,
) -> tuple[list[int], list[str]]:
    """Which channels of each image are read, and their names.

    Parameters
    ----------
    config : Config
    channels_in_file : int
        Channels of the images.
    numbers : sequence of int, optional
        What ``load.channels`` calls them; 0, 1, 2, ... by default.
    known_names : sequence of str, optional
        What the files call all of them.

    Returns
    -------
    list of int
        Places in the images.
    list of str
        Names; the files' or ``CH0``, ``CH1``, ... by number where none are given.

    Raises
    ------
    UserError
        The config asks for channels that the images do not have.
    """
    load = config.load
    known = list(range(channels_in_file)) if numbers is None else list(numbers)
    channels = known if load.channels is None else list(load.channels)
    for channel in channels:
        if channel not in known:
            listed = f"0 to {len(known) - 1}" if numbers is None else ", ".join(map(str, known))
            raise UserError(
                f"load.channels: no channel {channel}: the images have {len(known)}, {listed}"
            )
    places = [known.index(c) for c in channels]
    if load.channel_names is not None:
        names = list(load.channel_names)
    elif known_names is not None:
        names = [known_names[p] for p in places]
    else:
        names = default_names(channels)
    if len(names) != len(channels):
        raise UserError(
            f"load.channel_names: {len(names)} names for the images' {len(channels)} channels; "
            "say in load.channels which ones are meant"
        )
    findings = list(channel_findings(_plain(config.model_dump(mode="json")), names))
    if findings:
        raise UserError("; ".join(f"{key_path(f.path)}: {f.message}" for f in findings))
    return places, names


def json_schema() -> dict[str, Any]:
    """JSON Schema of the config, for editors; any section but ``load`` may be empty."""
    schema = Config.model_json_schema()
    _fill_in(schema, _selections_schema())
    for name, section in schema["properties"].items():
        if name != "load" and section.get("type") != "null" and not _takes_null(section):
            description = {k: section.pop(k) for k in ("title", "default") if k in section}
            schema["properties"][name] = {"anyOf": [section, {"type": "null"}], **description}
    return schema


def _selections_schema() -> dict[str, Any]:
    """The settings of each family and preset that knows any; what else is installed takes its own.

    Loads the families' kernels, as reading a config does not.
    """
    functions = {name: registry.preset(name) for name in registry.PRESETS}
    for name in registry.BUILT_IN["features"]:
        functions[name] = registry.find("features", name).select
    known = {}
    for name, function in functions.items():
        fields: dict[str, Any] = {
            p.name: (p.annotation, p.default) for p in registry.parameters(function).values()
        }
        model = create_model(name, __config__=ConfigDict(extra="forbid"), **fields)
        known[name] = {"anyOf": [model.model_json_schema(), {"type": "null"}]}
    return {"properties": known, "additionalProperties": {"type": ["object", "null"]}}


def _fill_in(schema: Any, selections: Mapping[str, Any]) -> None:
    """Say what selections may hold, wherever the schema has some."""
    inside = list(schema.values()) if isinstance(schema, dict) else schema
    if isinstance(schema, dict) and schema.get("title") == "Selections":
        schema.update(selections)
    elif isinstance(inside, list):
        for part in inside:
            _fill_in(part, selections)


def _takes_null(section: Mapping[str, Any]) -> bool:
    return any(branch.get("type") == "null" for branch in section.get("anyOf", ()))


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """The same data as YAML gives it, with lists."""
    return json.loads(json.dumps(data))
