"""Configs that say something else than they were meant to: small changes of their tree."""

from __future__ import annotations

import copy
import csv
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from scip_mpi.config import read_config
from scip_mpi.job import Request
from scip_mpi.parallel.world import Alone
from scip_mpi.run import run

CELLS = """\
load:
  format: multiframe_tiff
  channels: [0, 1, 2]
  channel_names: [BF, PI, SSC]
  kwargs: {regex: '(?P<group>[a-z])'}
  offset: [1, 0, 2]
  bit_depth: [12, 12, 10]
mask:
  combined_indices: [BF, 2]
  main_channel_index: PI
  filters:
    - {method: std, channel_indices: [PI], settings: {threshold: 2}}
  methods:
    - {method: li, name: li, kwargs: {smooth: [1, 0.5, 1]}, fill_holes: true, min_size: 3}
    - {method: spot, name: dots, kwargs: {spotsize: 3}, opening: 1}
    - {method: threshold, name: t, kwargs: {method: percentile, percentile: 80}, border: keep}
    - {method: circle, name: c}
    - {method: watershed, name: w, kwargs: {noisy_channels: [0]}, largest_component: true}
background: {BF: outside, PI: ring, SSC: 3.5}
filter:
  any:
    - {name: quantile, statistic: mean, channel: PI, mask: li, lower: 0.05, upper: 0.95}
    - all:
        - {name: range, statistic: area, channel: PI, mask: li, lower: 5}
        - {name: mad, statistic: sum, channel: BF, n_mads: 3, by: group}
  action: flag
normalization: {lower: 0.01, upper: 0.99}
gating: {mask: li, channels: [PI]}
feature_extraction:
  li: [shape, {intensity: {views: [own, bgcorr], stats: [mean, sum]}}, bbox, regions]
  dots: [compact]
  t: [intensity]
  c: [{texture: {masks: [own], distances: [3], channels: [PI]}}]
export: {format: parquet, filename: features}
resources: {segmenters: 0, memory: 2 GiB, device: cpu, chunk_size: 2}
on_error: skip
"""
FIELDS = """\
load: {format: multiframe_tiff, channels: [0, 1, 2], channel_names: [BF, PI, SSC]}
segment:
  method: watershed
  settings:
    parent_channel_index: 0
    cell_diameter: 9
    threshold: otsu
    smoothing: 1.0
    children: {PI: {cell_diameter: 4}}
    expansion: {BF: 2}
    border: drop
    min_size: 3
    max_size: 900
  export: true
background: ring
filter: {name: threshold, statistic: sum, channel: 0}
feature_extraction: [shape, intensity]
"""
ODD: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 3, 7, 1000, 10**30, 0.5, -0.5, 1e-300, 1e300, float("nan"),
    float("inf"), "", "li", "otsu", "PI", "BF", "0", "shape", "zarr", "packed", "os:sep", "a.b:c",
    "../x", "a/b", "/", "\n", "é", "2 GiB", "1 B", "otsu; rm", "(", "(?P<id>.)", [], [0], [0, 0],
    ["PI"], [3, 4], [None], {}, {"a": 1}, {"method": "li"}, {"stats": ["mean"]}, "*", "%s", "drop",
    "ring", "percentile", "local", "fixed", "labels", "by", "group", "keep", "auto", "abort",
)  # fmt: skip


def changed(text: str, rng: np.random.Generator) -> str:
    """A config after one change of its tree, or two."""
    data = yaml.safe_load(text)
    for _ in range(rng.integers(1, 3)):
        data = _change(data, rng)
    return str(yaml.safe_dump(data, sort_keys=False))


def _change(data: Any, rng: np.random.Generator) -> Any:
    places = list(_places(data))
    if not places:
        return data
    parent, key = places[rng.integers(len(places))]
    value, what = parent[key], rng.integers(12)
    if what == 0:
        del parent[key]
    elif what == 1:
        parent[key] = ODD[rng.integers(len(ODD))]
    elif what == 2 and isinstance(parent, dict):
        parent[ODD[rng.integers(20, 30)]] = parent.pop(key)
    elif what == 3 and isinstance(parent, list):
        parent.append(copy.deepcopy(value))
    elif isinstance(value, int | float) and what < 9:
        parent[key] = value * (-1, 0, 0.5, 2, 1000)[rng.integers(5)]
    else:
        # What stands elsewhere is more often of some sense.
        alike = [(p, k) for p, k in places if type(p[k]) is type(value)]
        other, place = alike[rng.integers(len(alike))]
        parent[key] = copy.deepcopy(other[place])
    return copy.deepcopy(data)


def _places(data: Any) -> Any:
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in items:
        yield data, key
        if isinstance(value, dict | list):
            yield from _places(value)


def run_config(config: Path, images: Path, out: Path) -> tuple[int, int]:
    """Run a job; images and failures. Exit code 1 is for jobs that none of their images survives.

    (Or which were told to end with the first that fails.)
    """
    code = run(Alone(), Request(config, [str(images)], out, quiet=True))
    total = sum(p.is_file() for p in images.rglob("*"))
    failed = 0
    if (out / "failures.csv").exists():
        failed = len(set(csv_column(out / "failures.csv", "image")))
    aborted = "on_error: abort" in config.read_text()
    assert code == 0 or (code == 1 and (failed == total or aborted)), f"exit code {code}"
    assert (out / f"{table_name(config)}.h5ad").exists() == (code == 0)
    return total - failed, failed


def csv_column(path: Path, name: str) -> list[str]:
    """A column of a CSV."""
    with path.open(newline="") as stream:
        return [row[name] for row in csv.DictReader(stream)]


def table_name(config: Path) -> str:
    """What the config calls the table."""
    return read_config(config).export.filename
