"""One registry per kind: where a loader, mask method, filter or family is found by its name.

Built-in names map to ``module:attribute``, resolved when they are used, so that reading a config
imports no kernel. Others' come through entry points (``scip_mpi.masks``, ...) or are written in
the config as ``module:attribute``.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, get_type_hints

from scip_mpi.errors import UserError

REGISTRIES: Mapping[str, Mapping[str, str]] = {
    "loaders": {
        "multiframe_tiff": "scip_mpi.loaders.multiframe_tiff",
        "zarr": "scip_mpi.loaders.zarr",
    },
    "masks": {
        "li": "scip_mpi.segmentation.li:li",
        "otsu": "scip_mpi.segmentation.otsu:otsu",
        "spot": "scip_mpi.segmentation.spot:spot",
    },
    "prefilters": {
        "std": "scip_mpi.segmentation.prefilters:std",
        "value_range": "scip_mpi.segmentation.prefilters:value_range",
        "normaltest": "scip_mpi.segmentation.prefilters:normaltest",
    },
    "filters": {
        "threshold": "scip_mpi.filters:threshold",
        "quantile": "scip_mpi.filters:quantile",
        "range": "scip_mpi.filters:between",
        "mad": "scip_mpi.filters:mad",
    },
    "features": {
        "shape": "scip_mpi.features.shape:FAMILY",
        "intensity": "scip_mpi.features.intensity:FAMILY",
        "texture": "scip_mpi.features.texture:FAMILY",
        "raw": "scip_mpi.features.raw:FAMILY",
    },
}
# Words of feature_extraction that name columns of obs, for which there is no family.
OBS_WORDS = ("bbox", "regions")
WORDS = {
    "loaders": "format",
    "masks": "mask method",
    "prefilters": "mask filter",
    "filters": "filter",
    "features": "feature family",
}


def names(kind: str) -> list[str]:
    """All names of a kind: built in, and of installed entry points."""
    return [*REGISTRIES[kind], *(e.name for e in entry_points(group=f"scip_mpi.{kind}"))]


def suggestion(word: str, known: list[str]) -> str:
    """`` ; did you mean 'x'?`` for the known word nearest to a misspelt one, or the known words."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"


def find(kind: str, name: str) -> Any:
    """What a name of a kind stands for.

    Raises
    ------
    UserError
        The name is unknown, or what it names cannot be imported.
    """
    target = REGISTRIES[kind].get(name)
    if target is None:
        for entry in entry_points(group=f"scip_mpi.{kind}"):
            if entry.name == name:
                target = entry.value
        if target is None and ":" in name:
            target = name
    if target is None:
        raise UserError(f"unknown {WORDS[kind]} '{name}'; {suggestion(name, names(kind))}")
    module_name, _, attribute = target.partition(":")
    try:
        found = import_module(module_name)
        for part in filter(None, attribute.split(".")):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{WORDS[kind]} '{name}' cannot be loaded: {error}") from error
    return found


def parameters(function: Callable[..., Any]) -> dict[str, tuple[Any, bool]]:
    """Settings of a method: its keyword-only parameters, with their types and whether required."""
    hints = get_type_hints(function)
    return {
        name: (hints.get(name, Any), parameter.default is inspect.Parameter.empty)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
