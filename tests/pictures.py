"""What tests of loaders of pictures share."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tifffile

from scip_mpi.batches import ImageBatch
from scip_mpi.loaders.contract import Catalog, Failure


def discover(loader: ModuleType, *paths: Path | str, **kwargs: Any) -> Catalog:
    """A loader's catalog."""
    catalog: Catalog = loader.discover([os.fspath(p) for p in paths], **kwargs)
    return catalog


def read(
    loader: ModuleType,
    catalog: Catalog,
    dtype: Any = np.uint8,
    channels: list[int] | None = None,
    **kwargs: Any,
) -> tuple[ImageBatch, list[Failure]]:
    """All images of a catalog; none may be lost, and failures are lines for people."""
    references = catalog.references(0, len(catalog))
    batch, failures = loader.read(references, channels, np.dtype(dtype), **kwargs)
    places = sorted([*batch.index.tolist(), *(f.index for f in failures)])
    assert places == list(range(len(catalog)))
    for f in failures:
        assert "\n" not in f.error
        assert "Traceback" not in f.error
        assert f.stage == "read"
    return batch, failures


def texts(catalog: Catalog, name: str) -> list[str | None]:
    """A column of metadata, spelled out."""
    codes, values = catalog.metadata[name]
    return [None if c < 0 else values[c] for c in codes.tolist()]


def groups(catalog: Catalog) -> list[str]:
    """Each image's group."""
    return [catalog.groups[g] for g in catalog.group.tolist()]


def write_tiff(path: Path, image: Any) -> Path:
    """A grey TIFF, its folders made as needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image, photometric="minisblack")
    return path


def touch(root: Path, names: list[str]) -> Path:
    """Files of a byte each, made in the order given."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root
