"""Everything that a config can name: one registry per kind, resolved when it is needed.

A name is a built-in, or stands in an entry point group of an installed package
(``scip_mpi.loaders``, ``scip_mpi.illumination``, ``scip_mpi.masks``, ``scip_mpi.prefilters``,
``scip_mpi.filters``, ``scip_mpi.segmenters``, ``scip_mpi.features``), or says itself where the
function is: ``module:function``. Built-ins come first, so that thousands of ranks need not search
the installed packages.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from scip_mpi.errors import UserError

BUILT_IN: Mapping[str, Mapping[str, str]] = {
    "loaders": {
        "multiframe_tiff": "scip_mpi.loaders.multiframe_tiff",
        "zarr": "scip_mpi.loaders.zarr",
        "tiff": "scip_mpi.loaders.tiff",
        "image": "scip_mpi.loaders.image",
        "table": "scip_mpi.loaders.table",
        "packed": "scip_mpi.loaders.packed",
        "hdf5": "scip_mpi.loaders.hdf5",
        "ome_tiff": "scip_mpi.loaders.ome_tiff",
        "ome_zarr": "scip_mpi.loaders.ome_zarr",
        "cif": "scip_mpi.loaders.cif",
        "czi": "scip_mpi.loaders.czi",
    },
    "masks": {
        "li": "scip_mpi.segmentation.li:li",
        "otsu": "scip_mpi.segmentation.otsu:otsu",
        "spot": "scip_mpi.segmentation.spot:spot",
        "threshold": "scip_mpi.segmentation.threshold:threshold",
        "watershed": "scip_mpi.segmentation.watershed:watershed",
        "sobel": "scip_mpi.segmentation.sobel:sobel",
        "circle": "scip_mpi.segmentation.circle:circle",
        "file": "scip_mpi.segmentation.from_file:file",
        "segmented": "scip_mpi.segmentation.segmented:segmented",
    },
    "illumination": {
        "jones_2006": "scip_mpi.illumination:jones_2006",
        "gaussian": "scip_mpi.illumination:gaussian",
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
        "polygon": "scip_mpi.filters:polygon",
    },
    "segmenters": {
        "watershed": "scip_mpi.segmentation.field_watershed:watershed",
        "watershed_dapi": "scip_mpi.segmentation.field_watershed:watershed",
        "labels": "scip_mpi.segmentation.label_files:labels",
        "threshold": "scip_mpi.segmentation.field_threshold:threshold",
    },
    "features": {
        "shape": "scip_mpi.features.shape:FAMILY",
        "intensity": "scip_mpi.features.intensity:FAMILY",
        "texture": "scip_mpi.features.texture:FAMILY",
        "raw": "scip_mpi.features.raw:FAMILY",
        "cp_intensity": "scip_mpi.features.cp_intensity:FAMILY",
        "cp_shape": "scip_mpi.features.cp_shape:FAMILY",
        "radial": "scip_mpi.features.radial:FAMILY",
        "zernike": "scip_mpi.features.zernike:FAMILY",
        "colocalization": "scip_mpi.features.colocalization:FAMILY",
        "granularity": "scip_mpi.features.granularity:FAMILY",
        "moments": "scip_mpi.features.intensity_moments:FAMILY",
        "neighbors": "scip_mpi.features.neighbors:FAMILY",
        "ideas": "scip_mpi.features.ideas:FAMILY",
        "spots": "scip_mpi.features.spots:FAMILY",
        "haralick": "scip_mpi.features.haralick:FAMILY",
        "glrlm": "scip_mpi.features.glrlm:FAMILY",
        "glszm": "scip_mpi.features.glszm:FAMILY",
        "ngtdm": "scip_mpi.features.ngtdm:FAMILY",
        "gldm": "scip_mpi.features.gldm:FAMILY",
        "lbp": "scip_mpi.features.lbp:FAMILY",
        "focus": "scip_mpi.features.focus:FAMILY",
        "gabor": "scip_mpi.features.gabor:FAMILY",
    },
}

# Words of `feature_extraction` that name no family: they become columns of obs.
OBS_WORDS = ("bbox", "regions")
# Words that stand for selections of several families: functions that list them.
PRESETS: Mapping[str, str] = {"compact": "scip_mpi.features.compact:selections"}

# Settings of families that list channels, or pairs of them, by place or, in a config, by name.
CHANNEL_LISTS = ("channels", "pairs")

# What each kind is called in messages, and what an object of it must have.
WORDS = {
    "loaders": "format",
    "masks": "mask method",
    "illumination": "illumination method",
    "prefilters": "mask filter",
    "filters": "filter",
    "segmenters": "segmentation method",
    "features": "feature family",
}
MEMBERS = {"loaders": ("discover", "probe", "read"), "features": ("name", "features", "compute")}


@dataclass(frozen=True)
class Parameter:
    """A keyword-only parameter of a function, that is, a key of ``kwargs`` or ``settings``.

    Attributes
    ----------
    name : str
    annotation : Any
        Its type; `Any` where none is written or it cannot be resolved.
    required : bool
        Whether it has no default.
    default : Any
        Its default; None where it is required.
    """

    name: str
    annotation: Any
    required: bool
    default: Any


def find(kind: str, name: str) -> Any:
    """What a name of a kind stands for, imported.

    Parameters
    ----------
    kind : str
        One of `BUILT_IN`.
    name : str
        A built-in, an installed package's, or ``module:attribute``.

    Returns
    -------
    object
        A module for loaders, a `scip_mpi.features.family.Family` for features, else a function.

    Raises
    ------
    UserError
        The name is unknown, cannot be imported, or stands for something of another kind.
    """
    target = locate(kind, name)
    if BUILT_IN[kind].get(name) == target:
        return _load(target)
    what = f"{WORDS[kind]} {name!r}"
    try:
        found = _load(target)
    except (ImportError, AttributeError) as error:
        raise UserError(f"{what} cannot be imported from {target!r}: {error}") from error
    lacking = [m for m in MEMBERS.get(kind, ()) if not hasattr(found, m)]
    if lacking:
        raise UserError(f"{what} is no {WORDS[kind]}: {target!r} has no {', '.join(lacking)}")
    if kind not in MEMBERS and not callable(found):
        raise UserError(f"{what} is no {WORDS[kind]}: {target!r} is not a function")
    return found


def locate(kind: str, name: str) -> str:
    """Where a name of a kind is to be imported from, ``module:attribute`` or ``module``.

    Raises
    ------
    UserError
        The name is unknown, or two installed packages offer it.
    """
    if name in BUILT_IN[kind]:
        return BUILT_IN[kind][name]
    if _is_target(name) and (":" in name or (kind == "loaders" and "." in name)):
        return name
    offers = {e.value for e in _installed(kind) if e.name == name}
    if len(offers) > 1:
        raise UserError(
            f"{WORDS[kind]} {name!r} is offered by several packages; write one of "
            f"{', '.join(sorted(offers))} instead"
        )
    if offers:
        return offers.pop()
    known = names(kind)
    listed = [*known, *PRESETS, *OBS_WORDS] if kind == "features" else known
    close = suggestion(name, listed)
    available = f"{' Available' if close else '; available'}: {', '.join(listed)}"
    raise UserError(f"unknown {WORDS[kind]} {name!r}{close}{available}")


def preset(name: str) -> Callable[..., list[tuple[str, dict[str, Any]]]]:
    """The function that lists the families of a preset, with their settings."""
    found: Callable[..., list[tuple[str, dict[str, Any]]]] = _load(PRESETS[name])
    return found


def names(kind: str) -> list[str]:
    """Known names of a kind: built-ins, then those of installed packages."""
    return [*BUILT_IN[kind], *sorted({e.name for e in _installed(kind)} - set(BUILT_IN[kind]))]


def parameters(function: Callable[..., Any]) -> dict[str, Parameter]:
    """Keyword-only parameters of a function, by name."""
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        # Annotations that mean something to a type checker only are not checked at run time.
        hints = {}
    empty = inspect.Parameter.empty
    return {
        p.name: Parameter(
            p.name,
            hints.get(p.name, Any),
            p.default is empty,
            None if p.default is empty else p.default,
        )
        for p in inspect.signature(function).parameters.values()
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    }


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` if one of the known words is close, else nothing."""
    by_lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(word.lower(), by_lower, 1)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    found = importlib.import_module(module)
    for name in attribute.split(".") if attribute else ():
        found = getattr(found, name)
    return found


def _is_target(text: str) -> bool:
    """Whether a text reads ``package.module`` or ``package.module:attribute``."""
    module, colon, attribute = text.partition(":")
    parts = module.split(".") + (attribute.split(".") if colon else [])
    return all(p.isidentifier() for p in parts)


def _installed(kind: str) -> Iterable[EntryPoint]:
    return entry_points(group=f"scip_mpi.{kind}")
