"""How rows reach the table: straight to their place, from every rank.

Three writers with the same three calls: `Writer.put` blocks of rows, as often as needed and in any
order, then `Writer.close`, after which they are on the disk.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from scip_mpi.batches import FloatArray


@dataclass(frozen=True)
class DatasetLayout:
    """Where a contiguous dataset lies: byte offset in the file (-1 if empty), type and shape."""

    name: str
    offset: int
    dtype: str
    shape: tuple[int, ...]

    def place(self, row: int, block: NDArray[Any]) -> int:
        """Byte offset of rows from ``row`` on.

        Raises
        ------
        ValueError
            The block does not fit: it would write over something else.
        """
        fits = block.dtype == np.dtype(self.dtype) and block.shape[1:] == self.shape[1:]
        if not (fits and row >= 0 and row + len(block) <= self.shape[0]):
            raise ValueError(
                f"rows {row} to {row + len(block)}, {block.dtype} {block.shape}, do not fit into "
                f"{self.name}, {self.dtype} {self.shape}"
            )
        size = np.dtype(self.dtype).itemsize * int(np.prod(self.shape[1:], dtype=np.int64))
        return self.offset + row * size


class Handle(Protocol):
    """A file that several ranks write at offsets of their own."""

    def write_at(self, offset: int, buffer: Any) -> None:
        """Write all of the buffer at a byte offset."""

    def sync(self) -> None:
        """Bring the writes to the disk."""

    def close(self) -> None:
        """Close the file."""


class Writer(Protocol):
    """A rank's hand on the table."""

    def put(self, name: str, row: int, block: NDArray[Any]) -> None:
        """Write rows of a dataset from ``row`` on."""

    def close(self) -> None:
        """Bring all rows to the disk and let go. Collective where ranks share the file."""


class PosixWriter:
    """Rows by the operating system's own calls: for one rank, or ranks that must not share."""

    def __init__(self, path: Path, layout: Mapping[str, DatasetLayout]) -> None:
        self.layout = layout
        self.file = os.open(path, os.O_WRONLY)

    def put(self, name: str, row: int, block: NDArray[Any]) -> None:
        """Write rows of a dataset from ``row`` on."""
        at = self.layout[name].place(row, block)
        data = memoryview(np.ascontiguousarray(block).reshape(-1).view(np.uint8))
        while data:
            written = os.pwrite(self.file, data, at)
            data, at = data[written:], at + written

    def close(self) -> None:
        """Bring all rows to the disk."""
        os.fsync(self.file)
        os.close(self.file)


class SharedFileWriter:
    """Rows through a file that the ranks have opened together (MPI's own files)."""

    def __init__(self, handle: Handle, layout: Mapping[str, DatasetLayout]) -> None:
        self.handle = handle
        self.layout = layout

    def put(self, name: str, row: int, block: NDArray[Any]) -> None:
        """Write rows of a dataset from ``row`` on."""
        at = self.layout[name].place(row, block)
        if block.size:
            self.handle.write_at(at, np.ascontiguousarray(block).reshape(-1).view(np.uint8))

    def close(self) -> None:
        """Bring all rows to the disk; collective."""
        self.handle.sync()
        self.handle.close()


class Hdf5Writer:
    """Rows through parallel HDF5, each rank by itself, so that ranks without rows hang nobody."""

    def __init__(self, path: Path, layout: Mapping[str, DatasetLayout], communicator: Any) -> None:
        import h5py

        self.layout = layout
        self.file = h5py.File(path, "r+", driver="mpio", comm=communicator)

    def put(self, name: str, row: int, block: NDArray[Any]) -> None:
        """Write rows of a dataset from ``row`` on."""
        self.layout[name].place(row, block)
        if block.size:
            self.file[name][row : row + len(block)] = block

    def close(self) -> None:
        """Bring all rows to the disk; collective."""
        self.file.flush()
        self.file.close()


def to_table_floats(block: FloatArray) -> tuple[NDArray[np.float32], int]:
    """The one rounding of X: float32, one pattern of NaN, no negative zero.

    Returns
    -------
    ndarray of float32, int
        The values, and how many left float32's range (they are infinite).
    """
    with np.errstate(over="ignore", under="ignore"):
        rounded = block.astype(np.float32)
    overflows = int(np.count_nonzero(np.isinf(rounded) & np.isfinite(block)))
    return canonical(rounded), overflows


def canonical(values: NDArray[Any]) -> NDArray[Any]:
    """Floating-point values with one pattern of NaN and no negative zero; others as they are."""
    if values.dtype.kind != "f":
        return values
    out = values + values.dtype.type(0)  # -0.0 + 0.0 is 0.0
    out[np.isnan(out)] = np.nan
    return out


def publish(partial: Path, final: Path) -> None:
    """Give a complete file its name, so that it is found either whole or not at all."""
    handle = os.open(partial, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
    os.replace(partial, final)
    folder = os.open(final.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
