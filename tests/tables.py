"""Reading finished tables, and saying whether two are the same bit for bit."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq


def digest(out: Path) -> dict[str, str]:
    """A digest of everything that must not depend on how a run was laid out (contracts, 11)."""
    parts: dict[str, str] = {}

    def add(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset):
            return
        data = node[()]
        if isinstance(data, np.ndarray) and data.dtype == object:
            raw = "\0".join(
                x.decode() if isinstance(x, bytes) else str(x) for x in data.reshape(-1)
            ).encode()
        else:
            raw = np.ascontiguousarray(data).tobytes()
        head = f"{node.dtype}{node.shape}".encode()
        parts[name] = hashlib.sha256(head + raw).hexdigest()[:16]

    with h5py.File(out / "features.h5ad") as table:
        add("X", table["X"])
        for group in ("obs", "var", "obsm"):
            table[group].visititems(lambda n, node, g=group: add(f"{g}/{n}", node))
    for name in ("discarded.parquet", "images.parquet"):
        rows = pq.read_table(out / name)
        text = repr((rows.schema.names, [str(t) for t in rows.schema.types]))
        columns = b"".join(repr(rows[c].to_pylist()).encode() for c in rows.schema.names)
        parts[name] = hashlib.sha256(text.encode() + columns).hexdigest()[:16]
    parts["failures.csv"] = hashlib.sha256((out / "failures.csv").read_bytes()).hexdigest()[:16]
    return parts


def read_x(out: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    """X of a finished table."""
    with h5py.File(out / "features.h5ad") as table:
        return table["X"][()]


def column_names(out: Path) -> list[str]:
    """var_names of a finished table."""
    with h5py.File(out / "features.h5ad") as table:
        return [n.decode() for n in table["var/_index"][()]]


def obs_names(out: Path) -> list[str]:
    """obs_names of a finished table."""
    with h5py.File(out / "features.h5ad") as table:
        return [n.decode() for n in table["obs/_index"][()]]
