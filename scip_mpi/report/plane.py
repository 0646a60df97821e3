"""The map: cells in a plane where alike ones are near, and what they can be coloured by."""

from __future__ import annotations

import base64
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.report.charts import number
from scip_mpi.report.facts import Facts

# Cells in the map, groups that have a colour of their own, and features to colour by.
CELLS = 8000
CATEGORIES = 12
FEATURES = 12
# Deviations from the median, in median absolute deviations, beyond which a value counts no more.
CLIP = 8.0
# Quantiles that the colours of a feature reach from and to.
RANGE = (0.02, 0.98)
WHOLE = 65535


@dataclass(frozen=True)
class Plane:
    """A way to lay the cells out.

    Attributes
    ----------
    name : str
    axes : list of str
    places : ndarray of float64, shape (n, 2)
    """

    name: str
    axes: list[str]
    places: FloatArray


def prepared(columns: FloatArray) -> FloatArray:
    """Columns made comparable: less the median, over the spread, extremes clipped, 0 for NaN.

    Parameters
    ----------
    columns : ndarray, shape (n, k)

    Returns
    -------
    ndarray, shape (n, k')
        Columns that are all but constant are left out.
    """
    with np.errstate(invalid="ignore"):
        finite = np.where(np.isfinite(columns), columns, np.nan)
        known = np.isfinite(finite).any(axis=0)
        finite = finite[:, known]
        centred = finite - np.nanmedian(finite, axis=0)
        spread = np.nanmedian(np.abs(centred), axis=0) * 1.4826
    varied = spread > 0
    scaled = np.clip(centred[:, varied] / spread[varied], -CLIP, CLIP)
    return np.nan_to_num(scaled)


def principal(columns: FloatArray) -> Plane | None:
    """The two principal components of prepared columns; None where there are not two.

    Their signs are such that the largest weight is positive.
    """
    if min(columns.shape) < 2:
        return None
    centred = columns - columns.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :2]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]])
    shares = values[::-1][:2] / max(values.sum(), 1e-300)
    names = [f"component {k + 1} ({share:.0%} of the variance)" for k, share in enumerate(shares)]
    return Plane("PCA", names, centred @ axes)


def umap(columns: FloatArray) -> Plane | None:
    """UMAP of prepared columns, if the library is there and there are enough cells."""
    if importlib.util.find_spec("umap") is None or len(columns) < 50:
        return None
    from umap import UMAP

    places = UMAP(random_state=0, n_jobs=1).fit_transform(columns)
    return Plane("UMAP", ["UMAP 1", "UMAP 2"], np.asarray(places, np.float64))


def make_map(
    facts: Facts, labels: Mapping[str, tuple[Int64Array, list[str]]], patient: bool
) -> dict[str, Any]:
    """The map as the page's script takes it; empty where there is none to be made.

    Parameters
    ----------
    facts : Facts
    labels : mapping of str to (codes, categories)
        Of the rows of the sample.
    patient : bool
        Whether there may be UMAP too, which takes most of a minute.
    """
    sample = facts.sample
    rows = np.flatnonzero(facts.good)
    if len(rows) > CELLS:
        rows = np.sort(np.random.default_rng(3).choice(rows, CELLS, replace=False))
    columns = [sample.X[int(c)][rows].astype(np.float64) for c in facts.choice.mapped]
    if not columns or len(rows) < 3:
        return {}
    table = prepared(np.column_stack(columns))
    made = (principal(table), umap(table) if patient else None)
    planes = [plane for plane in made if plane is not None]
    if not planes:
        return {}
    images, categories = sample.texts["image"]
    return {
        "count": len(rows),
        "columns": table.shape[1],
        "eligible": facts.choice.eligible,
        "planes": [
            {"name": p.name, "axes": p.axes, "places": coded(p.places)} for p in planes
        ],
        "colours": [*_texts(facts, rows, labels), *_numbers(facts, rows)],
        "names": [categories[k] for k in images[rows]],
        "cells": [sample.names[row] for row in rows.tolist()],
    }  # fmt: skip


def coded(places: FloatArray) -> dict[str, str]:
    """Coordinates as 16 bits each, of the rectangle that all but a few cells lie in."""
    low, high = np.nanquantile(places, (0.002, 0.998), axis=0)
    margin = 0.05 * (high - low) + 1e-12
    low, high = low - margin, high + margin
    scaled = np.clip((places - low) / (high - low), 0, 1) * WHOLE
    return {"x": _base64(scaled[:, 0], "<u2"), "y": _base64(scaled[:, 1], "<u2")}


def _base64(values: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(np.round(values).astype(dtype).tobytes()).decode()


def _texts(
    facts: Facts, rows: Int64Array, labels: Mapping[str, tuple[Int64Array, list[str]]]
) -> list[dict[str, Any]]:
    """Labels first, then the group and other columns of text; the rarest categories are one."""
    texts = {**labels, "group": facts.sample.texts["group"]}
    texts |= {n: held for n, held in facts.sample.texts.items() if n not in ("image", *texts)}
    found = []
    for name, (codes, categories) in texts.items():
        own = codes[rows]
        counts = np.bincount(own[own >= 0], minlength=len(categories))
        shown = np.flatnonzero(counts)
        if not 1 < len(shown) <= 10 * CATEGORIES:
            continue
        order = np.sort(shown[np.argsort(-counts[shown], kind="stable")[:CATEGORIES]])
        place = np.full(len(categories) + 1, 255)
        place[order] = np.arange(len(order))
        names = [f"{categories[k]} ({counts[k]:,})" for k in order]
        found.append({"name": name, "codes": _base64(place[own], "<u1"), "categories": names})
    return found


def _numbers(facts: Facts, rows: Int64Array) -> list[dict[str, Any]]:
    """Features of a short list: intensities, the area, and what the filter looked at."""
    sample, choice = facts.sample, facts.choice
    wanted: dict[str, NDArray[Any]] = {}
    for name, values in sample.numbers.items():
        if name.startswith("filter_"):
            wanted[name.removeprefix("filter_")] = values
    for (mask_set, channel), place in choice.areas.items():
        if channel == "combined":
            wanted[f"area{f' in {mask_set}' if mask_set else ''}"] = sample.X[place]
    for channel, place in choice.intensity.items():
        wanted[f"{channel}: {choice.intensity_of}"] = sample.X[place]
    found = []
    for name, values in list(wanted.items())[:FEATURES]:
        own = values[rows].astype(np.float64)
        known = np.isfinite(own)
        if not known.any():
            continue
        low, high = np.quantile(own[known], RANGE)
        scaled = np.clip((own - low) / (high - low if high > low else 1.0), 0, 1) * 254
        codes = np.where(known, scaled, 255)
        ends = [number(low), number(high)]
        found.append({"name": name, "values": _base64(codes, "<u1"), "ends": ends})
    return found
