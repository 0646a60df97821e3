"""Label images as OME-Zarr 0.4, in zarr version 2: small enough to need no library."""

from __future__ import annotations

import itertools
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Rows and columns of a chunk.
CHUNK = 1024


def write_zarr(path: Path, image: NDArray[Any]) -> list[Path]:
    """Write a label image of one resolution; the files and folders that were written.

    By the specification at https://ngff.openmicroscopy.org/0.4: ``image-label`` says that its
    pixels are labels. One that stands there already is written over.

    Parameters
    ----------
    path : Path
        The group's folder.
    image : ndarray of unsigned integers, shape (H, W) or (C, H, W)
    """
    array = path / "0"
    axes = [{"name": a, "type": "channel" if a == "c" else "space"} for a in "cyx"[-image.ndim :]]
    scale = [{"type": "scale", "scale": [1.0] * image.ndim}]
    chunks = [1] * (image.ndim - 2) + [min(CHUNK, n) for n in image.shape[-2:]]
    stored = image.astype(image.dtype.newbyteorder("<"), copy=False)
    told: dict[Path, Any] = {
        path / ".zgroup": {"zarr_format": 2},
        path / ".zattrs": {
            "multiscales": [
                {
                    "version": "0.4",
                    "name": path.stem,
                    "axes": axes,
                    "datasets": [{"path": "0", "coordinateTransformations": scale}],
                }
            ],
            "image-label": {"version": "0.4"},
        },
        array / ".zarray": {
            "zarr_format": 2,
            "shape": list(image.shape),
            "chunks": chunks,
            "dtype": stored.dtype.str,
            "compressor": {"id": "zlib", "level": 1},
            "fill_value": 0,
            "filters": None,
            "order": "C",
            "dimension_separator": "/",
        },
    }
    files = {file: json.dumps(text, indent=1).encode() for file, text in told.items()}
    counts = [range(-(-n // size)) for n, size in zip(image.shape, chunks, strict=True)]
    for place in itertools.product(*counts):
        part = stored[tuple(slice(k * n, (k + 1) * n) for k, n in zip(place, chunks, strict=True))]
        # A chunk at the end is as large as all others.
        whole = np.zeros(chunks, stored.dtype)
        whole[tuple(slice(n) for n in part.shape)] = part
        files[array.joinpath(*map(str, place))] = zlib.compress(whole.tobytes(), 1)
    for file, content in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return [*files, *{file.parent: None for file in files}]
