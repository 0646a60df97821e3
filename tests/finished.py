"""The OUT of a finished run whose table holds what a test wants, without images."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5ad_files import make_file

from scip_mpi.results.h5ad import ObsRows, TableSpec

CONFIG = """\
load: {format: multiframe_tiff, channel_names: [BF, DNA]}
mask:
  combined_indices: [BF, DNA]
  methods:
    - {method: li, name: li, kwargs: {smooth: 1}}
feature_extraction:
  li: [shape, intensity, texture]
"""


def make_out(
    out: Path,
    X: np.ndarray[Any, np.dtype[np.float32]],
    *,
    images: Sequence[str] | None = None,
    image: Sequence[int] | None = None,
    label: Sequence[int] | None = None,
    groups: Sequence[str] | None = None,
    failed: Sequence[bool] | None = None,
    channels: Sequence[str] = ("BF", "DNA"),
    text: Mapping[str, Sequence[str]] | None = None,
    config: str = CONFIG,
) -> Path:
    """A finished OUT.

    By default a cell per image, ``cell_0.tif`` and so on, and features of the channels in turn.
    """
    n, columns = X.shape
    image = np.arange(n) if image is None else np.asarray(image, np.int64)
    images = [f"a/cell_{i}.tif" for i in range(n)] if images is None else list(images)
    labels = np.ones(n, np.int64) if label is None else np.asarray(label, np.int64)
    group = ["a"] * n if groups is None else list(groups)
    kinds = sorted(set(group))
    channel = [channels[j % len(channels)] for j in range(columns)]
    names = [f"mean{j}_{c}" for j, c in enumerate(channel)]
    other = {name: (sorted(set(values)), list(values)) for name, values in (text or {}).items()}
    spec = TableSpec(
        n_rows=n,
        categoricals={"image": images, "group": kinds, **{k: v[0] for k, v in other.items()}},
        noted={"object": np.int64},
        filled={"failed": np.bool_},
        var_names=[f"feat_li_{name}" for name in names],
        var={
            "feature": names,
            "family": ["intensity" if j % 3 else "shape" for j in range(columns)],
            "mask_set": ["li"] * columns,
            "channel": channel,
            "unit": ["1"] * columns,
            "definition": [f"Column {j}." for j in range(columns)],
        },
        uns={"run": "{}", "config": config},
    )
    codes = {"image": image, "group": np.array([kinds.index(g) for g in group])}
    codes |= {k: np.array([v[0].index(t) for t in v[1]]) for k, v in other.items()}
    out.mkdir()
    spatial = np.zeros((n, 2))
    rows = ObsRows(0, image, labels, codes, {"object": labels}, spatial)
    make_file(out / "features.h5ad", spec, rows, {}, step=max(n, 1))
    with h5py.File(out / "features.h5ad", "r+") as file:
        file["X"][...] = X
        file["obs/failed"][...] = np.zeros(n, bool) if failed is None else failed
    told = {
        "program": "0", "versions": {}, "config": config, "fingerprint": "f", "images": n,
        "rows": n, "columns": columns, "channels": list(channels), "mask_sets": ["li"],
        "filter": None, "failed_images": 0, "overflows": 0, "exit_code": 0,
    }  # fmt: skip
    (out / "run.json").write_text(json.dumps(told))
    return out


def write_labels(path: Path, header: str, rows: Sequence[Sequence[Any]]) -> Path:
    """A CSV."""
    lines = [header, *(",".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path
