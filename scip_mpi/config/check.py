"""From YAML to a config that is right as a whole, or to all that is wrong with it."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from scip_mpi import registry
from scip_mpi.config.problems import Key, Problem, Source, read_yaml
from scip_mpi.config.schema import Config
from scip_mpi.errors import UserError

# Sections of SCIP's that this program does not have yet: refused, never passed over in silence.
_ABSENT = ("project", "illumination_correction", "segment", "normalization")


class ConfigError(UserError):
    """All that is wrong with a config."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda p: (p.line or 0, str(p.key)))
        super().__init__("\n".join(p.text(source) for p in self.problems))


def read_config(path: Path) -> Config:
    """Read and check a config file.

    Raises
    ------
    UserError
        The file cannot be read; `ConfigError` with every problem if it is wrong.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"config {path} is no UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise UserError(f"config {path} cannot be read: {error.strerror}") from error
    return parse_config(text, str(path))


def parse_config(text: str, name: str) -> Config:
    """Check a config's text; ``name`` stands in the messages.

    Raises
    ------
    ConfigError
        With every problem.
    """
    source = read_yaml(text)
    if source.problems:
        raise ConfigError(name, source.problems)
    if not isinstance(source.values, dict):
        what = "is empty" if source.values is None else "holds no sections"
        raise ConfigError(name, [Problem((), None, f"{what}; expected load: and others")])
    # As in SCIP, a section without content is off.
    values = {k: v for k, v in source.values.items() if v is not None}
    problems: list[Problem] = []
    config = None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        problems += _schema_problems(error, source)
    if config is not None:
        problems += [_problem(source, key, text) for key, text in _cross_check(config)]
    if problems:
        raise ConfigError(name, problems)
    assert config is not None
    return config


def resolve_channels(config: Config, available: int) -> tuple[list[int], list[str]]:
    """Channels to read and their names, once it is known how many an image has.

    Raises
    ------
    UserError
        A channel is not there, or the names do not fit.
    """
    channels = config.load.channels
    if channels is None:
        channels = list(range(available))
    beyond = [c for c in channels if c >= available]
    if beyond:
        raise UserError(
            f"load.channels: {', '.join(map(str, beyond))} is out of range: the first image has "
            f"{available} channels, 0 to {available - 1}"
        )
    names = config.load.channel_names or [f"CH{c}" for c in channels]
    if len(names) != len(channels):
        raise UserError(
            f"load.channel_names: {len(names)} names for the {len(channels)} channels of the images"
        )
    for key, text in _channel_problems(config, names):
        raise UserError(f"{'.'.join(map(str, key))}: {text}")
    return channels, names


def _problem(source: Source, key: Key, message: str) -> Problem:
    return Problem(key, source.line(key), message)


def _schema_problems(error: ValidationError, source: Source) -> Iterator[Problem]:
    told = set()
    for item in error.errors():
        key = tuple(p for p in item["loc"] if _is_in(p, item["loc"], source))
        if item["type"] == "extra_forbidden":
            message = f"unknown key; {registry.suggestion(str(key[-1]), _keys(key[:-1]))}"
        elif item["type"] == "missing":
            key, message = tuple(item["loc"]), "is missing"
        elif key and key[0] in _ABSENT:
            message = "this program does not have this section yet; leave it empty"
        else:
            found = f"not {item['input']!r:.60}" if not isinstance(item["input"], dict) else ""
            message = f"{_expected(item)}{', ' + found if found else ''}"
        if (key, message) not in told:
            told.add((key, message))
            yield _problem(source, key, message)


def _is_in(part: str | int, loc: tuple[str | int, ...], source: Source) -> bool:
    """Whether a part of pydantic's location is a key of the YAML, not the name of a type."""
    node = source.values
    for p in loc[: loc.index(part)]:
        node = _below(node, p, node)
    return _below(node, part, _below) is not _below


def _below(node: Any, part: str | int, otherwise: Any) -> Any:
    if isinstance(node, dict) and part in node:
        return node[part]
    if isinstance(node, list) and isinstance(part, int) and part < len(node):
        return node[part]
    return otherwise


def _keys(key: Key) -> list[str]:
    """Keys that the schema knows at a place."""
    model: Any = Config
    for part in key:
        if isinstance(part, int):
            continue
        fields = getattr(model, "model_fields", {})
        if part not in fields:
            return []
        model = _section_of(fields[part].annotation)
    return list(getattr(model, "model_fields", {}))


def _section_of(annotation: Any) -> Any:
    """The section inside ``list[X] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, types.UnionType):
        for inner in get_args(annotation):
            found = _section_of(inner)
            if found is not None:
                return found
    return None


def _expected(item: Any) -> str:
    words = {
        "list_type": "expected a list",
        "dict_type": "expected keys with values",
        "model_type": "expected keys with values",
        "string_type": "expected text",
        "int_type": "expected a whole number",
        "float_type": "expected a number",
        "bool_type": "expected true or false",
    }
    text = words.get(item["type"], item["msg"])
    return text.replace("Input should be", "expected").replace("Value error, ", "expected ")


def _cross_check(config: Config) -> Iterator[tuple[Key, str]]:
    """What types cannot say: names that exist, numbers that fit together."""
    load = config.load
    names = load.channel_names
    count = len(load.channels) if load.channels is not None else None
    if names is not None:
        if count is not None and len(names) != count:
            yield ("load", "channel_names"), f"{len(names)} names for {count} channels"
        for twice in sorted({n for n in names if names.count(n) > 1}):
            yield ("load", "channel_names"), f"'{twice}' is given twice"
    if load.channels is not None and not load.channels:
        yield ("load", "channels"), "expected at least one channel"
    for field in ("bit_depth", "saturation"):
        given = getattr(load, field)
        if isinstance(given, list) and count is not None and len(given) != count:
            yield ("load", field), f"{len(given)} values for {count} channels"
    yield from _method("loaders", ("load", "format"), load.format, ("load", "kwargs"), load.kwargs,
                       lambda module: module.discover)  # fmt: skip
    if names is None and count is not None:
        names = [f"CH{c}" for c in load.channels or ()]
    if names is not None:
        yield from _channel_problems(config, names)
    yield from _mask_problems(config)
    yield from _word_problems(config)
    if config.filter is not None:
        chosen = config.filter
        yield from _method("filters", ("filter", "name"), chosen.name, ("filter",),
                           chosen.settings(), lambda rule: rule)  # fmt: skip
        if chosen.mask is not None and chosen.mask not in config.sets():
            near = registry.suggestion(chosen.mask, [s for s in config.sets() if s])
            yield ("filter", "mask"), f"no mask set '{chosen.mask}'; {near}"
        ends = [e for e in (chosen.lower, chosen.upper) if e is not None]
        if chosen.name == "quantile" and any(not 0 <= e <= 1 for e in ends):
            yield ("filter",), "quantiles lie between 0 and 1"
        if len(ends) == 2 and ends[0] > ends[1]:
            yield ("filter", "lower"), f"{ends[0]} is above upper, {ends[1]}"


def _channel_problems(config: Config, names: Sequence[str]) -> Iterator[tuple[Key, str]]:
    """Channels that are named somewhere and are not there."""
    used: list[tuple[Key, int | str]] = []
    if config.mask is not None:
        for i, c in enumerate(config.mask.combined_indices or ()):
            used.append((("mask", "combined_indices", i), c))
        used.append((("mask", "main_channel_index"), config.mask.main_channel_index))
        for f, chosen in enumerate(config.mask.filters or ()):
            for i, c in enumerate(chosen.channel_indices):
                used.append((("mask", "filters", f, "channel_indices", i), c))
    if config.filter is not None:
        used.append((("filter", "channel"), config.filter.channel))
    for key, channel in used:
        if isinstance(channel, str) and channel not in names:
            yield key, f"no channel '{channel}'; {registry.suggestion(channel, list(names))}"
        elif isinstance(channel, int) and channel >= len(names):
            yield key, f"{channel} is out of range: {len(names)} channels, from 0"


def _mask_problems(config: Config) -> Iterator[tuple[Key, str]]:
    if config.mask is None:
        return
    if config.mask.combined_indices is not None and not config.mask.combined_indices:
        yield ("mask", "combined_indices"), "expected at least one channel, or nothing for all"
    seen = set()
    for i, method in enumerate(config.mask.methods):
        key: Key = ("mask", "methods", i)
        if method.name in seen:
            yield (*key, "name"), f"'{method.name}' is the name of another mask set"
        if method.name in ("", "raw") or "/" in method.name:
            yield (*key, "name"), f"'{method.name}' cannot be the name of a mask set"
        seen.add(method.name)
        yield from _method("masks", (*key, "method"), method.method, (*key, "kwargs"),
                           method.kwargs, lambda function: function)  # fmt: skip
        smooth = (method.kwargs or {}).get("smooth")
        channels = config.load.channels
        if isinstance(smooth, list) and channels is not None and len(smooth) != len(channels):
            message = f"{len(smooth)} values for {len(channels)} channels"
            yield (*key, "kwargs", "smooth"), message
    for i, chosen in enumerate(config.mask.filters or ()):
        key = ("mask", "filters", i)
        yield from _method(
            "prefilters", (*key, "method"), chosen.method, (*key, "settings"), chosen.settings,
            lambda function: function, frozenset({"channel_indices"}),
        )  # fmt: skip


def _method(
    kind: str,
    name_key: Key,
    name: str,
    kwargs_key: Key,
    kwargs: dict[str, Any] | None,
    settings_of: Callable[[Any], Callable[..., Any]],
    given: frozenset[str] = frozenset(),
) -> Iterator[tuple[Key, str]]:
    """Whether a named method exists and takes the settings it is given."""
    try:
        known = registry.parameters(settings_of(registry.find(kind, name)))
    except UserError as error:
        yield name_key, str(error)
        return
    for word, value in (kwargs or {}).items():
        if word not in known or word in given:
            others = [k for k in known if k not in given]
            near = registry.suggestion(word, others) if others else f"'{name}' has no settings"
            yield (*kwargs_key, word), f"unknown setting of '{name}'; {near}"
            continue
        try:
            TypeAdapter(known[word][0]).validate_python(value)
        except ValidationError as error:
            yield (*kwargs_key, word), f"{_expected(error.errors()[0])}, not {value!r:.60}"
    for word, (_, required) in known.items():
        if required and word not in (kwargs or {}) and word not in given:
            yield (*kwargs_key, word), f"is missing: '{name}' needs it"


def _word_problems(config: Config) -> Iterator[tuple[Key, str]]:
    """Whether the families asked for exist, for mask sets that exist."""
    asked = config.feature_extraction
    if config.mask is None and isinstance(asked, dict):
        yield ("feature_extraction",), "expected a plain list of families: there is no mask section"
        return
    if config.mask is not None and isinstance(asked, list):
        sets = ", ".join(config.sets())
        yield ("feature_extraction",), f"expected a list of families for each mask set ({sets})"
        return
    known = [*registry.names("features"), *registry.OBS_WORDS]
    for name, words in config.words().items():
        key: Key = ("feature_extraction", name) if name else ("feature_extraction",)
        if name not in config.sets():
            near = registry.suggestion(name, config.sets())
            yield key, f"no mask set of this name; {near}"
        for i, word in enumerate(words):
            if word not in known and ":" not in word:
                near = registry.suggestion(word, known)
                yield (*key, i), f"unknown feature family '{word}'; {near}"
