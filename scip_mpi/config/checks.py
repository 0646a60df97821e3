"""What the types of a config cannot say: names that must exist, keys that must agree.

Works on plain data and passes over what is of a wrong type, so that everything that is wrong with
a config is said at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scip_mpi import registry
from scip_mpi.config.problems import Finding, Path, unknown_key
from scip_mpi.config.schema import Filter, IlluminationSettings, SegmentSettings
from scip_mpi.config.settings import unfit
from scip_mpi.config.tiles import tile_findings
from scip_mpi.config.values import as_reference, channel_problem, compartments
from scip_mpi.errors import UserError

# Settings of mask methods that may be lists of one number per channel.
PER_CHANNEL = {"li": ("smooth",), "threshold": ("value", "smooth")}
# Other names of settings that all segmentation methods have.
ALIASES = ("dapi_channel_index", "substract")
# Settings of mask methods that are a channel.
CHANNEL_SETTINGS = {"segmented": ("channel", "without")}


def findings_in(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Everything that can be said without the images."""
    yield from _load(_mapping(data.get("load")))
    mask = _mapping(data.get("mask"))
    yield from _mask(mask)
    yield from _segmented(mask, data.get("segment") is not None)
    sets = set_names(mask)
    yield from _project(data)
    yield from _illumination(_mapping(data.get("illumination_correction")))
    yield from _segment(_mapping(data.get("segment")))
    if _mapping(data.get("segment")).get("tiles") is not None:
        yield from tile_findings(data)
    if isinstance(data.get("filter"), dict):
        yield from _filter(data["filter"], sets, ("filter",))
    yield from _set_known(_mapping(data.get("gating")), sets, ("gating",))
    yield from _features(data, sets)
    yield from _export(_mapping(data.get("export")), sets or [""])
    names = known_names(_mapping(data.get("load")))
    if names:
        yield from channel_findings(data, names)


def known_names(load: Mapping[str, Any]) -> list[str]:
    """Names of the channels as far as the config tells; empty where it does not."""
    names, channels = _list(load.get("channel_names")), _list(load.get("channels"))
    if names and channels and len(names) != len(channels):
        return []
    return [n if isinstance(n, str) else f"channel {i}" for i, n in enumerate(names)] or (
        default_names(channels)
    )


def default_names(channels: Sequence[Any]) -> list[str]:
    """Names of channels that were given none."""
    return [f"CH{c}" for c in channels]


def set_names(mask: Mapping[str, Any]) -> list[str]:
    """Names of the mask sets."""
    methods = [_mapping(m) for m in _list(mask.get("methods"))]
    return list(dict.fromkeys(m["name"] for m in methods if isinstance(m.get("name"), str)))


def channel_findings(data: Mapping[str, Any], names: Sequence[str]) -> Iterator[Finding]:
    """Indices and names of channels that do not exist, and lists of another length."""
    load, mask = _mapping(data.get("load")), _mapping(data.get("mask"))
    for key in ("bit_depth", "saturation", "offset"):
        yield from _length(("load", key), load.get(key), names)
    references: list[tuple[Path, Any]] = [
        (("mask", "main_channel_index"), mask.get("main_channel_index")),
        *_items(("mask", "combined_indices"), mask.get("combined_indices")),
        *_filter_channels(("filter",), _mapping(data.get("filter"))),
        *_items(("gating", "channels"), _mapping(data.get("gating")).get("channels")),
        *_segment_channels(_mapping(_mapping(data.get("segment")).get("settings"))),
        *_feature_channels(data.get("feature_extraction")),
        *((("background", key), key) for key in _mapping(data.get("background"))),
    ]
    for path, chosen in _items(("mask", "filters"), mask.get("filters")):
        given = _mapping(chosen).get("channel_indices")
        references += _items((*path, "channel_indices"), given)
    for path, method in _items(("mask", "methods"), mask.get("methods")):
        kwargs = _mapping(_mapping(method).get("kwargs"))
        for key in CHANNEL_SETTINGS.get(str(_mapping(method).get("method")), ()):
            references.append(((*path, "kwargs", key), kwargs.get(key)))
    for path, reference in references:
        if isinstance(reference, str) or _is_int(reference):
            found = as_reference(reference, names)
            problem = channel_problem(found, names)
            if problem and not (isinstance(found, int) and found < 0):
                yield Finding(path, problem)
    for path, method in _items(("mask", "methods"), mask.get("methods")):
        for key in PER_CHANNEL.get(str(_mapping(method).get("method")), ()):
            given = _mapping(_mapping(method).get("kwargs")).get(key)
            yield from _length((*path, "kwargs", key), given, names)


def _load(load: Mapping[str, Any]) -> Iterator[Finding]:
    loader, problem = _found("loaders", load.get("format"))
    if problem:
        yield Finding(("load", "format"), problem)
    if loader is not None:
        yield from unfit(loader.discover, load.get("kwargs"), ("load", "kwargs"))
    yield from _repeated(("load", "channels"), load.get("channels"))
    yield from _repeated(("load", "channel_names"), load.get("channel_names"))
    channels, names = load.get("channels"), load.get("channel_names")
    if isinstance(channels, list) and isinstance(names, list) and len(channels) != len(names):
        message = f"{len(names)} names for {len(channels)} channels in load.channels"
        yield Finding(("load", "channel_names"), message)


def _project(data: Mapping[str, Any]) -> Iterator[Finding]:
    """Planes are made one by the loader, so it must know of them, and be told once."""
    load = _mapping(data.get("load"))
    loader, _ = _found("loaders", load.get("format"))
    if data.get("project") is None or loader is None:
        return
    if "z" not in registry.parameters(loader.discover):
        message = f"images of format {load['format']} have no planes in z: leave `project:` empty"
        yield Finding(("project",), message)
    elif "z" in _mapping(load.get("kwargs")):
        message = "`project:` takes all planes: leave out load.kwargs.z, or `project:`"
        yield Finding(("load", "kwargs", "z"), message)


def _mask(mask: Mapping[str, Any]) -> Iterator[Finding]:
    for path, item in _items(("mask", "filters"), mask.get("filters")):
        chosen = _mapping(item)
        function, problem = _found("prefilters", chosen.get("method"))
        if problem:
            yield Finding((*path, "method"), problem)
        if function is not None:
            given = chosen.get("settings")
            yield from unfit(function, given, (*path, "settings"), {"channel_indices"})
    seen: set[str] = set()
    for path, item in _items(("mask", "methods"), mask.get("methods")):
        method = _mapping(item)
        name = method.get("name")
        if isinstance(name, str):
            if name in seen:
                yield Finding((*path, "name"), f"another mask set is called {name!r} too")
            seen.add(name)
        function, problem = _found("masks", method.get("method"))
        if problem:
            yield Finding((*path, "method"), problem)
        kwargs = {} if method.get("kwargs") is None else method["kwargs"]
        if function is not None and isinstance(kwargs, dict):
            wrong = list(unfit(function, kwargs, (*path, "kwargs"), {"companions"}))
            if not wrong and method["method"] in registry.BUILT_IN["masks"]:
                wrong = _refused(function, kwargs, (*path, "kwargs"))
            yield from wrong
        low, high = (_number(method.get(key)) for key in ("min_size", "max_size"))
        if low is not None and high is not None and low > high:
            yield Finding((*path, "min_size"), f"min_size ({low}) is above max_size ({high})")
        if method.get("method") == "li":
            smooth = _mapping(method.get("kwargs")).get("smooth")
            for sigma in smooth if isinstance(smooth, list) else [smooth]:
                if (_number(sigma) or 0) < 0:
                    message = f"must not be negative, found {sigma}"
                    yield Finding((*path, "kwargs", "smooth"), message)


def _segmented(mask: Mapping[str, Any], fields: bool) -> Iterator[Finding]:
    """Masks that segmentation gave need it, and touch the border of their crops."""
    for path, item in _items(("mask", "methods"), mask.get("methods")):
        method = _mapping(item)
        if method.get("method") != "segmented":
            continue
        if not fields:
            yield Finding((*path, "method"), "there are no segmented objects without `segment:`")
        if method.get("border") != "keep":
            message = "objects touch the border of their own crops: write border: keep"
            yield Finding((*path, "border") if "border" in method else path, message)


def _refused(function: Any, kwargs: Mapping[str, Any], path: Path) -> list[Finding]:
    """What a method says of its settings when it is given no image."""
    import numpy as np

    from scip_mpi.batches import ImageBatch

    if "companions" in registry.parameters(function):
        kwargs = {**kwargs, "companions": {}}
    try:
        function(ImageBatch.from_images([]), np.zeros((0, 0), bool), np, **kwargs)
    except UserError as error:
        return [Finding(path, str(error))]
    return []


def _illumination(chosen: Mapping[str, Any]) -> Iterator[Finding]:
    function, problem = _found("illumination", chosen.get("method"))
    top: Path = ("illumination_correction",)
    if problem:
        yield Finding((*top, "method"), problem)
    if function is None:
        return
    known = IlluminationSettings.model_fields
    given = {k: v for k, v in _mapping(chosen.get("settings")).items() if k not in known}
    wrong = list(unfit(function, given, (*top, "settings"), also=known))
    if not wrong and chosen["method"] in registry.BUILT_IN["illumination"]:
        import numpy as np

        try:
            function(np.ones((1, 1)), **given)
        except UserError as error:
            wrong = [Finding((*top, "settings"), str(error))]
    yield from wrong


def _filter_channels(path: Path, chosen: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    yield (*path, "channel"), chosen.get("channel")
    for axis in ("x", "y"):
        yield (*path, axis, "channel"), _mapping(chosen.get(axis)).get("channel")
    for how in ("all", "any"):
        for place, part in _items((*path, how), chosen.get(how)):
            yield from _filter_channels(place, _mapping(part))


def _segment_channels(settings: Mapping[str, Any]) -> Iterator[tuple[Path, Any]]:
    path: Path = ("segment", "settings")
    for key in ("parent_channel_index", "dapi_channel_index"):
        yield (*path, key), settings.get(key)
    for key in ("subtract", "substract"):
        for name, reference in _mapping(settings.get(key)).items():
            yield (*path, key, name), reference
    yield from _items((*path, "children"), settings.get("children"))
    for key in ("children", "expansion"):
        yield from (((*path, key, c), c) for c in _mapping(settings.get(key)))


def _segment(segment: Mapping[str, Any]) -> Iterator[Finding]:
    method, problem = _found("segmenters", segment.get("method"))
    if problem:
        yield Finding(("segment", "method"), problem)
    path: Path = ("segment", "settings")
    settings = _mapping(segment.get("settings"))
    if method is None:
        return
    common = {*SegmentSettings.model_fields, *ALIASES}
    given = {k: v for k, v in settings.items() if k not in common}
    supplied = {"channel", "companions"}
    yield from unfit(method, given, path, supplied, also=SegmentSettings.model_fields)
    for channel, own in _mapping(settings.get("children")).items():
        yield from unfit(method, {**given, **_mapping(own)}, (*path, "children", channel), supplied)
    low, high = (_number(settings.get(k)) for k in ("min_size", "max_size"))
    if low is not None and high is not None and low > high:
        yield Finding((*path, "min_size"), f"min_size ({low}) is above max_size ({high})")


def _filter(chosen: Mapping[str, Any], sets: Sequence[str], path: Path) -> Iterator[Finding]:
    rule, problem = _found("filters", chosen.get("name"))
    if problem:
        yield Finding((*path, "name"), problem)
    given = {k: v for k, v in chosen.items() if k not in Filter.model_fields}
    if rule is not None:
        yield from unfit(rule, given, path, also=Filter.model_fields)
    elif chosen.get("name") is None:
        for key in given:
            yield Finding((*path, key), unknown_key(key, Filter.model_fields))
    low, high, mads = (_number(chosen.get(k)) for k in ("lower", "upper", "n_mads"))
    if low is not None and high is not None and low > high:
        yield Finding((*path, "lower"), f"lower ({low}) is above upper ({high})")
    if chosen.get("name") == "quantile":
        for key, value in (("lower", low), ("upper", high)):
            if value is not None and not 0 <= value <= 1:
                yield Finding((*path, key), f"a quantile is between 0 and 1, found {value}")
    if mads is not None and mads <= 0:
        yield Finding((*path, "n_mads"), f"must be greater than 0, found {mads}")
    yield from _set_known(chosen, sets, path)
    for axis in ("x", "y"):
        yield from _set_known(_mapping(chosen.get(axis)), sets, (*path, axis))
    for how in ("all", "any"):
        for place, part in _items((*path, how), chosen.get(how)):
            if "action" in _mapping(part):
                message = "stands once, beside the outermost all or any"
                yield Finding((*place, "action"), message)
            yield from _filter(_mapping(part), sets, place)


def _set_known(chosen: Mapping[str, Any], sets: Sequence[str], path: Path) -> Iterator[Finding]:
    mask_set = chosen.get("mask")
    if isinstance(mask_set, str) and mask_set not in sets:
        yield Finding((*path, "mask"), _no_set(mask_set, sets))


def _features(data: Mapping[str, Any], sets: Sequence[str]) -> Iterator[Finding]:
    asked, top = data.get("feature_extraction"), "feature_extraction"
    masked = data.get("mask") is not None
    if isinstance(asked, dict):
        if not masked:
            message = "without `mask:` there are no mask sets: give a plain list of features"
            yield Finding((top,), message)
        for name, words in asked.items():
            if masked and name not in sets:
                yield Finding((top, name), _no_set(name, sets))
            yield from _words((top, name), words)
    elif masked and isinstance(asked, list):
        example = ", ".join(f"{s}: [shape, ...]" for s in sets)
        message = f"with `mask:` give a list of features per mask set: {{{example}}}"
        yield Finding((top,), message)
    elif not masked and not set(map(str, _list(asked))) - set(registry.OBS_WORDS):
        yield Finding((top,), "no feature is asked for: list some, such as [shape, intensity]")
    if isinstance(asked, list):
        yield from _words((top,), asked)


def _export(export: Mapping[str, Any], sets: Sequence[str]) -> Iterator[Finding]:
    """CellProfiler's names need a compartment for every mask set, and a file to stand in."""
    given = {k: v for k, v in _mapping(export.get("compartments")).items() if isinstance(v, str)}
    for name in given:
        if name not in sets:
            close = registry.suggestion(name, sets)
            yield Finding(("export", "compartments", name), f"is no mask set{close}")
    if export.get("naming") != "cellprofiler":
        return
    if export.get("format") != "parquet":
        message = "cellprofiler names the columns of the Parquet table: write format: parquet too"
        yield Finding(("export", "naming"), message)
    found = compartments(sets, given)
    lacking = [name for name in sets if name not in found]
    if lacking:
        message = f"say which compartment each mask set is, such as {{{lacking[0]}: Cells}}"
        yield Finding(("export", "compartments"), f"{message}; {', '.join(lacking)} have none")
    for word, count in Counter(found.values()).items():
        if count > 1:
            same = ", ".join(name for name, own in found.items() if own == word)
            message = f"{same} are all {word}: give each another, or columns have the same names"
            yield Finding(("export", "compartments"), message)


def _words(path: Path, words: Any) -> Iterator[Finding]:
    yield from _repeated(path, words)
    plain = {*registry.OBS_WORDS, *registry.PRESETS}
    for place, item in _items(path, words):
        if isinstance(item, str) and item and item not in plain:
            try:
                target = registry.locate("features", item)
                if target != registry.BUILT_IN["features"].get(item):
                    registry.find("features", item)
            except UserError as error:
                yield Finding(place, str(error))
        for name, settings in _mapping(item).items():
            yield from _selection((*place, name), name, settings)


def _selection(path: Path, name: str, settings: Any) -> Iterator[Finding]:
    """What keeps settings from selecting columns of a family, or of a preset's families."""
    if name in registry.OBS_WORDS:
        yield Finding(path, f"takes no settings: list {name!r} as a word")
    elif name in registry.PRESETS:
        yield from _unselectable(registry.preset(name), settings, path)
    else:
        family, problem = _found("features", name)
        if problem:
            yield Finding(path, problem)
        elif family is not None and getattr(family, "select", None) is None:
            yield Finding(path, f"takes no settings: list {name!r} as a word")
        elif family is not None:
            yield from _unselectable(family.select, settings, path)


def _unselectable(function: Any, settings: Any, path: Path) -> list[Finding]:
    wrong = list(unfit(function, settings, path))
    if wrong or not isinstance(settings, dict):
        return wrong
    # Names of channels are checked where the channels are known.
    given = {k: _unnamed(v) if k in registry.CHANNEL_LISTS else v for k, v in settings.items()}
    try:
        function(**given)
    except UserError as error:
        return [Finding(path, str(error))]
    return []


def _unnamed(channels: Any) -> Any:
    """Channels, or pairs of them, with places for names."""
    if isinstance(channels, list):
        return [_unnamed(c) for c in channels]
    return 0 if isinstance(channels, str) else channels


def _feature_channels(asked: Any) -> list[tuple[Path, Any]]:
    """Channels that selections name, and where."""
    top: Path = ("feature_extraction",)
    lists = [((*top, name), words) for name, words in _mapping(asked).items()] or [(top, asked)]
    return [
        reference
        for path, words in lists
        for place, item in _items(path, words)
        for name, settings in _mapping(item).items()
        for key in registry.CHANNEL_LISTS
        for at, given in _items((*place, name, key), _mapping(settings).get(key))
        for reference in _items(at, given) or [(at, given)]
    ]


def _no_set(name: str, sets: Sequence[str]) -> str:
    if not sets:
        return f"no mask set is called {name!r}; there are no mask sets"
    close = registry.suggestion(name, sets)
    known = f"{' The' if close else '; the'} mask sets are {', '.join(sets)}"
    return f"no mask set is called {name!r}{close}{known}"


def _found(kind: str, name: Any) -> tuple[Any, str]:
    """What a name stands for, or what is wrong with it; neither where it is no name at all."""
    if not isinstance(name, str) or not name:
        return None, ""
    try:
        return registry.find(kind, name), ""
    except UserError as error:
        return None, str(error)


def _repeated(path: Path, values: Any) -> Iterator[Finding]:
    counts = Counter(v for v in _list(values) if isinstance(v, str) or _is_int(v))
    for value, count in counts.items():
        if count > 1:
            yield Finding(path, f"{value!r} is listed {count} times")


def _length(path: Path, values: Any, names: Sequence[str]) -> Iterator[Finding]:
    if isinstance(values, list) and len(values) != len(names):
        channels = f"{len(names)} channel{'s' if len(names) > 1 else ''}"
        message = (
            f"{len(values)} values for {channels}: give one per channel, or one number for all"
        )
        yield Finding(path, message)


def _items(path: Path, values: Any) -> list[tuple[Path, Any]]:
    return [((*path, i), value) for i, value in enumerate(_list(values))]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> float | None:
    return value if _is_int(value) or isinstance(value, float) else None
