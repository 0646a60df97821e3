"""Folders of real cells for jobs, and the config they run with."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

CONFIG = """\
load:
  format: multiframe_tiff
  channels: [0, 1, 2]
  channel_names: [BF, PI, SSC]
mask:
  combined_indices: [0, 1]
  main_channel_index: 0
  methods:
    - {method: li, name: li, kwargs: {smooth: [1, 0.5, 1]}}
    - {method: otsu, name: otsu}
feature_extraction:
  li: [shape, intensity, bbox, texture, regions]
  otsu: [shape, intensity, bbox, texture, regions]
export: {format: parquet, filename: features}
"""


def jurkat_files(shared_dir: Path, number: int) -> list[Path]:
    """Real cells of all seven classes, as evenly as the rare ones allow; folders kept."""
    root = shared_dir / "data" / "jurkat_ifc"
    by_class: dict[str, list[Path]] = defaultdict(list)
    with (root / "labels.csv").open() as handle:
        for row in csv.DictReader(handle):
            if row["file"].startswith("experiment1/"):
                by_class[row["label"]].append(root / row["file"])
    chosen: list[Path] = []
    rank = 0
    while len(chosen) < number:
        layer = [files[rank] for files in by_class.values() if rank < len(files)]
        chosen += layer[: number - len(chosen)]
        rank += 1
    return sorted(chosen)


def copy_cells(files: Iterable[Path], folder: Path) -> Path:
    """Copy cells into FOLDER/CLASS, in the order given, which is the order of creation."""
    for file in files:
        target = folder / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return folder


def write_config(path: Path, extra: str = "", text: str = CONFIG) -> Path:
    """A config on disk."""
    path.write_text(text + extra)
    return path
