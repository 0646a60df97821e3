"""What images.parquet and discarded.parquet tell, read block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray, Int64Array
from scip_mpi.report.sample import draw

# Images whose measurements are looked at, spread evenly over all of them, and discarded cells.
MEASURED = 1_000_000
DISCARDED = 20_000
# Cells of an image: the last bar of their histogram is of those that have more.
COUNTED = 400
# A pixel in so many: with more of them saturated, an image is.
SATURATED = 1e-3


@dataclass
class Images:
    """Sums over all images, or over those that were looked at, by group.

    Attributes
    ----------
    groups : list of str
    images, found, kept, failed, empty : ndarray of int64, shape (G,)
        Images, cells found and kept, images that failed, and images without a cell.
    counts : ndarray of int64, shape (COUNTED + 1,)
        Images with 0, 1, 2, ... cells found.
    measured : int
        Images of which the rest is.
    saturated, dark : dict of str to ndarray of int64, shape (G,)
        By channel: images of which too many pixels are saturated, and images without contrast.
    """

    groups: list[str] = field(default_factory=list)
    images: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    found: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    kept: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    failed: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    empty: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    counts: Int64Array = field(default_factory=lambda: np.zeros(COUNTED + 1, np.int64))
    measured: Int64Array = field(default_factory=lambda: np.zeros(0, np.int64))
    saturated: dict[str, Int64Array] = field(default_factory=dict)
    dark: dict[str, Int64Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Discarded:
    """Cells that the filter left out: all of them counted, some of them known.

    Attributes
    ----------
    total : int
    reasons : dict of str to int
    images : list of str
        Of those known, the image; ``index``, its place in the catalog, and ``group``, -1 where it
        was not found; ``label``, the object in it.
    statistics : dict of str to ndarray of float64
        What the filter measured.
    """

    total: int
    reasons: dict[str, int]
    images: list[str]
    index: Int64Array
    group: Int64Array
    label: Int64Array
    statistics: dict[str, FloatArray]


def read_discarded(path: Path, groups: dict[str, int], images: Path) -> Discarded:
    """Read discarded.parquet, and find the images of some of its cells.

    Parameters
    ----------
    path : Path
    groups : dict of str to int
        Codes of the groups.
    images : Path
        images.parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        total = file.metadata.num_rows
        places, start = draw(total, DISCARDED), 0
        reasons: dict[str, int] = {}
        pieces = []
        for batch in file.iter_batches():
            for item in batch.column("reason").value_counts().to_pylist():
                reasons[item["values"]] = reasons.get(item["values"], 0) + item["counts"]
            mine = places[(places >= start) & (places < start + len(batch))] - start
            pieces.append(batch.take(pa.array(mine)))
            start += len(batch)
        schema = file.schema_arrow
    table = pa.Table.from_batches(pieces, schema)
    index, group = find_images(images, table["image"], groups)
    known = ("image", "object", "reason", "source")
    return Discarded(
        total,
        reasons,
        table["image"].to_pylist(),
        index,
        group,
        table["object"].to_numpy(),
        {name: table[name].to_numpy() for name in schema.names if name not in known},
    )


def find_images(path: Path, names: Any, groups: dict[str, int]) -> tuple[Int64Array, Int64Array]:
    """Places in images.parquet, which are those in the catalog, and groups of images by name."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    index, group = np.full(len(names), -1), np.full(len(names), -1)
    if not len(names):
        return index, group
    with pq.ParquetFile(path) as file:
        start = 0
        for batch in file.iter_batches(columns=["image", "group"]):
            place = pc.index_in(names, batch.column("image")).to_numpy()
            there = np.flatnonzero((index < 0) & np.isfinite(place.astype(np.float64)))
            at = place[there].astype(np.int64)
            index[there] = start + at
            own = batch.column("group").take(at).to_pylist()
            group[there] = [groups.get(name, -1) for name in own]
            start += len(batch)
    return index, group


def read_images(path: Path, channels: Sequence[str]) -> Images:
    """Read images.parquet."""
    import pyarrow.parquet as pq

    out = Images()
    codes: dict[str, int] = {}
    with pq.ParquetFile(path) as file:
        blocks = file.num_row_groups
        every = max(1, -(-file.metadata.num_rows // MEASURED))
        for block in range(blocks):
            for batch in file.iter_batches(
                row_groups=[block], columns=["group", "found", "kept", "failed"]
            ):
                _count(out, codes, batch)
        columns = [f"{m}_{c}" for m in ("saturated", "focus") for c in channels]
        for batch in _batches(file, range(0, blocks, every), ["group", "failed", *columns]):
            _measure(out, codes, batch, channels)
    return out


def _batches(file: Any, blocks: Sequence[int], columns: list[str]) -> Iterator[Any]:
    for block in blocks:
        yield from file.iter_batches(row_groups=[block], columns=columns)


def _groups(codes: dict[str, int], batch: Any) -> Int64Array:
    """Codes of the groups of a batch; new ones are added."""
    held = batch.column("group").dictionary_encode()
    own = [codes.setdefault(name, len(codes)) for name in held.dictionary.to_pylist()]
    return np.array(own, np.int64)[held.indices.to_numpy()]


def _longer(values: NDArray[Any], size: int) -> NDArray[Any]:
    return np.concatenate([values, np.zeros(size - len(values), values.dtype)])


def _count(out: Images, codes: dict[str, int], batch: Any) -> None:
    group = _groups(codes, batch)
    out.groups = list(codes)
    size = len(codes)
    found, kept = batch.column("found").to_numpy(), batch.column("kept").to_numpy()
    failed = batch.column("failed").to_numpy(zero_copy_only=False)
    there = ~failed
    sums = {
        "images": np.bincount(group, minlength=size),
        "found": np.bincount(group, found, size).astype(np.int64),
        "kept": np.bincount(group, kept, size).astype(np.int64),
        "failed": np.bincount(group[failed], minlength=size),
        "empty": np.bincount(group[there & (found == 0)], minlength=size),
    }
    for name, values in sums.items():
        setattr(out, name, _longer(getattr(out, name), size) + values)
    out.counts += np.bincount(np.minimum(found[there], COUNTED), minlength=COUNTED + 1)


def _measure(out: Images, codes: dict[str, int], batch: Any, channels: Sequence[str]) -> None:
    size = len(codes)
    there = ~batch.column("failed").to_numpy(zero_copy_only=False)
    group = _groups(codes, batch)[there]
    out.measured = _longer(out.measured, size) + np.bincount(group, minlength=size)
    for c in channels:
        full = batch.column(f"saturated_{c}").to_numpy()[there] > SATURATED
        flat = batch.column(f"focus_{c}").to_numpy()[there] == 0
        for held, values in (
            (out.saturated, np.bincount(group[full], minlength=size)),
            (out.dark, np.bincount(group[flat], minlength=size)),
        ):
            before = held.get(c, np.zeros(0, values.dtype))
            held[c] = _longer(before, size) + values
