"""The table as Parquet under CellProfiler's names, as pycytominer takes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from scip_mpi.batches import Int64Array
from scip_mpi.columns import ColumnPlan
from scip_mpi.loaders.texts import printable
from scip_mpi.results.cellprofiler_names import (
    IMAGE_NUMBER,
    OBJECT_NAME,
    feature_names,
    obs_names,
)
from scip_mpi.results.parquet import column_of, column_type, write_parts
from scip_mpi.results.tables import arrow_column

# Images by their place in the catalog -> the file of each channel of each.
Files = Callable[[Int64Array], list[list[str]]]


def export(
    table: Path,
    folder: Path,
    columns: ColumnPlan,
    channels: Sequence[str],
    compartments: Mapping[str, str],
    files: Files,
    threads: int = 1,
) -> None:
    """Write ``FOLDER/part-*.parquet``: metadata, files, bounding boxes and centres, features.

    Parameters
    ----------
    table : Path
        The finished HDF5 file.
    folder : Path
        Made if it is not there.
    columns : ColumnPlan
        The columns of X.
    channels : sequence of str
        Their names.
    compartments : mapping of str to str
        Of each mask set; centres are those of the first.
    files : callable
    threads : int
        Files written at the same time, at most.
    """
    import pyarrow as pa

    names = feature_names(columns, channels, compartments)
    first = next(iter(compartments.values()))
    with h5py.File(table) as file:
        X, obs, spatial = file["X"], file["obs"], file["obsm/spatial"]
        renamed = obs_names(list(obs.attrs["column-order"]), compartments)
        boxes = {old for old, new in renamed.items() if "_AreaShape_BoundingBox" in new}
        meta = [old for old, new in renamed.items() if new.startswith("Metadata_")]
        of_sets = [old for old in renamed if old not in meta]
        # A table by plate is what CellProfiler's users have; without plates groups are that.
        plated = [] if "Metadata_Plate" in renamed.values() else ["Metadata_Plate"]
        fields = [
            (IMAGE_NUMBER, pa.int64()), (OBJECT_NAME, pa.string()),
            *((renamed[old], column_type(pa, obs[old])) for old in meta),
            *((name, pa.string()) for name in plated),
            *((f"Image_{what}_{c}", pa.string()) for what in ("FileName", "PathName")
              for c in channels),
            *((renamed[old], pa.float64() if old in boxes else column_type(pa, obs[old]))
              for old in of_sets),
            *((f"{first}_Location_Center_{axis}", pa.float64()) for axis in "XY"),
            *((name, pa.float32()) for name in names),
        ]  # fmt: skip
        schema = pa.schema(fields)

        def block(part: slice) -> Any:
            ids = obs["_index"].asstr()[part]
            image = np.array([int(i.partition("_")[0]) for i in ids], np.int64)
            # Images are in the order of the rows: each one's files are looked up once.
            images, of_row = np.unique(image, return_inverse=True)
            shown = [[printable(path) for path in paths] for paths in files(images)]
            paths = np.array(shown, object).reshape(-1, len(channels))[of_row]
            found = [arrow_column(image + 1), arrow_column(ids.tolist())]
            found += [column_of(pa, obs[old], part) for old in meta]
            found += [column_of(pa, obs["group"], part) for _ in plated]
            found += [arrow_column([os.path.basename(path) for path in own]) for own in paths.T]
            found += [arrow_column([os.path.dirname(path) for path in own]) for own in paths.T]
            for old in of_sets:
                values = obs[old][part]
                known = np.where(values < 0, np.nan, values) if old in boxes else values
                found.append(arrow_column(known))
            found += map(arrow_column, spatial[part].T)
            found += map(arrow_column, np.asfortranarray(X[part]).T)
            return pa.Table.from_arrays(found, schema=schema)

        write_parts(folder, len(X), schema, block, threads)
