"""SCIP's own features, and ours for the same pixels, in float64 before the table's rounding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numcodecs
import numpy as np
import pandas as pd
import tifffile
from numpy.typing import NDArray

from scip_mpi.batches import MaskBatch, Scratch
from scip_mpi.config import read_config
from scip_mpi.parallel.roles import Sight
from scip_mpi.plan import Plan, find_images, make_plan
from scip_mpi.rows import features_of
from scip_mpi.segmenting import segment
from scip_mpi.stages import build_stages
from scip_mpi.timers import Timers


@dataclass(frozen=True)
class Compared:
    """Our masks and features of a reference set, and SCIP's features, row by row."""

    plan: Plan
    masks: MaskBatch
    ours: NDArray[np.float64]
    scip: pd.DataFrame


def compare(config: Path, zarr: Path, features: Path) -> Compared:
    """Our features by SCIP's own config, beside SCIP's."""
    parsed = read_config(config)
    catalog = find_images(parsed, [str(zarr)])
    plan = make_plan(parsed, catalog, [Sight("here")])
    stages = build_stages(plan)
    segmented, pixels = segment(stages, catalog.references(0, len(catalog)), Timers())
    masks = segmented.objects()
    ours = features_of(stages, pixels, masks, np.zeros(len(masks), np.int64), Scratch())
    return Compared(plan, masks, ours, pd.read_parquet(features))


def write_zarr(folder: Path, images: Sequence[NDArray[np.uint16]], chunk: int = 10) -> Path:
    """Images in SCIP's zarr layout: an array of flat arrays, their shapes in the attributes."""
    folder.mkdir(parents=True)
    compressor = numcodecs.Blosc(cname="lz4", clevel=5)
    codec = numcodecs.VLenArray("<u2")
    for number, lo in enumerate(range(0, len(images), chunk)):
        items = np.empty(chunk, object)
        for k in range(chunk):
            inside = lo + k < len(images)
            items[k] = images[lo + k].reshape(-1) if inside else np.empty(0, np.uint16)
        (folder / str(number)).write_bytes(compressor.encode(codec.encode(items)))
    head = {
        "chunks": [chunk],
        "compressor": compressor.get_config(),
        "dtype": "|O",
        "fill_value": 0,
        "filters": [codec.get_config()],
        "order": "C",
        "shape": [len(images)],
        "zarr_format": 2,
    }
    (folder / ".zarray").write_text(json.dumps(head))
    shapes = [list(image.shape) for image in images]
    attributes = {"object_number": list(range(len(images))), "shape": shapes}
    (folder / ".zattrs").write_text(json.dumps(attributes))
    return folder


def twelve_channel_images(reference: Path) -> list[NDArray[np.uint16]]:
    """The 20 12-channel images, in the order of their names."""
    files = sorted((reference / "twelve_channel_scip" / "images").glob("*.tif"))
    return [tifffile.imread(file) for file in files]
