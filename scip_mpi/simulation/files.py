"""Simulated cells as files: images or a shard, the truth, and a config that runs on them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import ImageBatch
from scip_mpi.errors import UserError
from scip_mpi.loaders.shard import Channels, Columns
from scip_mpi.loaders.shard_writer import ShardWriter
from scip_mpi.loaders.texts import Texts
from scip_mpi.simulation.cells import CHANNELS, cell, checked

FORMATS = ("tiff", "packed")
COMPRESSIONS = ("none", "zlib", "zstd", "lzw")
SHARD = "cells.h5"
# Cells that a shard takes at once.
BATCH = 64
Made = Callable[[int], tuple[NDArray[np.uint16], dict[str, Any]]]


def write(
    out: Path | str,
    n: int,
    channels: int = 12,
    seed: int = 0,
    groups: int = 2,
    *,
    size: int | None = None,
    compression: str = "none",
    format: str = "tiff",
    distinct: int | None = None,
) -> None:
    """Write ``n`` cells, their truth and a config that runs on them.

    The images stand in ``OUT/images/sample_1/cell_00000000.tiff`` and so on, dealt to the
    ``groups`` samples in turn, or with the same ids in the shard ``OUT/images/cells.h5``;
    ``OUT/truth.csv`` has a row per image, ``OUT/scip.yml`` is the config. An image's pixels depend
    on the seed, its number, the size and the channels only.

    Parameters
    ----------
    out : Path or str
        A new folder.
    n, channels, seed, groups : int
    size : int, optional
        Height and width of all images; by default they differ.
    compression : str
        Of TIFF files: one of `COMPRESSIONS`.
    format : str
        One of `FORMATS`.
    distinct : int, optional
        Only the first so many cells are simulated; they recur under new names. In a shard they
        take no more space for it.

    Raises
    ------
    UserError
        The folder is not empty, or a number makes no sense.
    """
    checked(channels, size)
    distinct = n if distinct is None else distinct
    if n < 1 or groups < 1 or seed < 0 or distinct < 1:
        raise UserError(
            "cells, distinct cells and samples must be at least 1 and the seed at least 0: "
            f"{n}, {distinct}, {groups}, {seed}"
        )
    if format == "packed" and compression != "none":
        raise UserError("the pixels of shards are not compressed: compression goes with TIFF files")
    out = Path(out)
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty; name a new folder for the simulated images")
    folders = [f"sample_{g + 1}" for g in range(min(groups, n))]
    try:
        for folder in folders if format == "tiff" else ("",):
            (out / "images" / folder).mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from None
    (out / "scip.yml").write_text(config_text(channels, format))
    simulated = min(distinct, n)

    def made(number: int) -> tuple[NDArray[np.uint16], dict[str, Any]]:
        return cell(seed, number, channels, size)

    if format == "tiff":
        truths = _write_tiffs(out / "images", folders, n, simulated, made, compression)
    else:
        truths = _write_shard(out / "images" / SHARD, folders, n, simulated, made, channels)
    with open(out / "truth.csv", "w", newline="") as stream:
        table: csv.DictWriter[str] | None = None
        for number in range(n):
            row = {"image": _name(folders, number), **truths[number % simulated]}
            if table is None:
                table = csv.DictWriter(stream, list(row))
                table.writeheader()
            table.writerow(row)


def _name(folders: list[str], number: int) -> str:
    return f"{folders[number % len(folders)]}/cell_{number:08d}.tiff"


def _write_tiffs(
    root: Path, folders: list[str], n: int, simulated: int, made: Made, compression: str
) -> list[dict[str, Any]]:
    """A file per image; the truth of each cell that was simulated."""
    import tifffile

    level = {"level": 1} if compression in ("zlib", "zstd") else None
    truths = []
    for first in range(simulated):
        image, truth = made(first)
        stream = io.BytesIO()
        tifffile.imwrite(
            stream,
            image,
            photometric="minisblack",
            compression=None if compression == "none" else compression,
            compressionargs=level,
            metadata=None,
        )
        for number in range(first, n, simulated):
            (root / _name(folders, number)).write_bytes(stream.getbuffer())
        truths.append(truth)
    return truths


def _write_shard(
    path: Path, folders: list[str], n: int, simulated: int, made: Made, channels: int
) -> list[dict[str, Any]]:
    """All images in a shard, in the order in which their files would be listed."""
    order = sorted(range(len(folders)), key=lambda g: folders[g] + "/")
    numbers = np.concatenate([np.arange(g, n, len(folders)) for g in order])
    cells = numbers % simulated
    # In the order of their first images, so that images that follow each other do in the file too.
    firsts = np.unique(cells, return_index=True)[1]
    needed = cells[np.sort(firsts)]
    group = np.argsort(np.argsort(folders))[numbers % len(folders)].astype(np.int32)
    writer = ShardWriter(path, np.dtype(np.uint16))
    offset, shape = np.empty(simulated, np.int64), np.empty((simulated, 3), np.int64)
    truths: list[dict[str, Any]] = [{}] * simulated
    for lo in range(0, simulated, BATCH):
        images = []
        for k in needed[lo : lo + BATCH].tolist():
            image, truths[k] = made(k)
            images.append(image)
        batch = ImageBatch.from_images(images)
        offset[needed[lo : lo + BATCH]] = writer.pixels + batch.offsets[:-1]
        shape[needed[lo : lo + BATCH]] = batch.shapes
        writer.add(batch)
    writer.finish(
        Columns(
            Texts.of(_name(folders, number) for number in numbers.tolist()),
            (group, sorted(folders)),
        ),
        Channels(None, list(CHANNELS[:channels])),
        images=(offset[cells], shape[cells]),
    )
    return truths


def config_text(channels: int, format: str = "tiff") -> str:
    """A commented config for simulated cells of the first ``channels`` channels."""
    names = CHANNELS[:channels]
    combined = [c for c in ("BF1", "SSC", "BF2") if c in names]
    smooth = [0.5] * channels
    load = {
        "tiff": "multiframe_tiff   # one file per cell, one page per channel",
        "packed": "packed   # what pack makes: all cells in one file",
    }[format]
    return f"""\
# Simulated white blood cells: python -m scip_mpi run scip.yml images -o table
load:
  format: {load}
  channels: [{", ".join(str(i) for i in range(channels))}]
  channel_names: [{", ".join(names)}]

# A mask per channel; features are computed under each method's masks.
mask:
  main_channel_index: 0     # BF1: a cell without a mask there gets no features
  combined_indices: [{", ".join(str(names.index(c)) for c in combined)}]   # {", ".join(combined)}
  filters:
  methods:
    - method: li            # Li's threshold of the smoothed gradient
      name: li
      kwargs:
        smooth: [{", ".join(map(str, smooth))}]   # sigma in pixels, per channel
    - method: otsu
      name: otsu
      kwargs:

# No cell is left out.
filter:

feature_extraction:
  li: [shape, intensity, texture, bbox, regions]
  otsu: [shape, intensity, texture, bbox, regions]

export:
  format: parquet           # beside features.h5ad, which is always written
  filename: features
"""
