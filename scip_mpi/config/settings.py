"""``kwargs`` and ``settings`` against the keyword-only parameters of the function they go to."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from scip_mpi.config.problems import Finding, Path, findings_of, unknown_key
from scip_mpi.registry import parameters

STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def unfit(
    function: Callable[..., Any],
    given: Any,
    path: Path,
    supplied: Collection[str] = (),
    also: Iterable[str] = (),
) -> Iterator[Finding]:
    """What keeps settings from being a function's keyword arguments.

    Parameters
    ----------
    function : callable
    given : object
        A mapping, or None for none; anything else is passed over.
    path : tuple
        Where ``given`` stands in the config.
    supplied : collection of str
        Parameters that are filled in from elsewhere.
    also : iterable of str
        Keys that are known beside the parameters.
    """
    given = {} if given is None else given
    if not isinstance(given, dict):
        return
    known = {n: p for n, p in parameters(function).items() if n not in supplied}
    for key in given:
        if key not in known:
            yield Finding((*path, key), unknown_key(key, [*known, *also]))
    for parameter in known.values():
        if parameter.name in given:
            value = given[parameter.name]
            yield from _mistyped(parameter.annotation, value, (*path, parameter.name))
        elif parameter.required:
            yield Finding((*path, parameter.name), "required key is missing")


def _mistyped(annotation: Any, value: Any, path: Path) -> list[Finding]:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(annotation, config=STRICT)
    except (PydanticSchemaGenerationError, PydanticUserError):
        # A type that plain data cannot be checked against: the function will see for itself.
        return []
    try:
        adapter.validate_json(json.dumps(value))
    except ValidationError as error:
        return findings_of(error, value, prefix=path)
    return []
