"""What is known of the tiles of large fields, in files that all ranks see: beside the table."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scip_mpi import disk
from scip_mpi.errors import UserError
from scip_mpi.loaders.contract import ImageInfo, References
from scip_mpi.segmentation.tiles.grid import Box, Grid, common, within

FOLDER = "tiles"
# Seconds between two looks for a file: network file systems remember for up to a minute.
WAITS = (0.0, 0.1, 1.0, 5.0, 10.0, 20.0, 30.0)
Probe = Callable[[tuple[str, ...], int], ImageInfo]


@dataclass(frozen=True)
class Tiles:
    """How fields are cut into tiles, and where what is found of these is kept.

    Every file is written once, by one rank, and is there whole or not at all: what an earlier start
    has found is found again.

    Attributes
    ----------
    folder : Path
    size, halo : int
        As in `Grid`.
    probe : callable
        The loader's.
    """

    folder: Path
    size: int
    halo: int
    probe: Probe

    def grid(self, references: References) -> Grid | None:
        """The tiles of the only image of some references; None if it is no larger than one.

        An image that cannot be probed is none either: reading it will say why.
        """
        own = references.alone()
        try:
            _, height, width = self.probe(own.sources[0], int(own.within[0])).shape
        except UserError:
            return None
        grid = Grid(height, width, self.size, self.halo)
        return grid if len(grid) > 1 else None

    def path(self, name: str) -> Path:
        """The file of a name."""
        return self.folder / f"{name}.npz"

    def has(self, name: str) -> bool:
        """Whether something is there under a name, as far as this rank can tell by now."""
        return self.path(name).exists()

    def appears(self, name: str) -> bool:
        """Whether something is there under a name, if need be after a while.

        A node may hold for some time that a file is not there which another node has made since.
        """
        for wait in WAITS:
            if self.has(name):
                return True
            time.sleep(wait)
            # Looking into a folder has its files looked up anew.
            if self.folder.is_dir():
                os.listdir(self.folder)
        return self.has(name)

    def put(self, name: str, **arrays: NDArray[Any]) -> None:
        """Keep arrays under a name."""
        self.folder.mkdir(exist_ok=True)
        final = self.path(name)
        partial = final.with_name(f"{final.name}.{os.getpid()}")
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for key, array in arrays.items():
                with archive.open(f"{key}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
        disk.replace(partial, final)

    def get(
        self, name: str, wanted: Callable[[str], bool] = lambda _: True
    ) -> dict[str, NDArray[Any]]:
        """The arrays under a name, or those of them that are wanted."""
        self.appears(name)
        with np.load(self.path(name), allow_pickle=False) as file:
            return {key: file[key] for key in file if wanted(key)}

    def drop(self, name: str) -> None:
        """Forget what is under a name, if there is something."""
        self.path(name).unlink(missing_ok=True)

    def labels(self, image: int, grid: Grid, box: Box) -> NDArray[np.int32]:
        """Planes of the numbers of objects in a part of a field, shape (P, H, W)."""
        out: NDArray[np.int32] | None = None
        for k in grid.touching(box):
            planes = self.get(labels_name(image, k))["planes"]
            if out is None:
                shape = (len(planes), box[2] - box[0], box[3] - box[1])
                out = np.empty(shape, np.int32)
            core = grid.core(k)
            part = common(core, box)
            out[(slice(None), *within(part, box))] = planes[(slice(None), *within(part, core))]
        assert out is not None
        return out


def tile_name(image: int, tile: int, kind: str) -> str:
    """What something of a tile is kept under."""
    return f"{image}-{tile}.{kind}"


def labels_name(image: int, tile: int) -> str:
    """What the final labels of a tile are kept under."""
    return tile_name(image, tile, "labels")


def objects_name(image: int) -> str:
    """What the objects of a field are kept under."""
    return f"{image}.objects"


def levels_name(image: int) -> str:
    """What the thresholds of a field are kept under."""
    return f"{image}.levels"
